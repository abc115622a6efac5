"""Sides that do not belong together are named, degraded ones pass: on Set14."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import check_pairs
from superres.errors import UserError


def degraded(lq: np.ndarray, blur: float, noise: float, quality: int) -> np.ndarray:
    lq = cv2.GaussianBlur(lq, (0, 0), blur).astype(float)
    lq = lq + np.random.default_rng(0).normal(0, noise, lq.shape)
    encoded = cv2.imencode(".jpg", np.clip(lq, 0, 255).astype(np.uint8), [1, quality])[1]
    return cv2.imdecode(encoded, 1)


def zoomed(gt: np.ndarray, lq: np.ndarray, scale: int) -> np.ndarray:
    smaller = cv2.resize(gt, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    return smaller[: lq.shape[0], : lq.shape[1]]


KINDS = {
    # what becomes of (lq, gt, another lq, scale), and what is said of it
    "as it is": (lambda lq, gt, other, s: (lq, gt), None),
    "blur, noise, JPEG": (lambda lq, gt, other, s: (degraded(lq, 1.5, 15, 30), gt), None),
    "strong blur, noise, JPEG": (lambda lq, gt, other, s: (degraded(lq, 3, 30, 10), gt), None),
    "every n-th pixel": (lambda lq, gt, other, s: (gt[::s, ::s], gt), None),
    "shuffled": (lambda lq, gt, other, s: (other, gt), "shows another image"),
    "LR shifted": (lambda lq, gt, other, s: (np.roll(lq, 1, 1), gt), r"down and [1-9]\S* right"),
    "HR shifted": (lambda lq, gt, other, s: (lq, np.roll(gt, 1, 0)), r"shifted by -1 down"),
    "black": (lambda lq, gt, other, s: (np.zeros_like(lq), gt), "is flat where its partner"),
    "negative": (lambda lq, gt, other, s: (255 - lq, gt), "is a negative of its partner"),
    "BGR": (lambda lq, gt, other, s: (lq[..., ::-1], gt), "has red and blue swapped"),
    "another crop": (lambda lq, gt, other, s: (np.roll(lq, 20, 0), gt), "fits 20 px down"),
    "another zoom": (lambda lq, gt, other, s: (zoomed(gt, lq, s - 1), gt), "shows another image"),
}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_set14(kind, scale, reference_dir, monkeypatch):
    change, said = KINDS[kind]
    if kind == "another zoom" and scale == 2:
        pytest.skip("at scale 1 it is a crop")
    dataset = PairedDataset("Set14", str(reference_dir / "data" / "benchmark"), scale=scale)
    pairs = [tuple(map(np.asarray, dataset.load(i))) for i in range(len(dataset))]
    changed = [
        change(lq, gt, cv2.resize(pairs[i - 1][0], lq.shape[1::-1]), scale)
        for i, (lq, gt) in enumerate(pairs)
    ]
    monkeypatch.setattr(dataset, "load", changed.__getitem__)
    if said is None:
        check_pairs(dataset)
        assert not [note for note in dataset.notes if "another" in note]
    else:
        with pytest.raises(UserError, match=said):
            check_pairs(dataset)
