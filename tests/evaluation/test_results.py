"""The record of an evaluation, its file and its table."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from superres.errors import UserError
from superres.evaluation.protocols import get_protocol
from superres.evaluation.render import print_table
from superres.evaluation.results import (
    json_safe,
    results_record,
    set_result,
    write_results,
)


def image(name: str, psnr: float | None, ssim: float | None = 0.9, **extra) -> dict:
    return {"name": name, "psnr": psnr, "ssim": ssim, **extra}


@pytest.fixture
def record() -> dict:
    results = [
        set_result("Set5", 2, "edsr-y", [image("a", 30.123456789), image("b", 33.0)], "Bicubic"),
        set_result("Set5", 2, "edsr-y", [image("a", 36.0), image("b", math.inf)], "ours"),
        set_result(
            "Set14", 2, "edsr-y", [image("c", 31.0), image("d", None, None, error="cut")], "ours"
        ),
        set_result("Set14", 2, "edsr-div2k", [image("d", None, None, error="cut")], "ours"),
    ]
    protocols = [get_protocol("edsr-y"), get_protocol("edsr-div2k")]
    checkpoint = {"path": "a.pth", "sha256": "00"}
    return results_record(results, protocols, checkpoint, device="cpu")


def test_means_and_what_is_missing(record):
    bicubic, ours, partial, nothing = record["results"]
    assert bicubic["psnr"] == pytest.approx((30.123456789 + 33) / 2, abs=1e-12)
    assert ours["psnr"] == math.inf
    assert partial["psnr"] == 31
    assert partial["notes"] == ["1 of 2 images not scored: d"]
    assert nothing["psnr"] is None


def test_the_file_follows_the_schema(record, tmp_path):
    path = write_results(tmp_path / "new" / "folder", record)
    assert path == tmp_path / "new" / "folder" / "results.json"
    read = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read["schema"] == 1
    assert read["checkpoint"] == {"path": "a.pth", "sha256": "00"}
    assert {"python", "superres", "numpy"} <= set(read["versions"])
    first, second = read["results"][:2]
    assert {"set", "scale", "protocol", "psnr", "ssim", "images"} <= set(first)
    assert first["images"][0] == {"name": "a", "psnr": 30.123456789, "ssim": 0.9}
    assert (second["psnr"], second["psnr_note"]) == (None, "inf")
    assert second["images"][1] == {"name": "b", "psnr": None, "psnr_note": "inf", "ssim": 0.9}
    assert read["protocols"]["edsr-y"]["channel"] == "y"
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_an_unwritable_folder(record, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="nothing can be written there"):
        write_results(tmp_path / "file" / "out", record)


def test_json_safe():
    value = {"a": np.float64(1.5), "b": (math.nan, -math.inf), "c": np.int64(3), "d": math.nan}
    expected = {"a": 1.5, "b": [None, None], "c": 3, "d": None, "d_note": "nan"}
    assert json_safe(value) == expected
    json.dumps(json_safe(value), allow_nan=False)


@pytest.mark.parametrize("from_file", [False, True])
def test_the_table(record, from_file):
    out = io.StringIO()
    print_table(json_safe(record) if from_file else record, Console(file=out, width=200))
    text = out.getvalue()
    first, second = text.split("PSNR / SSIM by edsr-y: ")
    assert first.split()[:5] == ["method", "Set5", "x2", "Set14", "x2"]
    rows = {line.split()[0]: line for line in first.splitlines() if "/" in line}
    assert "31.56 / 0.9000" in rows["Bicubic"]
    assert "31.00 / 0.9000" in rows["ours"]
    assert "inf /" in rows["ours"]
    assert "Set14 x2: 1 of 2 images not scored: d" in second
    assert get_protocol("edsr-y").line() in text
    assert get_protocol("edsr-div2k").line() in text
    assert "ours -" in " ".join(second.split())


@pytest.mark.parametrize("width", [40, 80, 130])
def test_no_number_is_cut_off_in_a_narrow_terminal(width):
    sets = ["Set5", "Set14", "B100", "Urban100", "Manga109"]
    psnrs = [30 + 0.13 * index for index in range(15)]
    cells = [(name, scale) for name in sets for scale in (2, 3, 4)]
    results = [
        set_result(name, scale, "edsr-y", [image("a", psnr)], "a [bold] method")
        for (name, scale), psnr in zip(cells, psnrs)
    ]
    out = io.StringIO()
    record = results_record(results, [get_protocol("edsr-y")])
    print_table(record, Console(file=out, width=width))
    text = out.getvalue()
    table = text[: text.index("PSNR / SSIM by")]
    assert max(map(len, table.splitlines())) <= width
    assert all(f"{name} x{scale}" in table for name, scale in cells)
    assert all(f"{psnr:.2f} / 0.9000" in table for psnr in psnrs)
    assert "a [bold] method" in table
