"""The optional metrics: values where a library works without network, and messages elsewhere."""

from __future__ import annotations

import math
import re
import urllib.error

import numpy as np
import pytest
import torch

from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.metrics.optional import LibraryMetric
from superres.evaluation.protocols import PROTOCOLS, evaluate_pair, get_protocol
from superres.imaging.colour import rgb_to_y
from superres.registry import METRICS


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
    scores, errors = ExtraMetrics(["ms-ssim"]).score(sr, hr, 3, get_protocol("edsr-y"))
    inside = (slice(3, -3), slice(3, -3))
    expected = ms_ssim(rgb_to_y(sr)[inside], rgb_to_y(hr)[inside])
    assert errors == {}
    assert 0.5 < expected < 0.999
    assert scores["ms-ssim"] == pytest.approx(expected, abs=1e-9)
    # By a protocol of RGB it is another number; of identical pictures it is 1.
    rgb, _ = ExtraMetrics(["ms-ssim"]).score(sr, hr, 3, get_protocol("mmediting-rgb"))
    assert abs(rgb["ms-ssim"] - expected) > 1e-5
    same, _ = ExtraMetrics(["ms-ssim"]).score(hr, hr, 3, get_protocol("edsr-y"))
    assert same["ms-ssim"] == pytest.approx(1, abs=1e-12)
    deep, _ = ExtraMetrics(["ms-ssim"]).score(
        *(x.astype(np.uint16) * 257 for x in pair), 3, get_protocol("edsr-y")
    )
    assert deep["ms-ssim"] == pytest.approx(expected, abs=1e-9)


def test_grey_and_small_pictures(pair, torchmetrics):
    sr, hr = (x[..., 0] for x in pair)
    metrics = ExtraMetrics(["ms-ssim"])
    scores, _ = metrics.score(sr, hr, 2, get_protocol("mmediting-rgb"))
    expected = ms_ssim(sr[2:-2, 2:-2].astype(float), hr[2:-2, 2:-2].astype(float))
    assert scores["ms-ssim"] == pytest.approx(expected, abs=1e-9)
    scores, errors = metrics.score(sr[:160], hr[:160], 2, get_protocol("edsr-y"))
    assert scores == {"ms-ssim": None}
    assert "more than 160 px" in errors["ms-ssim"]
    with pytest.raises(UserError, match="differ in size"):
        metrics.score(sr[:-9], hr, 2, get_protocol("edsr-y"))


def fake(monkeypatch, load, name="lpips"):
    """``name`` with another way to be loaded."""
    facts = {"title": "FAKE", "better": "lower", "text": "a fake", "load": load}
    facts["needs"] = ("somelib", "pip install x")
    monkeypatch.setitem(METRICS.module_dict, name, type("Fake", (LibraryMetric,), facts))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'lib'"), "needs somelib, .*No module named 'lib'"),
        (urllib.error.URLError("no network"), "no network.*weights .* fetched on first use"),
        (RuntimeError("operator does not exist"), "somelib, .*operator.* do not fit each other"),
    ],
)
def test_what_is_missing_is_told_before_any_work(monkeypatch, error, message):
    def load(self):
        raise error

    fake(monkeypatch, load)
    with pytest.raises(UserError, match=message) as raised:
        ExtraMetrics(["psnr", "lpips"])
    assert "lpips" in str(raised.value)
    assert "leave it out" in str(raised.value) or "pip install x" in str(raised.value)


def test_names():
    assert ExtraMetrics(["psnr", "ssim"]).names == []
    with pytest.raises(UserError, match="unknown metric 'msssim'; did you mean ms-ssim"):
        ExtraMetrics(["msssim"])


def test_networks_see_rgb_in_0_to_1_without_borders(monkeypatch, pair):
    sr, hr = pair
    seen = []

    def compute(a, b):
        seen.append((a, b))
        return (a - b).abs().mean()

    fake(monkeypatch, lambda self: compute)
    metrics = ExtraMetrics(["lpips"])
    scores, _ = metrics.score(sr, hr, 4, get_protocol("edsr-y"))
    a, _ = seen[0]
    assert a.shape == (1, 3, 182, 197)
    assert np.array_equal(a[0].numpy().transpose(1, 2, 0) * 255, sr[4:-4, 4:-4])
    expected = np.abs(sr[4:-4, 4:-4] / 255 - hr[4:-4, 4:-4] / 255).mean()
    assert scores["lpips"] == pytest.approx(expected, abs=1e-12)
    metrics.score(sr[..., 0], hr[..., 0], 4, get_protocol("edsr-y"))
    assert seen[1][0].shape == (1, 3, 182, 197)
    assert metrics.described()["lpips"]["line"].startswith("FAKE, lower is better")

    def too_small(a, b):
        raise RuntimeError("Given input size: (192x1x1)\nand more")

    fake(monkeypatch, lambda self: too_small)
    scores, errors = ExtraMetrics(["lpips"]).score(sr, hr, 4, get_protocol("edsr-y"))
    assert scores == {"lpips": None}
    assert errors["lpips"] == "lpips of 197x182 failed: Given input size: (192x1x1)"


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
    same, errors = metrics.score(hr, hr, 2, get_protocol("edsr-y"))
    other, _ = metrics.score(255 - hr, hr, 2, get_protocol("edsr-y"))
    assert errors == {}
    assert same == pytest.approx({"lpips": 0, "dists": 0}, abs=1e-5)
    assert min(other.values()) > 1e-3


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
    scores, errors = metrics.score(sr, hr, 4, get_protocol("edsr-y"))
    inside = np.abs(sr.astype(float) - hr)[4:-4, 4:-4]
    assert (scores, errors) == ({"Mine": 2 * inside.max() + 1, "shape": 182.0}, {})
    assert metrics.described()["Mine"]["line"] == "Mine: The largest error."
    for wanted, message in (
        ([{"type": "Mine", "depth": 3}], "metrics: Mine: .*depth"),
        ([{"type": "Mine"}, {"type": "Mine", "gain": 3}], "'Mine' is taken in results.json"),
        ([{"gain": 3}], "unknown metric None"),
    ):
        with pytest.raises(UserError, match=message):
            ExtraMetrics(wanted)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "it gave nan"),
        (math.inf, "it gave inf"),
        ("3", "it gave '3' instead of a finite number"),
        (np.zeros((2, 3)), "can only convert an array of size 1"),
        (KeyError("lost"), "'lost'"),
    ],
)
def test_what_is_no_score(monkeypatch, pair, value, said):
    monkeypatch.setitem(METRICS.module_dict, "Mine", Mine)
    metrics = ExtraMetrics([{"type": "Mine", "value": value}])
    scores, errors = metrics.score(*pair, 4, get_protocol("edsr-y"))
    assert scores == {"Mine": None}
    assert re.match(f"Mine of 197x182 failed: .*{said}", errors["Mine"])


def test_psnr_and_ssim_are_registered(pair):
    """Under every protocol they are what evaluate_pair gives, of shaved pictures too."""
    for protocol in PROTOCOLS.values():
        scores = evaluate_pair(*pair, 2, protocol)
        assert list(scores) == ["psnr", "ssim"]
        shaved = protocol.border(2)
        inside = [x[shaved:-shaved, shaved:-shaved] for x in pair]
        assert scores == {name: METRICS.get(name)(*inside, protocol) for name in scores}
