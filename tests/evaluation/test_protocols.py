"""Protocols against published packages' own numbers, and published tables."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from superres.errors import UserError
from superres.evaluation.metrics import psnr, ssim
from superres.evaluation.protocols import (
    PROTOCOLS,
    Protocol,
    classical_bicubic,
    evaluate_pair,
    get_protocol,
)
from superres.imaging.io import read_image
from superres.imaging.listing import list_images
from superres.imaging.resize import imresize, modcrop

DECIBEL, SIMILARITY = 1e-4, 1e-6  # the tolerances of this file


def check(row: dict, found: dict[str, float], suffix: str = "") -> None:
    assert found["psnr"] == pytest.approx(row["psnr" + suffix], abs=DECIBEL)
    if "ssim" + suffix in row:
        assert found["ssim"] == pytest.approx(row["ssim" + suffix], abs=SIMILARITY)


@pytest.fixture(scope="module")
def golden(reference_dir):
    folder = reference_dir / "golden" / "evaluation"
    numbers = json.loads((folder / "evaluation.json").read_text())
    return numbers, dict(np.load(folder / "pairs.npz"))


def pair(arrays: dict, row: dict) -> tuple[np.ndarray, np.ndarray]:
    if "pair" in row:
        return arrays[f"sr{row['pair']}"], arrays[f"hr{row['pair']}"]
    return arrays["sr_float0"], arrays[row["hr"]]


def shaving(border: int, **changes) -> Protocol:
    rules = {"base": "mmediting-rgb", "name": "test", "border_per_scale": 0}
    return get_protocol({**rules, "border_extra": border, **changes})


@pytest.mark.reference
def test_mmagic_and_basicsr(golden):
    """Neither rounds nor clamps floats."""
    numbers, arrays = golden
    for row in numbers["mmagic"]["uint8_pairs"] + numbers["mmagic"]["float_pair"]:
        channel = "y" if row.get("convert_to") == "Y" else "rgb"
        rules = shaving(row["crop_border"], channel=channel, sr_rounding="none")
        check(row, evaluate_pair(*pair(arrays, row), 2, rules))
    for row in numbers["basicsr"]["uint8_pairs"]:
        rules = shaving(row["crop_border"], channel="y" if row["test_y_channel"] else "rgb")
        check(row, evaluate_pair(*pair(arrays, row), 2, rules))
        rules = dataclasses.replace(rules, mse_offset=1e-8)
        check(row, evaluate_pair(*pair(arrays, row), 2, rules), "_pt")


@pytest.mark.reference
def test_edsr_pytorch_and_super_image(golden):
    numbers, arrays = golden
    theirs = numbers["edsr_pytorch"]
    for row in theirs["uint8_pairs"] + theirs["quantized_float_pair"]:
        name = "edsr-y" if row["benchmark"] else "edsr-div2k"
        check(row, evaluate_pair(*pair(arrays, row), row["scale"], name))
    for row in numbers["super_image"]["uint8_pairs"] + numbers["super_image"]["float_pair"]:
        check(row, evaluate_pair(*pair(arrays, row), row["scale"], "super-image"))


@pytest.mark.reference
def test_the_blue_channel_alone(golden):
    numbers, arrays = golden
    for row in numbers["skimage"]["uint8_pairs"]:
        rules = get_protocol({**dataclasses.asdict(shaving(0)), "ssim": "blue"})
        found = evaluate_pair(*pair(arrays, row), 2, rules)["ssim"]
        assert found == pytest.approx(row["ssim_gaussian_per_channel"][2], abs=1e-9)


def means(scores: list[dict[str, float]]) -> tuple[float, float]:
    return tuple(float(np.mean([score[key] for score in scores])) for key in ("psnr", "ssim"))


@pytest.mark.reference
@pytest.mark.parametrize(
    ("folder", "scale", "luma", "rgb", "classical"),
    [
        ("Set5", 2, 33.673, 31.787, (33.66, 0.9299)),
        ("Set5", 3, 30.403, 28.624, (30.39, 0.8682)),
        ("Set5", 4, 28.429, 26.692, (28.42, 0.8104)),
        ("Set14", 2, 30.325, None, None),
        ("Set14", 4, 26.088, None, None),
    ],
)
def test_bicubic_rows(reference_dir, folder, scale, luma, rgb, classical):
    scores = {"edsr-y": [], "mmediting-rgb": [], "classical-y": []}
    for path in list_images(reference_dir / "data" / "benchmark" / folder / "HR"):
        hr = read_image(path)
        sr = imresize(imresize(modcrop(hr, scale), scale=1 / scale), scale=scale)
        for name in ("edsr-y", "mmediting-rgb"):
            scores[name].append(evaluate_pair(sr, hr, scale, name))
        old = classical_bicubic(hr, scale)
        scores["classical-y"].append(evaluate_pair(old, hr, scale, "classical-y"))
    assert means(scores["edsr-y"])[0] == pytest.approx(luma, abs=1e-3)
    if rgb is not None:
        assert means(scores["mmediting-rgb"])[0] == pytest.approx(rgb, abs=1e-3)
    if classical is not None:
        found = means(scores["classical-y"])
        assert (round(found[0], 2), round(found[1], 4)) == classical


def test_borders_and_order_of_the_steps(make_pair):
    """Round, then colour, then shave, then score; each protocol by its own formula."""
    sr, hr = make_pair(seed=2)
    rough = sr + np.random.default_rng(0).uniform(-0.6, 0.6, sr.shape)
    whole = np.clip(np.rint(rough), 0, 255).astype(np.uint8)
    unrounded = np.clip(rough, 0, 255)
    for scale in (2, 3, 4):
        luma = {"channel": "y", "border": scale}
        for name, shown, options in (
            ("edsr-y", whole, luma),
            ("edsr-div2k", whole, {"border": scale + 6}),
            ("mmediting-ssim-bug", whole, {"border": scale}),
            ("super-image", unrounded, {**luma, "weights": "super-image"}),
            ("classical-y", whole, {**luma, "round_y": True}),
        ):
            found = evaluate_pair(rough, hr, scale, name)
            assert found["psnr"] == psnr(shown, hr, **options)
            if name == "mmediting-ssim-bug":
                assert found["ssim"] == ssim(whole[..., 2], hr[..., 2], border=scale)
            else:
                assert found["ssim"] == ssim(shown, hr, **options)


def test_sizes_that_differ(make_pair):
    sr, hr = make_pair(48, 60)
    larger = np.pad(hr, ((0, 1), (0, 2), (0, 0)), mode="edge")
    assert evaluate_pair(sr, larger, 3, "edsr-y") == evaluate_pair(sr, hr, 3, "edsr-y")
    with pytest.raises(UserError, match=r"expected 62x49 \(HR\), found 60x48.*at most 1 px"):
        evaluate_pair(sr, larger, 2, "edsr-y")
    with pytest.raises(UserError, match="expected 60x48"):
        evaluate_pair(larger, hr, 3, "edsr-y")
    # MMEditing scores what was cut to a multiple of 12.
    assert evaluate_pair(sr, larger, 2, "mmediting-rgb") == evaluate_pair(
        sr, hr, 2, "mmediting-rgb"
    )
    strict = {"base": "edsr-y", "name": "strict", "on_mismatch": "error"}
    with pytest.raises(UserError, match="strict allows HR to be larger by at most 0 px"):
        evaluate_pair(sr, larger, 3, strict)


def test_super_image_resizes_hr(make_pair):
    sr, hr = make_pair(48, 60)
    larger = np.pad(hr, ((0, 1), (0, 2), (0, 0)), mode="edge")
    resized = np.asarray(Image.fromarray(larger).resize((60, 48), Image.Resampling.BICUBIC))
    found = evaluate_pair(sr, larger, 3, "super-image")
    assert found == evaluate_pair(sr, resized, 3, "super-image")
    with pytest.raises(UserError, match="needs an 8-bit image"):
        evaluate_pair(sr.astype(np.uint16), larger.astype(np.uint16), 3, "super-image")


def test_16_bit_and_identical_pictures(make_pair):
    sr, hr = make_pair()
    deep = [x.astype(np.uint16) * 257 for x in (sr, hr)]
    for name in PROTOCOLS:
        if name != "classical-y":  # rounds luma, to finer levels here
            assert evaluate_pair(*deep, 2, name) == pytest.approx(evaluate_pair(sr, hr, 2, name))
        assert evaluate_pair(hr, hr, 2, name) == {"psnr": math.inf, "ssim": 1.0}
    floats = deep[0].astype(np.float64) + 0.3
    assert evaluate_pair(floats, deep[1], 2, "edsr-y") == evaluate_pair(*deep, 2, "edsr-y")


def test_what_is_no_result(make_pair):
    sr, hr = make_pair()
    assert evaluate_pair(classical_bicubic(hr, 2), modcrop(hr, 2), 2, "classical-y")["psnr"] > 10
    with pytest.raises(UserError, match=r"found .* grey"):
        evaluate_pair(sr[..., 0], hr, 2, "edsr-y")
    holed = sr.astype(np.float32)
    holed[5, 6, 0] = np.nan
    for name in PROTOCOLS:
        with pytest.raises(UserError, match=r"SR has 1 NaN.*row 5, column 6"):
            evaluate_pair(holed, hr, 2, name)
        with pytest.raises(UserError, match=r"SR is float with values in \[0, "):
            evaluate_pair(sr / 255, hr, 2, name)


def test_look_up():
    expected = "edsr-y edsr-div2k classical-y mmediting-rgb mmediting-ssim-bug super-image"
    assert list(PROTOCOLS) == expected.split()
    assert all(protocol.source for protocol in PROTOCOLS.values())
    assert get_protocol(get_protocol("edsr-y")) is PROTOCOLS["edsr-y"]
    mine = get_protocol({"base": "edsr-y", "name": "mine", "border_extra": 2})
    own = {"name": "mine", "border_extra": 2, "description": "", "source": "based on edsr-y"}
    assert mine == dataclasses.replace(PROTOCOLS["edsr-y"], **own)
    assert "luma=bt601" in mine.line()
    assert mine.border(4) == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("edsr_y", r"unknown protocol 'edsr_y'; did you mean edsr-y.*known are edsr-y, edsr-div2k"),
        ({"name": "a", "chanel": "y"}, "unknown key 'chanel' in a protocol; did you mean channel"),
        ({"base": "edsr-y"}, "needs a name"),
        ({"name": "a", "channel": "lab"}, "channel must be one of rgb, y, not 'lab'"),
        ({"name": "a", "ssim": "blue"}, "ssim='blue' needs channel='rgb'"),
        (3, "a name or a dict, not int"),
    ],
)
def test_look_up_of_something_wrong(wrong, message):
    with pytest.raises(UserError, match=message):
        get_protocol(wrong)
