"""The data benchmark: its pictures, its baselines, and what it reports."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import itertools
import zlib
from pathlib import Path

import numpy as np
import pytest

from superres.benchmarks import _data_baselines as others
from superres.benchmarks import _data_workers as workers
from superres.benchmarks import data
from superres.errors import UserError


def test_pictures_cost_a_decoder_what_photographs_do(monkeypatch):
    made = list(others.photographs(2, 300, 400))
    if importlib.util.find_spec("skimage") is not None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        made += others.photographs(2, 300, 400)
    for picture in made:
        assert picture.shape == (300, 400, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 20
        size = len(others.encode(picture)) / picture.size
        assert 0.35 < size < 0.85  # DIV2K's are about 0.55, noise is 1
        noise = np.diff(picture.astype(float), axis=1).std()
        assert noise < picture.std()  # neighbours are alike
    assert (made[0] != made[1]).any()


@pytest.mark.parametrize("length", [480, 700, 720, 1356, 2040])
def test_sub_images_cover_the_picture(length: int):
    starts = others.corners(length, 480, 240)
    assert starts[0] == 0
    assert starts[-1] == length - 480
    assert all(0 < b - a <= 240 for a, b in itertools.pairwise(starts))


def test_baselines_are_short_and_plain():
    for function in (others.PngFiles.__call__, others.SubImages.batch, others.augment):
        assert len(inspect.getsource(function).splitlines()) <= 30


def test_the_whole_benchmark_on_small_pictures(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(data, "HEIGHT", 516)
    monkeypatch.setattr(data, "WIDTH", 760)
    monkeypatch.setattr(data, "AS_PNG", 3)
    monkeypatch.setattr(data, "MEMORY_SIZES", (20, 40))
    monkeypatch.setattr(workers, "COUNT", 10)
    result = data.run(argparse.Namespace(pictures=4, workers=1, temp=tmp_path, repeats=7))
    by_name = {row["name"]: row for row in result["variants"]}
    assert [by_name[name]["unit"] for name in data.NAMES] == ["us/sample"] * 4
    whole, sub, ours, bound = (by_name[name]["median"] for name in data.NAMES)
    assert whole > ours > bound
    assert sub > 5 * ours
    assert result["ratios"]["superres / crop copy only (at most 2.5)"] == pytest.approx(
        ours / bound
    )
    rate = by_name["1 worker to an empty step"]["median"]
    step = by_name["step time below which data starves it, 1 worker"]["median"]
    assert step == pytest.approx(1000 / rate, rel=0.01)
    assert rate > 5
    assert all(row["repeats"] == 7 for row in result["variants"])
    assert not list(tmp_path.iterdir())  # the packs are gone


def test_a_baseline_that_disagrees_is_noticed(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(data, "HEIGHT", 516)
    monkeypatch.setattr(data, "WIDTH", 760)
    monkeypatch.setattr(data, "AS_PNG", 3)
    plain = others.augment
    monkeypatch.setattr(others, "augment", lambda patch, view: plain(patch, view ^ 1))
    with pytest.raises(AssertionError, match="PngFiles and superres disagree"):
        data.run(argparse.Namespace(pictures=3, workers=1, temp=tmp_path, repeats=7))


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="this system does not tell memory apart"
)
def test_private_memory_counts_what_no_file_backs(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * (40 << 20))
    before = workers._anonymous()
    mapped = np.memmap(file, np.uint8, "r")
    zlib.crc32(mapped)
    assert workers._anonymous() - before < 8
    held = np.ones(40 << 20, np.uint8)
    assert workers._anonymous() - before > 30
    assert held[-1] == 1


def test_mistakes(tmp_path: Path):
    with pytest.raises(UserError, match="at least 8 --pictures"):
        data.run(argparse.Namespace(pictures=2, workers=1, temp=None, repeats=7))
    with pytest.raises(UserError, match="is no folder"):
        data.run(argparse.Namespace(pictures=8, workers=1, temp=tmp_path / "x", repeats=7))
