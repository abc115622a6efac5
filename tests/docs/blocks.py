"""Code blocks, headings and links of Markdown pages.

A fenced block in the pages is one of

- ```` ```python ````: run, in one namespace per page;
- ```` ```python title="name.py" ````: written to that file, which later blocks use;
- ```` ```bash ````: commands, run;
- anything else: output to look at, never commands (a test looks for them).

A comment in the line before a block changes that, and is the only thing that does:
``<!-- not run: REASON -->`` (its commands are still parsed), ``<!-- needs: MODULE -->`` (as well
where that package is absent).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
_MARKER = re.compile(r"<!--\s*(not run|needs):\s*(.+?)\s*-->")


@dataclass(frozen=True)
class Block:
    """A fenced block: ``line`` is that of its first line of code."""

    page: Path
    line: int
    language: str
    title: str | None
    code: str
    not_run: str | None
    needs: str | None

    @property
    def where(self) -> str:
        """``docs/x.md:12``."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def tokens(page: Path) -> list[Token]:
    """The page as markdown-it reads it."""
    return MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        ValueError: a marker has no block below it.
    """
    found: list[Block] = []
    marker: re.Match[str] | None = None
    for token in tokens(page):
        if token.type == "fence":
            language, _, rest = token.info.partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            why = {marker[1]: marker[2]} if marker else {}
            found.append(
                Block(page, token.map[0] + 2, language, title and title[1], token.content,
                      why.get("not run"), why.get("needs"))
            )  # fmt: skip
        elif marker:
            raise ValueError(f"{page}: a marker belongs right above a block: {marker[0]}")
        marker = _MARKER.search(token.content) if token.type == "html_block" else None
    return found


def headings(page: Path) -> list[str]:
    """The texts of the page's headings, without marks."""
    found = (after for token, after in pairwise(tokens(page)) if token.type == "heading_open")
    return ["".join(part.content for part in heading.children) for heading in found]


def links(page: Path) -> list[str]:
    """Where the page's links and images lead."""
    parts = (part for token in tokens(page) for part in token.children or ())
    found = (part.attrGet("href") or part.attrGet("src") for part in parts)
    return [str(target) for target in found if target]
