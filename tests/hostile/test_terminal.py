"""Names that are commands to a terminal: every command shows them, none of them hands them on."""

from __future__ import annotations

from pathlib import Path

import lmdb
import numpy as np
import pytest

from superres.cli.main import main
from superres.imaging.io import write_image
from superres.output import printable

NAME = "a\x1b]0;owned\x07\x1b[31m[/b]"


def foreign_lmdb(path: Path, picture: bytes) -> Path:
    """An LMDB in BasicSR's form with an entry of that name."""
    with lmdb.open(str(path), map_size=1 << 20) as opened, opened.begin(write=True) as writing:
        writing.put(NAME.encode(), picture)
    (path / "meta_info.txt").write_text(f"{NAME}.png (16,16,3) 1\n")
    return path


@pytest.fixture
def world(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    write_image(tmp_path / "p.png", image)
    data = (tmp_path / "p.png").read_bytes()
    for side in ("sr", "hr"):
        (tmp_path / side).mkdir()
        name = NAME.replace("/", "")  # which only an LMDB can have
        (tmp_path / side / f"{name}.png").write_bytes(data)
        (tmp_path / side / f"{name}2.png").write_bytes(b"no image")
    foreign_lmdb(tmp_path / "theirs.lmdb", data)
    return tmp_path


COMMANDS = {
    "list": "data list theirs.lmdb",
    "unpack": "data unpack theirs.lmdb unpacked",
    "pack": "data pack hr packed.lmdb",
    "verify": "data verify hr",
    "prepare": "data prepare folder --root hr --out made --name x[b] --scales 2",
    "upscale": "upscale hr -o large --model edsr-s_x2",
    "score": f"score sr hr --scale 2 --name {NAME} --out scores --report",
    **{f"table {kind}": f"table scores --format {kind}" for kind in ("terminal", "md", "csv")},
    "table latex": "table scores --format latex",
}


def test_no_command_hands_a_name_to_the_terminal(world, monkeypatch, capfd):
    monkeypatch.chdir(world)
    for name, line in COMMANDS.items():
        assert main(line.split()) in (0, 1), name
        shown = "".join(capfd.readouterr())
        assert "\x1b" not in shown, name
        assert "\x07" not in shown, name
        assert "\\x1b" in shown or name == "unpack", name  # which names no image
    assert len([*(world / "scores").glob("results.*")]) == 4
    for path in (world / "scores").glob("results.*"):
        assert "\x1b" not in path.read_text(), path.name


def test_printable_keeps_letters_and_lines():
    assert printable("é 日本\n\tb") == "é 日本\n\tb"
    assert printable("\x1b[0m\x9b\x00\udcff\u202e") == "\\x1b[0m\\x9b\\x00\\xff\\u202e"
    assert printable("a\nb", keep="") == "a\\nb"
