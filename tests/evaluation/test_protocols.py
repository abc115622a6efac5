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


@pytest.fixture(scope="module")
def golden(reference_dir):
    folder = reference_dir / "golden" / "evaluation"
    numbers = json.loads((folder / "evaluation.json").read_text())
    return numbers, dict(np.load(folder / "pairs.npz"))


def shaving(border: int, **changes) -> Protocol:
    rules = {"base": "mmediting-rgb", "name": "test", "border_per_scale": 0}
    return get_protocol({**rules, "border_extra": border, **changes})


TOOLBOXES = {  # how many rows of images there are, and the protocol of one
    "mmagic": (  # which neither rounds nor clamps floats
        30,
        lambda row: shaving(
            row["crop_border"], channel="y" if row["convert_to"] else "rgb", sr_rounding="none"
        ),
    ),
    "basicsr": (
        24,
        lambda row: shaving(row["crop_border"], channel="y" if row["test_y_channel"] else "rgb"),
    ),
    "edsr_pytorch": (42, lambda row: "edsr-y" if row["benchmark"] else "edsr-div2k"),
    "super_image": (12, lambda row: "super-image"),
}


@pytest.mark.reference
@pytest.mark.parametrize("toolbox", TOOLBOXES)
def test_the_numbers_of_other_toolboxes(golden, toolbox):
    numbers, arrays = golden
    count, protocol_of = TOOLBOXES[toolbox]
    rows = [row for of in numbers[toolbox].values() if isinstance(of, list) for row in of]
    assert len(rows) == count
    for row in rows:
        number = row.get("pair", 0)
        sr = arrays[f"sr{number}" if "pair" in row else "sr_float0"]
        for suffix in ("", "_pt") if "psnr_pt" in row else ("",):  # of tensors
            offset = 1e-8 if suffix else 0
            rules = dataclasses.replace(get_protocol(protocol_of(row)), mse_offset=offset)
            found = evaluate_pair(sr, arrays[f"hr{number}"], row.get("scale", 2), rules)
            assert found["psnr"] == pytest.approx(row["psnr" + suffix], abs=1e-4)
            ssim = row.get("ssim" + suffix, found["ssim"])  # EDSR-PyTorch has none
            assert found["ssim"] == pytest.approx(ssim, abs=1e-6)


@pytest.mark.reference
def test_the_blue_channel_alone(golden):
    numbers, arrays = golden
    rules = get_protocol({**dataclasses.asdict(shaving(0)), "ssim": "blue"})
    found, wanted = [], []
    for row in numbers["skimage"]["uint8_pairs"]:
        images = [arrays[f"{side}{row['pair']}"] for side in ("sr", "hr")]
        found.append(evaluate_pair(*images, 2, rules)["ssim"])
        wanted.append(row["ssim_gaussian_per_channel"][2])
    assert found == pytest.approx(wanted, abs=1e-9)
    assert len(found) == 3


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
    for scale, name in ((3, "edsr-y"), (2, "mmediting-rgb")):  # which cut to a multiple of 12
        assert evaluate_pair(sr, larger, scale, name) == evaluate_pair(sr, hr, scale, name)
    resized = np.asarray(Image.fromarray(larger).resize((60, 48), Image.Resampling.BICUBIC))
    found = evaluate_pair(sr, larger, 3, "super-image")
    assert found == evaluate_pair(sr, resized, 3, "super-image")
    strict = {"base": "edsr-y", "name": "strict", "on_mismatch": "error"}
    deep = (sr.astype(np.uint16), larger.astype(np.uint16))
    for images, scale, protocol, said in (
        ((sr, larger), 2, "edsr-y", r"expected 62x49 \(HR\), found 60x48.*at most 1 px"),
        ((larger, hr), 3, "edsr-y", "expected 60x48"),
        ((sr, larger), 3, strict, "strict allows HR to be larger by at most 0 px"),
        (deep, 3, "super-image", "needs an 8-bit image"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate_pair(*images, scale, protocol)


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
