"""Pairs of pictures as a method and the metrics want them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from superres.errors import UserError
from superres.imaging.io import with_channels
from superres.imaging.resize import imresize

from .predictor import peak
from .sets import EvalSet


@dataclass
class Pair:
    """One image of a set.

    Attributes:
        lq: (h, w, C), what the method gets.
        gt: (h * scale, w * scale, C): the true picture, cropped to what is asked for.
        hr: the true picture as it is, up to ``scale - 1`` pixels larger (or smaller, where LR was
            rounded up).
        gain: by which a result in the range of ``lq`` is brought to that of ``hr``.
        notes: what was done to them.
    """

    lq: np.ndarray
    gt: np.ndarray
    hr: np.ndarray
    gain: float = 1.0
    notes: list[str] = field(default_factory=list)


def read_pair(eval_set: EvalSet, index: int) -> Pair:
    """Read an image of a set.

    Raises:
        UserError: it cannot be read; or it is grey and the network's output would not be, or so.
    """
    dataset = eval_set.dataset
    lq, gt = dataset.load(index)
    if lq is None:
        raise UserError("it has no low-quality picture; eval_dataset has make_lq='none'")
    lq, gt = np.asarray(lq), np.asarray(gt)
    hr = gt
    # Only some protocols want more than the crop (or what was resized), and decoding takes time.
    whole = any(protocol.on_mismatch != "crop" for protocol in eval_set.protocols)
    if whole and dataset.gt.shape_at(index)[:2] != gt.shape[:2]:
        hr = np.asarray(dataset.gt.read_at(index))
    notes: list[str] = []
    wanted = eval_set.channels
    if wanted in (1, 3) and {lq.shape[2], gt.shape[2]} != {wanted}:
        notes.append(
            "colour images were turned to grey, which is what the network takes"
            if wanted == 1
            else "grey pictures were given to the network as RGB"
        )
        lq, gt, hr = (with_channels(x, wanted) for x in (lq, gt, hr))
        if dataset.lq is None:  # made here, so of the picture as the network knows it
            lq = imresize(gt, scale=1 / eval_set.scale, border=dataset.border)
    return Pair(lq, gt, hr, peak(hr) / peak(lq), notes)
