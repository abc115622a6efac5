"""What may import what: the contracts of pyproject.toml hold, and tell of a breach."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    *("errors", "registry", "imaging", "inference", "models", "datasets", "evaluation"),
    *("checkpoints", "export", "interop", "upscaling", "engine", "serve", "cli"),
)
"""From below to above."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "", "COLUMNS": "300"},
        capture_output=True,
        text=True,
    )


def test_the_contracts_hold():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_an_import_upwards_is_caught_in_every_room(tmp_path):
    """Planted in all of them at once: each room imports the one that is next above it."""
    shutil.copytree(ROOT / "superres", tmp_path / "superres", ignore=lambda *_: ["__pycache__"])
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    expected = []
    for room, above in itertools.pairwise(ROOMS):
        place = tmp_path / "superres" / room
        file = place / "planted.py" if place.is_dir() else place.with_suffix(".py")
        with file.open("a") as stream:
            stream.write(f"\n\ndef _later():\n    import superres.{above}\n")
        expected.append(f"superres.{room}{'.planted' * place.is_dir()} -> superres.{above}")
    circle = tmp_path / "superres/imaging"
    (circle / "one.py").write_text("import superres.imaging.two\n")
    (circle / "two.py").write_text("import superres.imaging.one\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert [line for line in expected if line not in done.stdout] == []
    assert "No cycles are allowed in superres.imaging" in done.stdout
