"""What pyproject.toml cannot say: dependencies by file, configs and tools inside the wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# They work on a checkout only.
LEFT_OUT = ("__pycache__", "maintain", "benchmarks", "benchmark.py")


def requirements(name: str) -> list[str]:
    """The lines of one requirements file without comments."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def extras() -> dict[str, list[str]]:
    """``name: a, b`` per line of requirements/optional.txt, and all of them together."""
    lines = (line.partition(":") for line in requirements("optional"))
    found = {name: [p.strip() for p in packages.split(",")] for name, _, packages in lines}
    # pyiqa brings a second OpenCV, which would overwrite the first.
    found["all"] = sorted({p for n, ps in found.items() if n != "niqe" for p in ps})
    return {**found, "tests": requirements("tests"), "docs": requirements("docs")}


class BuildWithShared(build_py):
    """Copies configs/ and tools/ to superres/_share, where an installed package finds them."""

    def run(self) -> None:
        """Build, then copy. A development install reads the checkout's own folders."""
        super().run()
        for name in () if getattr(self, "editable_mode", False) else ("configs", "tools"):
            target = Path(self.build_lib) / "superres" / "_share" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns(*LEFT_OUT))


setup(
    # torch is the user's choice among its builds, as with other toolboxes: none is put in its place.
    install_requires=[line for line in requirements("runtime") if not line.startswith("torch")],
    extras_require=extras(),
    cmdclass={"build_py": BuildWithShared},
)
