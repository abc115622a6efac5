"""The site builds without a warning, and fetches nothing."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT
from tests.network import attempts, cut_off

NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers", "mkdocs_jupyter")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason="requirements/docs.txt is not installed")
def test_the_site_has_every_page_and_fetches_nothing_from_elsewhere(tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site]
    env = cut_off(tmp_path / "cut_off")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert attempts(tmp_path / "cut_off") == []
    for page in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs/notebooks").glob("*.ipynb")]:
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / name).is_file(), name
    networks = (site / "api/networks.html").read_text(encoding="utf-8")
    assert 'id="superres.load_model"' in networks
    assert "name_or_path" in networks
    elsewhere = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)=["']?(https?:)?//""")
    for page in site.rglob("*.html"):
        tags = [m[0] for m in elsewhere.finditer(page.read_text(encoding="utf-8"))]
        assert [tag for tag in tags if "canonical" not in tag] == [], page
