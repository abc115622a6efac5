"""What writes this repository's own tables and locks, and compares its commits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def save_svg(figure: Any, file: Path, salt: str) -> None:
    """Write a figure of matplotlib, the same bytes for the same numbers."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(file, metadata={"Date": None, "Creator": None}, facecolor="white")


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table; a column whose name ends in ``:`` is aligned to the right."""
    aligned = ["---:" if name.endswith(":") else "---" for name in head]
    lines = [[name.rstrip(":") for name in head], *rows]
    made = [f"| {' | '.join(cells)} |" for cells in lines]
    return [made[0], f"|{'|'.join(aligned)}|", *made[1:]]
