"""The record of an evaluation, its file, and its tables as text; files of elsewhere."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from superres.cli.main import main
from superres.errors import UserError
from superres.evaluation import published
from superres.evaluation.protocols import get_protocol
from superres.evaluation.published import find_published, with_published
from superres.evaluation.render import csv_text, latex, latex_text, markdown, print_tables
from superres.evaluation.results import (
    as_json,
    read_results,
    results_record,
    set_result,
    write_results,
)
from superres.evaluation.tables import Table, all_tables, entries_of, result_tables

from .records import entry, record

DROP = object()


@pytest.fixture
def mixed():
    """Bicubic and ours; an image identical to HR, one that could not be scored, a set of such."""
    ours = entry("ours", {"a": 36.0, "b": math.inf})
    results = [ours, entry("ours", {"c": 31.0, "d": None}, "Set14")]
    results.append(entry("ours", {"d": None}, "Set14", protocol="edsr-div2k"))
    other = {"method": "RCAN", "psnr": 38.27, "ssim": 0.9614, "source": "paper"}
    ours["published"] = {**other, "difference": {"psnr": math.inf, "ssim": 0.04}}
    return record(*results, baselines=[entry("Bicubic", {"a": 30.123456789, "b": 33.0})])


def test_the_file_follows_the_schema(mixed, tmp_path):
    paths = write_results(tmp_path / "new" / "folder", mixed)
    assert [p.name for p in paths] == [f"results.{s}" for s in ("json", "md", "csv", "tex")]
    assert sorted(paths) == sorted(paths[0].parent.iterdir())
    read = json.loads(paths[0].read_text(), parse_constant=pytest.fail)
    assert read["schema"] == 1
    assert read["checkpoint"] == {"path": "best.pth", "sha256": "00"}
    assert {"python", "superres", "numpy"} <= set(read["versions"])
    assert read["protocols"]["edsr-y"]["channel"] == "y"
    first, partial, nothing = read["results"]
    assert {"set", "scale", "protocol", "psnr", "ssim", "images"} <= set(first)
    assert first["images"][0] == {"name": "a", "psnr": 36.0, "ssim": 0.36, "seconds": 0.5}
    assert (first["psnr"], first["psnr_note"]) == (None, "inf")
    assert (first["images"][1]["psnr"], first["images"][1]["psnr_note"]) == (None, "inf")
    assert (partial["psnr"], partial["notes"]) == (31, ["1 of 2 images not scored: d"])
    assert nothing["psnr"] is None
    (bicubic,) = read["baselines"]
    assert bicubic["psnr"] == pytest.approx((30.123456789 + 33) / 2, abs=1e-12)
    # Read again it is what was written.
    again = read_results(tmp_path / "new/folder")
    assert again["results"][0]["psnr"] == math.inf
    assert again["results"] == mixed["results"]
    assert "identical to HR, which makes the mean infinite: b" in again["results"][0]["notes"]


def test_notes_of_images_are_told_once():
    image = {"psnr": 30.0, "ssim": 0.9}
    images = [{"name": n, **image, "notes": ["tiles", *"x" * (n == "a")]} for n in "ab"]
    cell = set_result("Set5", 2, "edsr-y", images, "ours", notes=["made here"])
    assert cell["notes"] == ["tiles", "x (1 of 2 images)", "made here"]
    assert "notes" not in cell["images"][0]


def test_numbers_that_json_has_not():
    value = {"a": np.float64(1.5), "c": np.int64(3), "d": math.nan, "e": [{"f": -math.inf}]}
    wanted = {"a": 1.5, "c": 3, "d": None, "d_note": "nan", "e": [{"f": None, "f_note": "-inf"}]}
    assert json.loads(as_json(value), parse_constant=pytest.fail) == wanted


def printed(tables, width=200):
    out = io.StringIO()
    print_tables(tables, out, width)
    return out.getvalue()


def test_the_table(mixed):
    text = printed(all_tables(mixed))
    first, second = text.split("PSNR / SSIM by edsr-y: ")
    rows = {line.split()[0]: line for line in first.splitlines() if "/" in line}
    assert "31.56 / 0.3156" in rows["Bicubic"]
    assert "31.00 / 0.3100" in rows["ours"]
    assert "inf /" in rows["ours"]
    assert "Set14 x2: 1 of 2 images not scored: d" in second
    assert get_protocol("edsr-div2k").line() in second


@pytest.mark.parametrize("width", [40, 80, 130])
def test_no_number_is_cut_off_in_a_narrow_terminal(width):
    cells = [(n, s) for n in ("Set5", "Set14", "B100", "Urban100", "Manga109") for s in (2, 3, 4)]
    psnrs = [30 + 0.13 * index for index in range(15)]
    results = [entry("a [bold] method", {"a": p}, *cell) for cell, p in zip(cells, psnrs)]
    text = printed(all_tables(results_record(results, [get_protocol("edsr-y")])), width)
    table = text[: text.index("PSNR / SSIM by")]
    assert max(map(len, table.splitlines())) <= width
    assert all(f"{name} x{scale}" in table for name, scale in cells)
    assert all(f"{psnr:.2f} / {psnr / 100:.4f}" in table for psnr in psnrs)
    assert "a [bold] method" in table


@pytest.fixture
def compared(monkeypatch):
    monkeypatch.setattr(published, "SIZES", {"Set5": 2, "DIV2K": 2})
    edsr = with_published(entry("EDSR", {"a": 38.0, "b": 38.3}), find_published("EDSR"))
    div2k = entry("EDSR", {"c": 35.0, "d": None}, "DIV2K_valid", protocol="edsr-div2k")
    div2k = with_published(div2k, find_published("EDSR"))
    bicubic = entry("Bicubic", {"a": 33.0, "b": 34.0})
    runtime = [{"set": "Set5", "scale": 2, "memory_mb": 5.0, "seconds": {"total": 1, "median": 1}}]
    return record(edsr, div2k, baselines=[bicubic], runtime=runtime)


def test_published_and_difference(compared, tmp_path):
    edsr, div2k = compared["results"]
    assert "Lim" in edsr["published"]["source"]
    # The set has another name on disk; a mean over some images is compared with nothing.
    assert div2k["published"]["psnr"] == 35.03
    assert div2k["published"]["difference"] == {"psnr": None, "ssim": None}
    first, second = result_tables(compared)
    assert first.header == ["method", "Set5 x2", "published", "difference"]
    assert first.rows[0] == ["Bicubic", "33.50 / 0.3350", "", ""]
    assert first.rows[1] == ["EDSR", "38.15 / 0.3815", "38.11 / 0.9601", "+0.04 / -0.5786"]
    assert second.rows[0][1] == "35.00 / 0.3500 *"
    _, *paths = write_results(tmp_path, compared)
    md, lines, tex = (path.read_text() for path in paths)
    assert "| EDSR | 38.15 / 0.3815 | 38.11 / 0.9601 | +0.04 / -0.5786 |" in md
    assert "EDSR & 38.15 / 0.3815 & 38.11 / 0.9601" in tex
    _, ours, partial = csv.DictReader(io.StringIO(lines))
    assert float(ours["psnr"]) == edsr["psnr"]
    assert (partial["images"], partial["not_scored"], partial["ssim"]) == ("2", "1", "0.35")


def test_a_set_of_another_number_of_images_is_compared_with_nothing():
    line = with_published(entry("EDSR", {"a": 38.0, "b": 38.3}), find_published("EDSR"))
    assert "published" not in line
    assert line["notes"] == ["2 images; published scores of Set5 are of 5"]


def test_names_are_no_markup():
    name = r"a_b|*<i>[x](y)\ 100% #1 {z} ~^ $"
    assert r"a\_b\|\*\<i>\[x](y)\\ 100%" in markdown([Table(["m"], [[name]])])
    escaped = latex_text(name)
    assert r"a\_b" in escaped
    assert r"100\% \#1 \{z\} \textasciitilde{}\textasciicircum{} \$" in escaped
    assert r"\textbackslash{}" in escaped
    assert latex([Table(["m"], [["[x]"]])]).count("{[}x]") == 1
    line = csv_text(entries_of(record(entry("=cmd()", {"a": 30.0})))).splitlines()[1]
    assert line.startswith("'=cmd(),")  # a spreadsheet sees no formula


def written(tmp_path, *keys, value=DROP) -> str:
    """A file in which one value is another, or is not there."""
    (path, *_) = write_results(tmp_path, record(entry("ours", {"a": 30.0, "b": 32.0})))
    node = content = json.loads(path.read_text())
    *keys, last = keys
    for key in keys:
        node = node[key]
    if value is DROP:
        del node[last]
    else:
        node[last] = value
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("schema",), 2, "its schema is 2"),
        (("results",), [], "no results in it"),
        (("sets",), [{}], "sets[0] has no set"),
        (("protocols",), {}, "protocol 'edsr-y' of ours on Set5 is not described"),
        (("results", 0, "psnr"), DROP, "results[0] has no psnr"),
        (("results", 0, "scale"), 10**30, "results[0].scale is '1000000"),
        (("results", 0, "notes"), [3], "results[0].notes[0] is '3', no text"),
        (("results", 0, "images", 0, "psnr"), "x", "results[0].images[0].psnr is 'x'"),
        (("results", 0, "images", 0, "name"), "b", "two images of ours on Set5"),
    ],
)
def test_one_message_names_the_fault(tmp_path, capsys, keys, value, message):
    path = written(tmp_path, *keys, value=value)
    assert main(["table", path]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert path in said
    assert "Traceback" not in said


@pytest.mark.parametrize("data", [b"", b'{"results": [', b"\xff\xfe" + bytes(range(256))])
def test_a_part_of_a_file(tmp_path, data):
    with pytest.raises(UserError, match=r"no such file\. Give the results.json"):
        read_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_bytes(data)
    with pytest.raises(UserError, match="not valid JSON, or a truncated file"):
        read_results(tmp_path)
