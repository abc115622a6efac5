"""Crops, flips, turns: where they go, how often, and what a transform that knows no views sees."""

from __future__ import annotations

import numpy as np
import pytest
from mmcv.transforms import BaseTransform

from superres.datasets.sampler import sample_generator
from superres.datasets.transforms.compose import Pipeline
from superres.datasets.transforms.views import apply_view, settle_view, then, view_shape
from superres.errors import UserError

VIEWS = range(8)
FLIPS = [
    {"type": "RandomFlip", "direction": "horizontal"},
    {"type": "RandomFlip", "direction": "vertical"},
]


def seen(image: np.ndarray, view: int) -> np.ndarray:
    """The definition: bit 1 flips left-right, bit 2 up-down, bit 4 then transposes."""
    image = image[:, ::-1] if view & 1 else image
    image = image[::-1] if view & 2 else image
    return image.swapaxes(0, 1) if view & 4 else image


def sample(draw: int, shape: tuple = (20, 30, 3), scale: int = 4, seed: int = 0) -> dict:
    height, width, channels = shape
    rng = np.random.default_rng(99)
    gt = rng.integers(0, 256, (height * scale, width * scale, channels), dtype=np.uint8)
    # Where a gt pixel comes from can be read off its lq pixel: lq is every scale-th gt pixel.
    made = {"lq": gt[::scale, ::scale], "gt": gt, "scale": scale, "gt_path": "a/picture"}
    return {**made, "rng": sample_generator(seed, draw)}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("view", VIEWS)
def test_applying_a_view(view: int, channels: int, dtype: type):
    whole = np.random.default_rng(view).integers(0, 255, (40, 50, channels)).astype(dtype)
    crop = whole[3:24, 7:40]
    whole.flags.writeable = crop.flags.writeable = False
    found = apply_view(crop, view)
    assert found.shape == view_shape(crop.shape, view)
    assert found.flags.c_contiguous
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, seen(crop, view))
    room = np.zeros((3, *found.shape), dtype)
    apply_view(crop, view, room[1])
    np.testing.assert_array_equal(room[1], found)
    assert not room[0].any()
    assert not room[2].any()
    assert not np.shares_memory(apply_view(crop, 0), whole)


def test_composition():
    image = np.arange(4 * 6 * 3).reshape(4, 6, 3)
    for first in VIEWS:
        for second in VIEWS:
            both = seen(seen(image, first), second)
            np.testing.assert_array_equal(seen(image, then(first, second)), both)


@pytest.mark.parametrize(
    "turn", [{"type": "RandomTranspose"}, {"type": "RandomRot90"}], ids=lambda t: t["type"]
)
@pytest.mark.parametrize("order", ["behind", "before"])
def test_all_eight_views_are_equally_likely(turn: dict, order: str):
    steps = [*FLIPS, turn] if order == "behind" else [turn, *FLIPS]
    pipeline = Pipeline(steps)
    counts = np.zeros(8)
    for draw in range(8000):
        counts[pipeline({"rng": sample_generator(3, draw)}).get("view", 0)] += 1
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 24.3  # 7 degrees of freedom, p = 0.001
    assert chi_square > 0.6  # nor more even than chance


def test_rot90_is_a_quarter_turn_against_the_clock_and_probabilities():
    made = settle_view(Pipeline([{"type": "RandomRot90", "prob": 1.0}])(sample(0)))
    np.testing.assert_array_equal(made["gt"], np.rot90(sample(0)["gt"]))
    for prob, view in ((1.0, 3), (0.0, 0)):
        flips = Pipeline([{**f, "prob": prob} for f in FLIPS])
        assert {flips(sample(draw)).get("view", 0) for draw in range(50)} == {view}


@pytest.mark.parametrize("how", [{"lq_patch_size": 8}, {"gt_patch_size": 32}], ids=str)
def test_crops_are_aligned_and_reach_every_place(how: dict):
    pipeline = Pipeline([{"type": "PairedRandomCrop", **how}])
    whole = sample(0, (10, 11, 3))
    places = set()
    for draw in range(400):
        made = pipeline(sample(draw, (10, 11, 3)))
        top, left = made["top"], made["left"]
        places.add((top, left))
        assert made["lq"].shape == (8, 8, 3)
        assert made["gt"].shape == (32, 32, 3)
        np.testing.assert_array_equal(made["gt"][::4, ::4], made["lq"])
        np.testing.assert_array_equal(made["lq"], whole["lq"][top : top + 8, left : left + 8])
    assert places == {(t, le) for t in range(3) for le in range(4)}


class Corner(BaseTransform):
    """Knows nothing of views: notes the corner pixel that it sees."""

    def transform(self, results: dict) -> dict:
        results["corner"] = results["gt"][0, 0].copy()
        results["seen_shape"] = results["lq"].shape
        return results


def test_a_transform_that_knows_no_views_gets_settled_pixels():
    gt = sample(0)["gt"]
    turn = [{**f, "prob": 1.0} for f in FLIPS[:1]] + [{"type": "RandomTranspose", "prob": 1.0}]
    made = Pipeline([*turn, Corner(), {"type": "PackInputs"}])(sample(0))
    np.testing.assert_array_equal(made["gt"], seen(gt, 5))
    assert made["view"] == 0  # nothing is left to do
    assert made["meta"]["view"] == 5  # and the record knows what was done
    later = Pipeline([*turn, Corner(), *turn, {"type": "PackInputs"}])(sample(0))
    assert later["meta"]["view"] == then(5, 5)
    np.testing.assert_array_equal(seen(later["gt"], later["view"]), seen(seen(gt, 5), 5))
    corner = Pipeline([*turn, Corner()])(sample(0))
    np.testing.assert_array_equal(corner["corner"], seen(gt, 5)[0, 0])
    assert corner["seen_shape"] == (30, 20, 3)


def test_pack_keeps_the_record_and_drops_the_rest():
    given = {**sample(4), "index": 3, "draw": 4, "name": "picture", "mine": 1, "other": 2}
    made = Pipeline([{"type": "PackInputs", "meta_keys": ("mine",)}])(given)
    assert set(made) == {"inputs", "gt", "view", "meta"}
    kept = ("index", "draw", "name", "scale", "gt_path", "mine")
    assert made["meta"] == {key: given[key] for key in kept} | {"view": 0}


class Forgetful(BaseTransform):
    def transform(self, results: dict) -> None:
        results["x"] = 1


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ({"type": "PairedRandomCrop"}, "either lq_patch_size or gt_patch_size"),
        ({"type": "PairedRandomCrop", "lq_patch_size": 4, "margin": -1}, "margin = -1"),
        ({"type": "PairedRandomCrop", "gt_patch_size": 30}, "not a multiple of the scale 4"),
        ({"type": "PairedRandomCrop", "lq_patch_size": 24}, "a/picture.* 30x20 .*patch of 24x24"),
        ({"type": "RandomFlip", "direction": "diagonal"}, "'horizontal' or 'vertical'"),
        ({"type": "RandomRot90", "prob": 50}, "between 0 and 1"),
        (Forgetful(), "Forgetful gave nothing back for a/picture"),
    ],
)
def test_mistakes(step, fault):
    with pytest.raises(UserError, match=fault):
        Pipeline([step])(sample(0))
