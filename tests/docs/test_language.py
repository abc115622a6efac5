"""Words that read as translated stay out of the package, its tools and its pages."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages

NOT = re.compile(
    r"(?<!there) is no (?!longer)|\b(is|are) told\b|\b(to|cannot) be had\b|\banew\b|meeting place"
    r"|\bin vain\b|\bpictures?\b|\benlarge",
    re.I,
)
KEPT = re.compile(
    r"whole picture|pictures=|tensorboard.pictures|dataset_enlarge_ratio|enlarges_first"
)
"""Of exported files, of a config's key, of other toolboxes, of code."""


def texts(path: Path) -> list[str]:
    """The lines of a page; of a program its strings and comments, names (one word) left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kinds = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1))
    found = [re.sub(r"{[^{}]*}", "", t.string) for t in tokens if t.type in kinds]
    return [line for one in found if " " in one for line in one.splitlines()]


@pytest.mark.parametrize("folder", ["superres", "tools", "pages"])
def test_words(folder):
    files = pages() if folder == "pages" else sorted((ROOT / folder).rglob("*.py"))
    found = [f"{p.name}: {line.strip()}" for p in files for line in texts(p)
             if NOT.search(KEPT.sub("", line))]  # fmt: skip
    assert found == []
