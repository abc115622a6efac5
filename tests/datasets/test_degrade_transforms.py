"""Degradations while training: equal to those of whole images, keyed, and within their ranges."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest

from superres.datasets.loader import train_loader
from superres.datasets.paired import PairedDataset
from superres.datasets.sampler import IterationSampler, SampleKey, sample_generator
from superres.datasets.transforms.compose import Pipeline
from superres.datasets.transforms.degrade import to_uint8
from superres.datasets.transforms.views import settle_view
from superres.engine.config.load import load_config
from superres.errors import UserError
from superres.imaging import degrade
from superres.imaging.degrade import blur, blur_down, gaussian_kernel, jpeg
from superres.imaging.resize import imresize, modcrop

from .conftest import pictures
from .test_loader import PIPELINE

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "edsr"
FLIPS = PIPELINE[1:4]


def smooth(count: int = 3, side: int = 132) -> list[np.ndarray]:
    """Images with something to see at every size."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, side // 6, side // 5, 3), dtype=np.uint8)
    return [cv2.resize(c, (side, side - 11), interpolation=cv2.INTER_CUBIC) for c in coarse]


def pipeline(steps: list[dict], patch: int = 12, margin: int = 0, dtype: str = "uint8") -> list:
    return [
        {"type": "PairedRandomCrop", "lq_patch_size": patch, "margin": margin},
        {"type": "Degrade", "steps": steps, "dtype": dtype},
        {"type": "PackInputs"},
    ]


def run(steps: list, gt: np.ndarray, scale: int = 4, draw: int = 0, dtype: str = "uint8") -> dict:
    sample = {"gt": gt, "scale": scale, "gt_path": "a", "rng": sample_generator(0, draw)}
    return Pipeline([{"type": "Degrade", "steps": steps, "dtype": dtype}])(sample)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("step", "whole"),
    [
        ({"type": "ResizeToLq"}, lambda gt, scale: imresize(gt, 1 / scale)),
        ({"type": "BlurDown"}, blur_down),
    ],
    ids=["bicubic", "BD"],
)
def test_a_patch_equals_that_of_the_degraded_picture(make_packs, step, whole, scale: int):
    images = smooth()
    root = str(make_packs(images, scale, lq=False))
    dataset = PairedDataset(root, scale=scale, make_lq="none", pipeline=pipeline([step], margin=3))
    degraded = [whole(modcrop(gt, scale), scale) for gt in images]
    for draw in range(60):
        made = dataset[SampleKey(draw % 3, draw)]
        top, left = made["meta"]["top"], made["meta"]["left"]
        expected = degraded[draw % 3][top : top + 12, left : left + 12]
        np.testing.assert_array_equal(made["inputs"], expected)
        size = 12 * scale
        expected = images[draw % 3][top * scale :, left * scale :][:size, :size]
        np.testing.assert_array_equal(made["gt"], expected)


@pytest.mark.parametrize("order", ["before", "behind"])
def test_flips_before_and_behind(make_packs, order: str):
    images = [60 + picture // 2 for picture in smooth()]  # nothing to clamp between the passes
    root = str(make_packs(images, lq=False))
    crop = {"type": "PairedRandomCrop", "lq_patch_size": 12, "margin": 4}
    steps = [{"type": "Degrade", "steps": [{"type": "ResizeToLq"}]}]
    steps = [*FLIPS, *steps] if order == "before" else [*steps, *FLIPS]
    dataset = PairedDataset(root, make_lq="none", pipeline=[crop, *steps])
    for draw in range(40):
        made = settle_view(dataset[SampleKey(draw % 3, draw)])
        assert made["lq"].shape == (12, 12, 3)
        assert made["gt"].shape == (48, 48, 3)
        # The bicubic of what was seen, away from the border, is what was made.
        again = imresize(np.ascontiguousarray(made["gt"]), 1 / 4)
        difference = np.abs(again[3:-3, 3:-3].astype(int) - made["lq"][3:-3, 3:-3])
        assert difference.max() <= 1  # a transpose swaps the passes, each of which rounds


def test_unrounded_steps_round_once():
    gt = modcrop(smooth(1)[0], 4)
    steps = [
        {"type": "RandomGaussianBlur", "sigma": 1.2, "kernel_size": 9, "anisotropic": 0},
        {"type": "ResizeToLq"},
    ]
    kernel = gaussian_kernel(9, 1.2, 1.2)
    unrounded = imresize(blur(gt.astype(np.float32), kernel), 1 / 4)
    np.testing.assert_array_equal(run(steps, gt, dtype="float32")["lq"], to_uint8(unrounded))
    rounded = imresize(blur(gt, kernel), 1 / 4)
    np.testing.assert_array_equal(run(steps, gt)["lq"], rounded)
    assert (to_uint8(unrounded) != rounded).any()


def uniform(values: list[float], low: float, high: float) -> None:
    """Chi-square over five equal parts; p = 0.0001."""
    assert min(values) >= low
    assert max(values) <= high
    counts = np.histogram(values, 5, (low, high))[0]
    expected = len(values) / 5
    assert ((counts - expected) ** 2 / expected).sum() < 23.5


def test_ranges_are_drawn_from_evenly(monkeypatch):
    names = ("gaussian_kernel", "sinc_kernel", "gaussian_noise", "poisson_noise", "jpeg")
    spies = [mock.Mock(wraps=getattr(degrade, name)) for name in names]
    for name, spy in zip(names, spies):
        monkeypatch.setattr(degrade, name, spy)
    steps = [
        {"type": "RandomGaussianBlur", "sigma": [0.5, 3], "kernel_size": [5, 9], "prob": 0.8},
        {"type": "RandomSinc", "cutoff": [1, 2], "kernel_size": 7},
        {"type": "ResizeToLq"},
        {"type": "RandomGaussianNoise", "level": [5, 15], "grey": 0.4},
        {"type": "RandomPoissonNoise", "strength": [0.5, 1]},
        {"type": "RandomJpeg", "quality": [30, 95]},
    ]
    for draw in range(500):
        run(steps, np.zeros((32, 32, 3), np.uint8), draw=draw)
    kernels, sincs, noises, shots, files = ([c.args for c in s.call_args_list] for s in spies)
    assert 370 < len(kernels) < 430
    uniform([k[1] for k in kernels], 0.5, 3)
    uniform([k[2] for k in kernels], 0.5, 3)
    uniform([k[3] for k in kernels], 0, np.pi)
    assert {k[0] for k in kernels} == {5, 7, 9}
    uniform([c[1] for c in sincs], 1, 2)
    uniform([n[1] for n in noises], 5, 15)
    assert 160 < sum(n[3] for n in noises) < 240
    uniform([n[1] for n in shots], 0.5, 1)
    assert {f[1] for f in files} <= set(range(30, 96))


def test_rescaling_goes_both_ways():
    gt = np.zeros((64, 80, 3), np.uint8)
    rescale = {"type": "RandomRescale", "factor": [0.5, 1.5], "odds": [0.2, 0.7, 0.1]}
    for of, side in (("gt", 64), ("lq", 16)):
        step = Pipeline([{**rescale, "of": of}])
        drawn = (
            {"gt": gt, "lq": gt, "scale": 4, "rng": sample_generator(0, d)} for d in range(600)
        )
        sides = [step(sample)["lq"].shape[0] for sample in drawn]
        assert (min(sides), max(sides)) == (side // 2, side * 1.5)
        if of == "gt":  # a fifth larger, seven tenths smaller
            assert 80 < sum(s > side for s in sides) < 160
            assert 350 < sum(s < side for s in sides) < 470


def test_one_of():
    jpeg_of, gt = {"type": "RandomJpeg", "quality": 10}, smooth(1)[0]
    step = [{"type": "OneOf", "odds": [1, 3], "choices": [jpeg_of, []]}]
    made = [run(step, gt, 1, draw)["lq"] for draw in range(200)]
    same = [(one == gt).all() for one in made]
    assert all(s or (one == jpeg(gt, 10)).all() for s, one in zip(same, made))
    assert 125 < sum(same) < 175


LEAVES = sorted(CONFIGS.glob("*_div2k-*.py"))


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem.rpartition("-")[2])
def test_every_form_of_the_data(make_packs, path: Path):
    name = path.stem.rpartition("-")[2]
    cfg = load_config(str(path), ["train_set=packs", "lq_patch_size=8", "seed=2"])
    root = make_packs(smooth(4), cfg.scale, lq=name != "bicubic")
    if name == "unknown":
        low = root / f"LR_bicubic_X{cfg.scale}.lmdb"
        low.rename(root / f"LR_unknown_X{cfg.scale}.lmdb")
        cfg = load_config(str(path), ["lq_patch_size=8"])
        assert cfg.train_set == "DIV2K_train/LR_unknown"
        cfg = load_config(str(path), ["lq_patch_size=8", "train_set=packs/LR_unknown"])
    options = {**cfg.train_dataloader.dataset, "data_root": str(root.parent), "seed": 2}
    options.pop("type")
    dataset = PairedDataset(**options)
    loaded = [
        list(train_loader(dataset, IterationSampler(4, 3, 2, stop=4), **workers))
        for workers in ({}, {"num_workers": 1, "start_method": "fork"})
    ]
    for a, b in zip(*loaded):
        assert a["gt"].shape == (3, 8 * cfg.scale, 8 * cfg.scale, 3)
        assert a["meta"] == b["meta"]
        assert (a["inputs"] == b["inputs"]).all()
    evaluation = {**cfg.get("eval_dataset", {}), "data_root": str(root.parent), "scale": cfg.scale}
    if "make_lq" in evaluation:
        whole, again = (PairedDataset("packs", **evaluation) for _ in range(2))
        lq, gt = whole.load(1)
        assert lq.shape[0] * cfg.scale == gt.shape[0]
        np.testing.assert_array_equal(lq, again.load(1)[0])
        assert np.abs(lq.astype(int) - imresize(gt, 1 / cfg.scale)).max() > 2


def test_mistakes(make_packs):
    root = str(make_packs())
    gt = pictures()[0]
    jpeg_of = {"type": "RandomJpeg", "quality": 50}
    for step, fault in (
        (jpeg_of, r"lq at 120x96; at scale 4 it must be 30x24"),
        ({**jpeg_of, "quality": [90, 30]}, r"RandomJpeg: quality = \[90, 30\] must .* 1 and 100"),
        ({"type": "RandomSinc", "prob": 2}, "RandomSinc: prob = 2"),
        ({"type": "RandomRescale", "factor": [0.2, 0.5]}, "1 must lie within factor"),
        ({"type": "OneOf", "choices": [[]], "odds": [1, 2]}, "OneOf: odds = .* must be 1 numbers"),
    ):
        with pytest.raises(UserError, match=fault):
            run([step], gt)
    for options, fault in (
        ({"pipeline": pipeline([{"type": "ResizeToLq"}])}, "set make_lq='none'"),
        ({"make_lq": "none", "pipeline": [{"type": "PackInputs"}]}, "put Degrade before PackInput"),
    ):
        with pytest.raises(UserError, match=fault):
            PairedDataset(root, **options)[0]
    with pytest.raises(UserError, match="'uint8' or 'float32'"):
        run([], gt, dtype="int8")
