"""The cache on the device gives the batches of the ordinary path, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superres.datasets import device_cache
from superres.datasets.device_cache import CachedLoader, Plane, Window, resolved_cache
from superres.datasets.joined import MultiScaleDataset
from superres.datasets.loader import train_loader
from superres.datasets.paired import PairedDataset
from superres.datasets.sampler import IterationSampler
from superres.datasets.transforms.views import apply_view
from superres.errors import UserError

from .conftest import pictures
from .test_loader import PIPELINE, assert_equal

ODD = ((97, 121), (80, 103), (122, 88), (101, 99), (84, 134))


def loaders(root, stop: int = 8, start: int = 0, device: str = "cpu", **options) -> tuple:
    """The cached and the ordinary loader over one set."""
    dataset = PairedDataset(str(root), **{"pipeline": PIPELINE, **options}, seed=3, cache=None)
    sampler = IterationSampler(len(dataset), 4, seed=3, start=start, stop=stop)
    return CachedLoader(dataset, sampler, torch.device(device)), train_loader(dataset, sampler)


def assert_same(cached, ordinary) -> int:
    cached, ordinary = list(cached), list(ordinary)
    assert_equal(cached, ordinary)
    assert all(a["gt"].dtype == b["gt"].dtype for a, b in zip(cached, ordinary))
    return len(cached)


def test_many_iterations_and_a_resumed_run(make_packs):
    root = make_packs()
    assert assert_same(*loaders(root, stop=300)) == 300
    cached, ordinary = loaders(root, start=123, stop=130)
    assert len(cached) == 7
    assert assert_same(cached, ordinary) == 7


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("make_lq", ["auto", "bicubic"])
@pytest.mark.parametrize("kind", ["make_packs", "make_folders"])
def test_every_source(request, kind: str, make_lq: str, scale: int):
    root = request.getfixturevalue(kind)(pictures(5, ODD), scale, lq=make_lq == "auto")
    assert_same(*loaders(root, scale=scale, make_lq=make_lq))


def test_grey_and_sixteen_bits(make_folders):
    images = [p.astype(np.uint16) * 257 - 100 for p in pictures()]
    root = make_folders(images, lq=False)
    cached, ordinary = loaders(root, dtype="keep", channels="grey")
    assert_same(cached, ordinary)
    batch = next(iter(cached))
    assert batch["gt"].dtype == torch.uint16
    assert batch["gt"].shape == (4, 48, 48, 1)


def test_several_scales_share_the_ground_truth(make_packs):
    root = make_packs(pictures(5, ODD), 2, lq=False)
    part = {"type": "PairedDataset", "name": str(root), "pipeline": PIPELINE}
    dataset = MultiScaleDataset([2, 3, 4], part, seed=5)
    sampler = IterationSampler(5, 4, 5, stop=40, scales=[2, 3, 4])
    cached = CachedLoader(dataset, sampler, torch.device("cpu"))
    assert_same(cached, train_loader(dataset, sampler))
    assert (len(cached._gt), len(cached._lq)) == (1, 3)


@pytest.mark.parametrize("view", range(8))
def test_a_window_is_cut_and_turned_as_an_array(view: int):
    picture = pictures(1, ((9, 14),))[0]
    plane = Plane([(1, 5, 3), picture.shape], np.uint8, torch.device("cpu"))
    plane.put(1, picture)
    window = Window(5, 14, 1, picture.shape, picture.dtype)
    for second in range(8):
        turned = window.through(view)[1:7, 2:8].through(second)
        expected = apply_view(apply_view(picture, view)[1:7, 2:8], second)
        np.testing.assert_array_equal(plane.gather([turned])[0].numpy(), expected)


def test_it_must_fit(make_packs, monkeypatch):
    root = make_packs()
    gt = sum(p.size for p in pictures())
    needed = gt + gt // 16
    monkeypatch.setattr(device_cache, "available", lambda _: int(needed / 0.9) - 10)
    with pytest.raises(UserError, match=r"takes 0\.00 GiB, of .* of cpu's .*'disk' or None"):
        loaders(root)
    monkeypatch.setattr(device_cache, "available", lambda _: int(needed / 0.9) + 10)
    loaders(root)


def test_what_computes_with_pixels_cannot_run_over_places(make_packs):
    root = make_packs()
    noise = {"type": "RandomGaussianNoise", "level": 3}
    with pytest.raises(UserError, match="cache: RandomGaussianNoise computes with pixels"):
        loaders(root, pipeline=[PIPELINE[0], noise, {"type": "PackInputs"}])
    with pytest.raises(UserError, match="make_lq is 'none'"):
        loaders(root, make_lq="none")


def test_which_device():
    with pytest.raises(UserError, match=r"cache = 'tape' must be one of 'disk', 'cpu', 'gpu'"):
        resolved_cache("tape")
    if torch.cuda.is_available():
        assert resolved_cache("device") == "gpu"
    else:
        assert resolved_cache("device") == "cpu"
        with pytest.raises(UserError, match="finds no GPU"):
            resolved_cache("gpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same(make_packs):
    cached, ordinary = loaders(make_packs(), stop=200, device="cuda")
    assert next(iter(cached))["gt"].is_cuda
    on_cpu = ({k: v if k == "meta" else v.cpu() for k, v in b.items()} for b in cached)
    assert assert_same(on_cpu, ordinary) == 200
