"""Links, anchors and quoted messages of the pages."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from superres.checkpoints.conversion import TARGETS
from superres.engine.config.load import shipped_configs
from superres.evaluation.protocols import PROTOCOLS
from tests.docs.blocks import ROOT, headings, links, pages

_API = re.compile(r"^::: (\S+)$", re.M)


def anchors(page: Path) -> set[str]:
    """The anchors that a page offers: of its headings, and of what its API lines document."""
    found = set()
    for text in headings(page):
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()))
    return {*found, *_API.findall(page.read_text(encoding="utf-8"))}


def broken_links(page: Path) -> list[str]:
    """Links of a page to files or anchors that are not there."""
    broken = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_every_page_is_in_the_site():
    listed = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert there == set(listed)


def test_messages_that_troubleshooting_quotes_exist():
    """First cells that are one quotation are parts of messages of superres."""
    # Literals of one message stand on several lines.
    source = "\n".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "superres").rglob("*.py"))
    )
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)`", text, re.M)
    assert len(quoted) > 15
    assert [q for q in quoted if q not in source] == []


def test_names_in_the_tables_for_other_toolboxes_exist():
    """Configs, formats and protocols that the page names are those of superres."""
    text = (ROOT / "docs/coming_from.md").read_text(encoding="utf-8")
    names = set(re.findall(r"[\w-]+_x[\dx]+[ck]\w+_g1_\w+", text))
    assert len(names) > 4
    assert names <= shipped_configs().keys()
    for protocol in ("mmediting-rgb", "mmediting-ssim-bug", "edsr-y", "edsr-div2k", "super-image"):
        assert re.search(rf"[` ]{protocol}`", text)
        assert protocol in PROTOCOLS
    formats = re.search(r"`--to` takes\s+(.*?) and others", text, re.S)[1]
    assert set(re.findall(r"`([\w-]+)`", formats)) <= set(TARGETS)


def test_the_extras_in_the_pages_are_those_of_the_package():
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", text.partition("| extra | for |")[2], re.M)
    lines = (ROOT / "requirements/optional.txt").read_text(encoding="utf-8").splitlines()
    there = {line.partition(":")[0] for line in lines if line and not line.startswith("#")}
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == there
    every = "".join(page.read_text(encoding="utf-8") for page in pages())
    named = ",".join(re.findall(r"(?:superres|'\.)\[([\w,]+)\]", every)).split(",")
    assert {*named} <= there | {"all", "docs", "tests"}
