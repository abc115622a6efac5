"""Packaging: the library, with the configs and tools of the checkout inside the wheel."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHARED = ("configs", "tools")
# They work on a checkout only.
LEFT_OUT = ("__pycache__", "maintain", "benchmarks", "benchmark.py")


def requirements(name: str) -> list[str]:
    """The lines of one requirements file without comments."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def extras() -> dict[str, list[str]]:
    """``name: a, b`` per line of requirements/optional.txt, and all of them together."""
    found = {}
    for line in requirements("optional"):
        name, _, packages = line.partition(":")
        found[name.strip()] = [p.strip() for p in packages.split(",")]
    # pyiqa brings a second OpenCV, which would overwrite the first.
    found["all"] = sorted({p for n, ps in found.items() if n != "niqe" for p in ps})
    found["tests"] = requirements("tests")
    found["docs"] = requirements("docs")
    return found


class BuildWithShared(build_py):
    """Copies configs/ and tools/ to superres/_share, where an installed package finds them."""

    def run(self) -> None:
        """Build, then copy. A development install reads the checkout's own folders."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for name in SHARED:
            target = Path(self.build_lib) / "superres" / "_share" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns(*LEFT_OUT))


version = re.search(
    r'^__version__ = "(.+)"', (ROOT / "superres/__init__.py").read_text(encoding="utf-8"), re.M
)[1]

setup(
    name="superres",
    version=version,
    description="Single-image super-resolution: exact data, trustworthy tables, fast training",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["superres", "superres.*"]),
    package_data={
        "superres": [
            "py.typed",
            "evaluation/published_networks.json",
            "evaluation/published/*.json",
            "evaluation/templates/*",
            "serve/templates/*",
            "weights/*",
        ]
    },
    install_requires=requirements("runtime"),
    extras_require=extras(),
    entry_points={"console_scripts": ["superres = superres.cli.main:main"]},
    cmdclass={"build_py": BuildWithShared},
    zip_safe=False,
)
