"""PSNR and SSIM of batched tensors, on whatever device they are; the values of ``metrics``.

For validation during training, where pictures should not leave the device one by one. Arithmetic
is float64; a float32 tensor that holds k / 255 scores like the 8-bit picture to 1e-6 dB, and a
uint8 tensor exactly like it.
"""

from __future__ import annotations

import math

import torch

from superres.errors import UserError
from superres.evaluation.metrics import K1, K2, SIGMA, WINDOW
from superres.imaging.colour import LUMA_OFFSET, luma_weights


def psnr_batch(
    sr: torch.Tensor,
    hr: torch.Tensor,
    *,
    channel: str = "rgb",
    border: int = 0,
    data_range: float | None = None,
    weights: str = "bt601",
    quantise: bool = False,
) -> torch.Tensor:
    """Peak signal-to-noise ratio of each picture in dB.

    Args:
        sr, hr: (N, 3, H, W) RGB or (N, 1, H, W) grey; float in [0, data_range], or uint8.
        channel: ``'rgb'``, or ``'y'`` for BT.601 studio-range luma.
        border: pixels to leave out on each side.
        data_range: the peak; None takes 1 for float and 255 for uint8.
        weights: luma weights, a key of ``superres.imaging.colour.LUMA_WEIGHTS``.
        quantise: first round SR to 8 bits and clamp it, as saving it as a picture would.

    Returns:
        (N,) float64 on the same device; ``inf`` for identical pictures.

    Raises:
        UserError: different sizes or channels, NaN, or a border that leaves nothing.
    """
    sr, hr = _prepare(sr, hr, channel, border, data_range, quantise)
    difference = sr - hr
    if channel == "y":
        difference = _luma(difference, weights)
    return -10 * torch.log10(difference.square().mean((1, 2, 3)) / 255**2)


def ssim_batch(
    sr: torch.Tensor,
    hr: torch.Tensor,
    *,
    channel: str = "rgb",
    border: int = 0,
    data_range: float | None = None,
    weights: str = "bt601",
    quantise: bool = False,
) -> torch.Tensor:
    """Structural similarity of each picture as in ``metrics.ssim``; arguments as above."""
    sr, hr = _prepare(sr, hr, channel, border, data_range, quantise)
    if min(sr.shape[2:]) < WINDOW:
        raise UserError(
            f"pictures of {sr.shape[3]}x{sr.shape[2]} are smaller than the SSIM window of "
            f"{WINDOW}x{WINDOW}"
        )
    plus, minus = sr + hr, sr - hr
    if channel == "y":
        plus, minus = _luma(plus, weights) + 2 * LUMA_OFFSET, _luma(minus, weights)
    c1, c2 = 2 * (K1 * 255) ** 2, 2 * (K2 * 255) ** 2
    mean_p, mean_m = _window_mean(plus).square(), _window_mean(minus).square()
    var_p, var_m = _window_mean(plus.square()) - mean_p, _window_mean(minus.square()) - mean_m
    luminance = (mean_p - mean_m + c1) / (mean_p + mean_m + c1)
    structure = (var_p - var_m + c2) / (var_p + var_m + c2)
    return (luminance * structure).mean((1, 2, 3))


def _luma(x: torch.Tensor, weights: str) -> torch.Tensor:
    """Weighted sum of the channels, without the offset; grey counts as R = G = B."""
    factors = torch.from_numpy(luma_weights(weights)).to(x.device)
    if x.shape[1] == 1:
        return x * factors.sum()
    return (x * factors.view(1, 3, 1, 1)).sum(1, keepdim=True)


def _window_mean(x: torch.Tensor) -> torch.Tensor:
    """Gaussian mean at every window position inside the picture.

    Shifted sums, first down, then across: float64 convolutions are slow on every device.
    """
    at = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    kernel = torch.exp(-at.square() / (2 * SIGMA**2))
    taps = (kernel / kernel.sum()).tolist()
    for axis in (2, 3):
        length = x.shape[axis] - WINDOW + 1
        total = x.narrow(axis, 0, length) * taps[0]
        for offset in range(1, WINDOW):
            total.add_(x.narrow(axis, offset, length), alpha=taps[offset])
        x = total
    return x


def _prepare(
    sr: torch.Tensor,
    hr: torch.Tensor,
    channel: str,
    border: int,
    data_range: float | None,
    quantise: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both batches in float64 on [0, 255], shaved."""
    if channel not in ("rgb", "y"):
        raise UserError(f"channel must be 'rgb' or 'y', not {channel!r}")
    if sr.ndim != 4 or sr.shape[1] not in (1, 3) or sr.shape != hr.shape or 0 in sr.shape:
        raise UserError(
            f"expected two batches of one shape (N, 3 or 1, H, W), found {tuple(sr.shape)} (SR) "
            f"and {tuple(hr.shape)} (HR)"
        )
    height, width = sr.shape[2:]
    if border < 0 or 2 * border >= min(height, width):
        raise UserError(
            f"shaving {border} px from each side leaves nothing of pictures of {width}x{height}"
        )
    sr, hr = _to_levels(sr, data_range, "SR"), _to_levels(hr, data_range, "HR")
    if quantise:
        sr = sr.round().clamp(0, 255)
    inside = (..., slice(border, height - border), slice(border, width - border))
    return sr[inside], hr[inside]


def _to_levels(x: torch.Tensor, data_range: float | None, name: str) -> torch.Tensor:
    """Samples in float64 on [0, 255]."""
    if x.dtype == torch.uint8:
        return x.double() * (255 / (255 if data_range is None else data_range))
    if not x.is_floating_point():
        raise UserError(f"{name} has samples of {x.dtype}; expected float or uint8")
    # In float32, k / 255 * 255 is k again for every level k, so that 8-bit pictures stay exact;
    # multiplying after the step to float64 would keep the rounding error of the division.
    x = x if x.dtype == torch.float64 else x.float()
    x = (x * (255 / (1 if data_range is None else data_range))).double()
    low, high = torch.aminmax(x)
    if not math.isfinite(float(low) + float(high)):
        raise UserError(f"{name} has NaN or infinite samples: a score would be meaningless")
    return x
