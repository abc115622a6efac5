"""What writes this repository's own docs, tables, cards and locks, and compares its commits."""

from __future__ import annotations

from pathlib import Path

from superres.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
START, END = "<!-- made by tools/maintain/docs.py -->", "<!-- end -->"


def filled(page: Path, text: str) -> str:
    """A page with ``text`` between its marks.

    Raises:
        UserError: the page or its marks are missing.
    """
    before, _, rest = (page.read_text("utf-8") if page.is_file() else "").partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise UserError(f"{page}: it needs the lines {START} and, below it, {END}")
    return f"{before}{START}\n{text}\n{END}{after}"


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table; a column whose name ends in ``:`` is aligned to the right."""
    aligned = ["---:" if name.endswith(":") else "---" for name in head]
    lines = [[name.rstrip(":") for name in head], *rows]
    made = [f"| {' | '.join(cells)} |" for cells in lines]
    return [made[0], f"|{'|'.join(aligned)}|", *made[1:]]


def requirements(name: str) -> list[str]:
    """The lines of one file of requirements/, without comments."""
    lines = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
