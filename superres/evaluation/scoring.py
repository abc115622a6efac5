"""One image's rows of results.json, for whoever made the image: training, testing, any program."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.protocols import Protocol, evaluate_pair


def score_by(
    protocol: Protocol, sr: np.ndarray, hr: np.ndarray, scale: int, extras: ExtraMetrics
) -> dict[str, Any]:
    """What results.json says of an image by one protocol, but for its name.

    Args:
        sr, hr, scale: as of :func:`superres.evaluation.protocols.evaluate_pair`.
        extras: further metrics; those that cannot be had stand in ``metric_errors``.

    Returns:
        ``psnr``, ``ssim`` (None, and an ``error``, where it cannot be scored), further metrics,
        and ``notes`` on what was done to it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the note says it
            row: dict[str, Any] = evaluate_pair(sr, hr, scale, protocol)
            found, failed = extras.score(sr, hr, scale, protocol)
    except UserError as error:
        return unscored(str(error))
    if protocol.on_mismatch == "resize" and sr.shape[:2] != hr.shape[:2]:
        row["notes"] = ["HR was resized, which raises the score"]
    return {**row, **found, **({"metric_errors": failed} if failed else {})}


def unscored(error: str) -> dict[str, Any]:
    """The row of an image without scores."""
    return {"psnr": None, "ssim": None, "error": error}
