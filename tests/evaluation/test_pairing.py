"""Pairing by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from superres.errors import UserError
from superres.evaluation.pairing import pair_by_name


def pair(sr: str, hr: str, scale: int = 2) -> dict[str, str]:
    found = pair_by_name([Path(s) for s in sr.split()], [Path(h) for h in hr.split()], scale)
    return {h.name: s.name for _, s, h in found.pairs}


@pytest.mark.parametrize(
    ("sr", "hr", "scale"),
    [
        ("baby.png", "baby.png", 2),
        ("baby_RCAN_x2.png", "baby.png", 2),
        ("baby_DRLN+_x2.png", "baby_HR_x2.png", 2),
        ("img_001_SRF_2_SR.png", "img_001_SRF_2_HR.png", 2),
        ("0801x4_edsr.png", "0801.png", 4),
        ("RCAN_baby_x2.png", "baby.png", 2),
        ("edsr-x2-baby-final.png", "baby.png", 2),
        ("Straße_SR.png", "straße.png", 2),
    ],
)
def test_decorations(sr, hr, scale):
    assert pair(sr, hr, scale) == {hr: sr}


def test_names_that_begin_alike():
    sr = "img_1_SR.png img_10_SR.png img_100_SR.png"
    hr = "img_1.png img_10.png img_100.png"
    assert pair(sr, hr) == dict(zip(hr.split(), sr.split()))
    assert pair("a_b_RCAN_x2.png a_RCAN_x2.png", "a.png a_b.png") == {
        "a.png": "a_RCAN_x2.png",
        "a_b.png": "a_b_RCAN_x2.png",
    }
    assert pair("headphones_x2.png", "head.png") == {}


def test_several_scales_in_one_folder():
    sr = "baby.png baby_x2.png baby_x3.png baby_x4.png"
    assert pair(sr, "baby.png", 3) == {"baby.png": "baby_x3.png"}
    assert pair("baby_x3.png", "baby_HR_x2.png baby_HR_x3.png", 3) == {
        "baby_HR_x3.png": "baby_x3.png"
    }
    sr, hr = (
        list(map(Path, names.split())) for names in ("baby_x2.png lenna.png", "baby.png a.png")
    )
    found = pair_by_name(sr, hr, 4)
    assert (found.pairs, found.extra) == ([], [Path("lenna.png"), Path("baby_x2.png")])
    assert found.missing == {"baby": "only for another scale: baby_x2.png", "a": ""}


@pytest.mark.parametrize(
    ("sr", "hr", "message"),
    [
        ("baby_EDSR_x2.png baby_RCAN_x2.png", "baby.png", "baby_EDSR_x2.png and baby_RCAN_x2.png"),
        ("baby.png baby.bmp", "baby.png", r"baby.png and baby.bmp could all be .* of baby.png"),
        ("baby.png", "baby.png baby_HR.png", "baby.png and baby_HR.png have the same name"),
        ("baby.png", "baby_HR_x3.png", "say another scale than 2: baby_HR_x3.png"),
    ],
)
def test_ambiguous_names(sr, hr, message):
    with pytest.raises(UserError, match=message):
        pair(sr, hr)
