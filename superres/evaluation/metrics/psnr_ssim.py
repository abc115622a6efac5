"""PSNR and SSIM of images held as arrays: pure functions, float64 results.

Definitions differ between toolboxes, so every choice is an argument here; the named combinations
that published tables use are in :mod:`superres.evaluation.protocols`.

Both metrics walk down the image in strips that stay in the processor's cache. SSIM is computed
from the sum and the difference of the two images instead of the images themselves: that needs
four filtered planes instead of five and is exactly 1 for identical images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.evaluation.validate_pair import check_pair, peak_of
from superres.imaging._cv2 import import_cv2
from superres.imaging.colour import LUMA_OFFSET, LUMA_WEIGHTS, rgb_to_y
from superres.registry import METRICS

if TYPE_CHECKING:
    from superres.evaluation.protocols import Protocol

cv2 = import_cv2()

WINDOW = 11
"""Side of the SSIM window in pixels."""
SIGMA = 1.5
K1, K2 = 0.01, 0.03

_STRIP = 16  # rows that PSNR takes at a time
_TILE = (128, 256)  # rows and columns that SSIM takes at a time: its planes then fit a cache
_MARGIN = WINDOW // 2


def psnr(
    sr: np.ndarray,
    hr: np.ndarray,
    *,
    channel: str = "rgb",
    border: int = 0,
    data_range: float | None = None,
    weights: str = "bt601",
    round_y: bool = False,
    mse_offset: float = 0.0,
) -> float:
    """Peak signal-to-noise ratio in dB, over all samples of all channels.

    Args:
        sr, hr: images of one size, (H, W, 3) RGB or (H, W) / (H, W, 1) grey; uint8, uint16 or
            float. Float images are in [0, 255] unless ``data_range`` says otherwise.
        channel: ``'rgb'``, or ``'y'`` for BT.601 studio-range luma (of grey: as if R = G = B).
        border: pixels to leave out on each side.
        data_range: the peak; None takes 255, and 65535 for uint16.
        weights: luma weights, a key of ``superres.imaging.colour.LUMA_WEIGHTS``.
        round_y: round luma to whole levels first. Published scores do not (classical ones do).
        mse_offset: added to the mean squared error of images scaled to [0, 1] (BasicSR's
            tensor version adds 1e-8).

    Returns:
        dB; ``inf`` for identical images.

    Raises:
        UserError: different sizes, channels or depths, a range that contradicts the values, NaN,
            or a border that leaves nothing.
    """
    sr, hr, peak = check_pair(sr, hr, border, data_range)
    sr, hr, luma = _planes(sr, hr, channel, weights, round_y)
    exact = sr.dtype == hr.dtype == np.uint8
    if exact and luma is None:
        total = cv2.norm(sr, hr, cv2.NORM_L2SQR)
    else:
        # Differences of 8-bit samples are exact in float32, and their weighted sums good to
        # 1e-7 of a level: nine digits of the result, in half the time of float64.
        depth = cv2.CV_32F if exact else cv2.CV_64F
        total = 0.0
        for top in range(0, sr.shape[0], _STRIP):
            rows = slice(top, top + _STRIP)
            difference = cv2.subtract(sr[rows], hr[rows], dtype=depth)
            if luma is not None:
                difference = cv2.transform(difference, luma[None])
            total += cv2.norm(difference, cv2.NORM_L2SQR)
    count = sr.size if luma is None else sr.shape[0] * sr.shape[1]
    mse = total / count / peak**2 + mse_offset
    return math.inf if mse == 0 else -10 * math.log10(mse)


def ssim(
    sr: np.ndarray,
    hr: np.ndarray,
    *,
    channel: str = "rgb",
    border: int = 0,
    data_range: float | None = None,
    weights: str = "bt601",
    round_y: bool = False,
) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window 11x11, sigma 1.5, valid region.

    The mean over all window positions that lie inside the image, and over channels when
    ``channel='rgb'``; C1 = (0.01 peak)^2, C2 = (0.03 peak)^2. Arguments and errors as in
    :func:`psnr`; an image smaller than the window after shaving is a UserError too.
    """
    sr, hr, peak = check_pair(sr, hr, border, data_range, smallest=WINDOW)
    height, width = sr.shape[:2]
    sr, hr, luma = _planes(sr, hr, channel, weights, round_y)
    window = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    total, count = 0.0, 0
    for top in range(0, height - WINDOW + 1, _TILE[0]):
        for left in range(0, width - WINDOW + 1, _TILE[1]):
            rows = slice(top, top + _TILE[0] + WINDOW - 1)
            columns = slice(left, left + _TILE[1] + WINDOW - 1)
            values = _ssim_map(sr[rows, columns], hr[rows, columns], luma, window, peak)
            total += float(values.sum())
            count += values.size
    return total / count


def _ssim_map(
    sr: np.ndarray, hr: np.ndarray, luma: np.ndarray | None, window: np.ndarray, peak: float
) -> np.ndarray:
    """SSIM at every valid window position of a tile, from p = sr + hr and m = sr - hr.

    With E the window mean, 4 E[sr] E[hr] = E[p]^2 - E[m]^2 and 2 (E[sr]^2 + E[hr]^2) =
    E[p]^2 + E[m]^2; the same holds for variances. So both factors have the form
    (a - b + 2C) / (a + b + 2C).

    Returns:
        (H - 10, W - 10) or (H - 10, W - 10, C).
    """
    # From 8-bit samples p and m are exact in float32, and their luma good to 3e-5 of a level,
    # which moves SSIM by less than 1e-7; the window means are taken in float64.
    depth = cv2.CV_32F if sr.dtype == hr.dtype == np.uint8 else cv2.CV_64F
    p, m = cv2.add(sr, hr, dtype=depth), cv2.subtract(sr, hr, dtype=depth)
    if luma is not None:
        p = cv2.transform(p, np.append(luma, 2 * LUMA_OFFSET * peak / 255)[None])
        m = cv2.transform(m, luma[None])
    p, m = p.astype(np.float64), m.astype(np.float64)
    mean_p, mean_m, var_p, var_m = (
        cv2.sepFilter2D(plane, -1, window, window) for plane in (p, m, p * p, m * m)
    )
    mean_p *= mean_p
    mean_m *= mean_m
    var_p -= mean_p
    var_m -= mean_m
    mean_p += 2 * (K1 * peak) ** 2
    var_p += 2 * (K2 * peak) ** 2
    values = (mean_p - mean_m) * (var_p - var_m) / ((mean_p + mean_m) * (var_p + var_m))
    return values[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _planes(
    sr: np.ndarray, hr: np.ndarray, channel: str, weights: str, round_y: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The arrays to compare, and the luma weights still to be applied to them (or None)."""
    if channel == "rgb":
        return sr, hr, None
    if sr.ndim == 2:
        # Studio-range luma of grey: all three weights fall on the one sample.
        sr, hr = (np.repeat(x[:, :, None], 3, axis=2) for x in (sr, hr))
    if round_y:
        return rgb_to_y(sr, weights, rounded=True), rgb_to_y(hr, weights, rounded=True), None
    return sr, hr, np.array(LUMA_WEIGHTS[weights])


@METRICS.register_module("psnr")
def _psnr_by(sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> float:
    return psnr(sr, hr, mse_offset=protocol.mse_offset, **_options(sr, hr, protocol))


@METRICS.register_module("ssim")
def _ssim_by(sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> float:
    options = _options(sr, hr, protocol)
    if protocol.ssim == "blue" and sr.ndim == 3:
        sr, hr = sr[:, :, -1], hr[:, :, -1]
    return ssim(sr, hr, **options)


def _options(sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> dict[str, Any]:
    return {
        "channel": protocol.channel,
        "data_range": peak_of(sr, hr),
        "weights": protocol.luma,
        "round_y": protocol.round_y and protocol.channel == "y",
    }
