"""What writes this repository's own tables and locks, and compares its commits."""

from __future__ import annotations

import shutil
from pathlib import Path

from superres.cli.quickstart import PHOTOGRAPHS
from superres.imaging.photographs import photograph

ROOT = Path(__file__).resolve().parents[2]


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table; a column whose name ends in ``:`` is aligned to the right."""
    aligned = ["---:" if name.endswith(":") else "---" for name in head]
    lines = [[name.rstrip(":") for name in head], *rows]
    made = [f"| {' | '.join(cells)} |" for cells in lines]
    return [made[0], f"|{'|'.join(aligned)}|", *made[1:]]


def photographs(folder: Path, *packages: str) -> None:
    """The quickstart's photographs that these packages carry, as files: train/ and holdout/."""
    for package, inside, where in PHOTOGRAPHS:
        part = folder / ("holdout" if where == "holdout" else "train")
        part.mkdir(parents=True, exist_ok=True)
        if package in packages:
            shutil.copy(photograph(package, inside), part)
