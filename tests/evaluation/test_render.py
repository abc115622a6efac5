"""Tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io

import pytest

from superres.evaluation import results
from superres.evaluation.published import find_published
from superres.evaluation.render import csv_text, latex, latex_text, markdown, result_files
from superres.evaluation.results import with_published
from superres.evaluation.tables import Table, entries_of, result_tables

from .records import entry, record


@pytest.fixture
def compared(monkeypatch):
    monkeypatch.setattr(results, "SIZES", {"Set5": 2, "DIV2K": 2})
    edsr = with_published(entry("EDSR", {"a": 38.0, "b": 38.3}), find_published("EDSR"))
    div2k = entry("EDSR", {"c": 35.0, "d": None}, "DIV2K_valid", protocol="edsr-div2k")
    div2k = with_published(div2k, find_published("EDSR"))
    bicubic = entry("Bicubic", {"a": 33.0, "b": 34.0})
    runtime = [{"set": "Set5", "scale": 2, "memory_mb": 5.0, "seconds": {"total": 1, "median": 1}}]
    return record(edsr, div2k, baselines=[bicubic], runtime=runtime)


def test_published_and_difference(compared):
    edsr, div2k = compared["results"]
    assert edsr["published"]["psnr"] == 38.11
    assert edsr["published"]["difference"]["psnr"] == pytest.approx(38.15 - 38.11)
    assert "Lim" in edsr["published"]["source"]
    # The set has another name on disk; a mean over some images is compared with nothing.
    assert div2k["published"]["psnr"] == 35.03
    assert div2k["published"]["difference"] == {"psnr": None, "ssim": None}
    first, second = result_tables(compared)
    assert first.header == ["method", "Set5 x2", "published", "difference"]
    assert first.rows[0] == ["Bicubic", "33.50 / 0.3350", "", ""]
    assert first.rows[1] == ["EDSR", "38.15 / 0.3815", "38.11 / 0.9601", "+0.04 / -0.5786"]
    assert second.rows[0][1] == "35.00 / 0.3500 *"
    assert any("1 of 2 images not scored: d" in note for note in second.notes)


def test_a_set_of_another_number_of_images_is_compared_with_nothing():
    line = with_published(entry("EDSR", {"a": 38.0, "b": 38.3}), find_published("EDSR"))
    assert "published" not in line
    assert line["notes"] == ["2 images; published scores of Set5 are of 5"]


def test_files(compared):
    files = result_files(compared)
    assert set(files) == {"results.md", "results.csv", "results.tex"}
    assert "| EDSR | 38.15 / 0.3815 | 38.11 / 0.9601 | +0.04 / -0.5786 |" in files["results.md"]
    assert "EDSR & 38.15 / 0.3815 & 38.11 / 0.9601" in files["results.tex"]
    lines = list(csv.DictReader(io.StringIO(files["results.csv"])))
    assert [line["method"] for line in lines] == ["Bicubic", "EDSR", "EDSR"]
    assert float(lines[1]["psnr"]) == compared["results"][0]["psnr"]
    assert (lines[2]["images"], lines[2]["not_scored"], lines[2]["ssim"]) == ("2", "1", "0.35")


def test_names_are_no_markup():
    name = r"a_b|*<i>[x](y)\ 100% #1 {z} ~^ $"
    text = markdown([Table(["m"], [[name]])])
    assert r"a\_b\|\*\<i>\[x](y)\\ 100%" in text
    escaped = latex_text(name)
    assert r"a\_b" in escaped
    assert r"100\% \#1 \{z\} \textasciitilde{}\textasciicircum{} \$" in escaped
    assert r"\textbackslash{}" in escaped
    assert latex([Table(["m"], [["[x]"]])]).count("{[}x]") == 1


def test_a_spreadsheet_sees_no_formula():
    line = csv_text(entries_of(record(entry("=cmd()", {"a": 30.0})))).splitlines()[1]
    assert line.startswith("'=cmd(),")
