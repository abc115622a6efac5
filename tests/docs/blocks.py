"""Code blocks and headings of Markdown pages.

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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([\w+-]*)\s*(.*)$")
_MARKER = re.compile(r"<!--\s*(not run|needs):\s*(.+?)\s*-->")
_TITLE = re.compile(r'title="([^"]+)"')


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


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        ValueError: a block that does not end, or a marker with no block below it.
    """
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    marker: re.Match[str] | None = None
    number = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if not fence:
            if marker and line.strip():
                raise ValueError(f"{page}:{number + 1}: a marker belongs right above a block")
            marker = _MARKER.search(line) or (marker if not line.strip() else None)
            number += 1
            continue
        indent, ticks, language, rest = fence.groups()
        start = number + 1
        end = start
        while end < len(lines) and not re.fullmatch(
            rf"\s*{ticks[0]}{{{len(ticks)},}}\s*", lines[end]
        ):
            end += 1
        if end == len(lines):
            raise ValueError(f"{page}:{start}: this block does not end")
        title = _TITLE.search(rest)
        found.append(
            Block(
                page,
                start + 1,
                language,
                title and title[1],
                "\n".join(text.removeprefix(indent) for text in lines[start:end]) + "\n",
                marker[2] if marker and marker[1] == "not run" else None,
                marker[2] if marker and marker[1] == "needs" else None,
            )
        )
        marker = None
        number = end + 1
    return found


def prose(page: Path) -> str:
    """The page without fenced blocks and inline code."""
    kept, fence = [], None
    for line in page.read_text(encoding="utf-8").splitlines():
        match = _FENCE.match(line)
        if fence is None and match:
            fence = match[2]
        elif fence is not None:
            fence = None if match and match[2].startswith(fence) and not match[3] else fence
        else:
            kept.append(re.sub(r"`[^`]*`", "", line))
    return "\n".join(kept)


def headings(page: Path) -> list[str]:
    """The texts of the page's headings, inline code included."""
    found, fence = [], None
    for line in page.read_text(encoding="utf-8").splitlines():
        match = _FENCE.match(line)
        if match:
            fence = match[2] if fence is None else None
        elif fence is None and (heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line)):
            found.append(heading[1])
    return found
