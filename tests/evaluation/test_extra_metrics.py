"""The optional metrics: values where a library works without network, and messages elsewhere."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.metrics.optional import LibraryMetric
from superres.evaluation.protocols import evaluate_pair, get_protocol
from superres.imaging.colour import rgb_to_y
from superres.registry import METRICS

EDSR, RGB = get_protocol("edsr-y"), get_protocol("mmediting-rgb")


@pytest.fixture
def pair(make_pair):
    return make_pair(190, 205, seed=3)


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Of one channel in [0, 255], by the library's own call."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    pair = (torch.from_numpy(np.asarray(x, np.float64))[None, None] / 255 for x in (a, b))
    return float(multiscale_structural_similarity_index_measure(*pair, data_range=1.0))


@pytest.fixture
def torchmetrics():
    """Skips also where its import fails on a torchvision that does not fit torch."""
    return pytest.importorskip(
        "torchmetrics.functional.image", exc_type=(ImportError, RuntimeError)
    )


def test_ms_ssim_follows_the_protocol(pair, torchmetrics):
    sr, hr = pair
    metrics = ExtraMetrics(["ms-ssim"])
    inside = (slice(3, -3), slice(3, -3))
    expected = ms_ssim(rgb_to_y(sr)[inside], rgb_to_y(hr)[inside])
    row = metrics.row(EDSR, sr, hr, 3)
    assert {**evaluate_pair(sr, hr, 3, EDSR), "ms-ssim": row["ms-ssim"]} == row
    assert row["ms-ssim"] == pytest.approx(expected, abs=1e-9)
    assert abs(metrics.row(RGB, sr, hr, 3)["ms-ssim"] - expected) > 1e-5
    deep = metrics.row(EDSR, *(x.astype(np.uint16) * 257 for x in pair), 3)
    assert deep["ms-ssim"] == pytest.approx(expected, abs=1e-9)
    grey = [x[..., 0] for x in pair]
    expected = ms_ssim(*(x[3:-3, 3:-3].astype(float) for x in grey))
    assert metrics.row(RGB, *grey, 3)["ms-ssim"] == pytest.approx(expected, abs=1e-9)
    small = metrics.row(EDSR, *(x[:160] for x in grey), 3)
    assert small["ms-ssim"] is None
    assert small["psnr"] > 0
    assert "must be larger than 160" in small["metric_errors"]["ms-ssim"]
    assert "differ in size" in metrics.row(EDSR, sr[:-9], hr, 3)["error"]


def fake(monkeypatch, load):
    """LPIPS with another way to be loaded."""
    facts = {"title": "FAKE", "text": "a fake", "load": load, "needs": ("somelib", "perceptual")}
    monkeypatch.setitem(METRICS.module_dict, "lpips", type("Fake", (LibraryMetric,), facts))


def test_what_is_missing_is_told_before_any_work(monkeypatch):
    def load(self, device):
        raise ModuleNotFoundError("No module named 'lib'")

    fake(monkeypatch, load)
    with pytest.raises(UserError, match=r"metrics: lpips: No module .*somelib.*network access"):
        ExtraMetrics("psnr,lpips")
    assert ExtraMetrics(["psnr ssim"]).names == []


def test_networks_see_rgb_in_0_to_1_without_borders(monkeypatch, pair):
    sr, hr = pair
    seen = []

    def compute(a, b):
        seen.append((a, b))
        return (a - b).abs().mean()

    fake(monkeypatch, lambda self, device: compute)
    metrics = ExtraMetrics(["lpips"])
    row = metrics.row(EDSR, sr, hr, 4)
    a, _ = seen[0]
    assert a.shape == (1, 3, 182, 197)
    assert np.array_equal(a[0].numpy().transpose(1, 2, 0) * 255, sr[4:-4, 4:-4])
    expected = np.abs(sr[4:-4, 4:-4] / 255 - hr[4:-4, 4:-4] / 255).mean()
    assert row["lpips"] == pytest.approx(expected, abs=1e-12)
    metrics.row(EDSR, sr[..., 0], hr[..., 0], 4)
    assert seen[1][0].shape == (1, 3, 182, 197)
    assert metrics.described()["lpips"]["line"].startswith("FAKE, lower is better")


@pytest.mark.slow
def test_lpips_and_dists_through_torchmetrics(monkeypatch, torchmetrics):
    """With random weights instead of those that would be fetched: the libraries' calls work."""
    vision = pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))

    def state(self, *args, **kwargs):
        name = type(self).__name__.partition("_")[0].lower()
        return getattr(vision.models, name)(weights=None).state_dict()

    monkeypatch.setattr(vision.models._api.WeightsEnum, "get_state_dict", state)
    hr = np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)
    metrics = ExtraMetrics(["lpips", "dists"])
    same, other = (metrics.row(EDSR, sr, hr, 2) for sr in (hr, 255 - hr))
    for name in metrics.names:
        assert same[name] == pytest.approx(0, abs=1e-5)
        assert other[name] > 1e-3


class Mine:
    """The largest error."""

    def __init__(self, gain=1.0, value=None):
        self.gain, self.value = gain, value

    def __call__(self, sr, hr, protocol):
        if isinstance(self.value, Exception):
            raise self.value
        largest = np.abs(sr.astype(float) - hr).max() * self.gain + protocol.border(1)
        return largest if self.value is None else self.value


def test_one_of_a_user(monkeypatch, pair):
    """A class with arguments, or a function; the pair is what the protocol compares."""
    sr, hr = pair
    monkeypatch.setitem(METRICS.module_dict, "Mine", Mine)
    monkeypatch.setitem(METRICS.module_dict, "shape", lambda sr, hr, protocol: sr.shape[0])
    metrics = ExtraMetrics(["psnr", {"type": "Mine", "gain": 2}, "shape", "shape"])
    row = metrics.row(EDSR, sr, hr, 4)
    inside = np.abs(sr.astype(float) - hr)[4:-4, 4:-4]
    assert (row["Mine"], row["shape"]) == (2 * inside.max() + 1, 182)
    assert metrics.described()["Mine"]["line"] == "Mine: The largest error."
    for wanted, message in (
        ([{"type": "Mine", "depth": 3}], "metrics: Mine: .*depth"),
        ([{"type": "Mine"}, {"type": "Mine", "gain": 3}], "'Mine' is taken in results.json"),
        ([{"gain": 3}], "unknown metric None"),
        (3, "unknown metric 3"),
        ("msssim", "unknown metric 'msssim'; did you mean ms-ssim"),
    ):
        with pytest.raises(UserError, match=message):
            ExtraMetrics(wanted)
    for value, said in (
        (math.nan, "it gave nan"),
        ("3", "it gave '3' instead of a finite number"),
        (np.zeros((2, 3)), "can only convert an array of size 1"),
        (RuntimeError("too small\nand more"), "too small$"),
    ):
        row = ExtraMetrics([{"type": "Mine", "value": value}]).row(EDSR, *pair, 4)
        assert row["Mine"] is None
        assert re.match(f"Mine of 197x182 failed: .*{said}", row["metric_errors"]["Mine"])
