"""Scoring one pair of images by a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from superres.errors import UserError
from superres.evaluation.metrics import BASIC, WINDOW
from superres.evaluation.validate_pair import check_pair, data_range_of
from superres.imaging.colour import rgb_to_y
from superres.imaging.resize import imresize, modcrop
from superres.registry import METRICS

from ._rules import Protocol, get_protocol


def evaluate_pair(
    sr: np.ndarray, hr: np.ndarray, scale: int, protocol: str | Mapping | Protocol
) -> dict[str, float]:
    """Score one image: ``{'psnr': dB, 'ssim': ...}``, unrounded float64.

    Args:
        sr: the result, (H, W, 3) RGB or (H, W) grey, uint8, uint16 or float in HR's range (not
            [0, 1]); a network's unrounded output may reach outside. Under a protocol with
            ``round_y`` an (H, W) result beside an RGB HR is taken as luma in [16, 235].
        hr: the truth, uint8 or uint16 (or float in [0, 255]), as large as SR or larger by less
            than ``scale``.
        scale: the upscaling factor, which sets the border.
        protocol: a name, a config dict or a record.

    Raises:
        UserError: whatever makes the pair impossible to score; see ``metrics.psnr``.
    """
    pair = compared(sr, hr, scale, get_protocol(protocol))
    return {name: METRICS.module_dict[name](*pair) for name in BASIC}


def compared(
    sr: np.ndarray, hr: np.ndarray, scale: int, rules: Protocol
) -> tuple[np.ndarray, np.ndarray, Protocol]:
    """What a metric is given: the parts of SR and HR that a protocol compares, and the protocol.

    They are of one size and depth, (H, W, 3) RGB or (H, W) grey, rounded as the protocol says,
    borders shaved. Where SR is luma already, HR is too, and the protocol's ``channel`` is 'rgb':
    all samples count. Arguments and errors as in :func:`evaluate_pair`.
    """
    sr, hr = (x[:, :, 0] if x.shape[2:] == (1,) else x for x in map(np.asarray, (sr, hr)))
    hr = _fit_hr(sr, hr, scale, rules)
    if rules.round_y and sr.ndim == 2 and hr.ndim == 3:
        sr, hr = quantise(sr), rgb_to_y(hr, rules.luma, rounded=True)
        rules = replace(rules, channel="rgb")
    if rules.sr_rounding != "none" and sr.dtype.kind == "f":
        peak = data_range_of(sr, hr)  # before rounding hides that SR is in [0, 1]
        sr = quantise(sr, peak) if rules.sr_rounding == "uint8" else np.clip(sr, 0, peak)
    sr, hr, _ = check_pair(sr, hr, rules.border(scale), smallest=WINDOW)
    return sr, hr, rules


def quantise(image: np.ndarray, peak: float = 255) -> np.ndarray:
    """Round to whole levels (ties to even, as torch does) and clamp: uint8, or uint16 for 65535."""
    dtype = np.uint8 if peak == 255 else np.uint16
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        return image  # the metrics name the bad samples
    return np.clip(np.rint(image), 0, peak).astype(dtype)


def classical_bicubic(hr: np.ndarray, scale: int) -> np.ndarray:
    """The bicubic row as papers since SRCNN made it, to be scored by ``classical-y``.

    Luma of HR rounded to 8 bits, cropped to a multiple of ``scale``, downscaled and upscaled
    bicubically without rounding in between, rounded at the end.

    Args:
        hr: (H, W, 3) RGB uint8.

    Returns:
        (H', W') uint8 luma in the studio range, H' and W' being multiples of ``scale``.

    Raises:
        UserError: not an 8-bit RGB image.
    """
    if np.asarray(hr).dtype != np.uint8:
        raise UserError(f"the classical bicubic row is of 8-bit images, not of {hr.dtype}")
    lq = imresize(modcrop(rgb_to_y(hr, rounded=True), scale), scale=1 / scale)
    return quantise(imresize(lq, scale=scale))


def _fit_hr(sr: np.ndarray, hr: np.ndarray, scale: int, rules: Protocol) -> np.ndarray:
    """HR brought to the size of SR as the protocol wants it."""
    if sr.ndim < 2 or hr.ndim < 2 or sr.shape[:2] == hr.shape[:2]:
        return hr
    (height, width), (hr_height, hr_width) = sr.shape[:2], hr.shape[:2]
    missing = (hr_height - height, hr_width - width)
    how = rules.on_mismatch
    limit = 0 if how == "error" else (how == "crop" and rules.max_crop) or scale - 1
    if how == "resize" and max(map(abs, missing)) <= limit:
        return pillow_bicubic(hr, height, width)
    if how == "crop" and min(missing) >= 0 and max(missing) <= limit:
        return hr[:height, :width]
    raise UserError(
        f"SR and HR differ in size: expected {hr_width}x{hr_height} (HR), found "
        f"{width}x{height} (SR), width x height. Protocol {rules.name} allows HR to be larger by "
        f"at most {limit} px"
    )


def pillow_bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image of 8 bits, (H, W), (H, W, 1) or (H, W, 3), resized as ``on_mismatch='resize'``.

    Raises:
        UserError: an image of another depth.
    """
    from PIL import Image

    if image.dtype != np.uint8:
        raise UserError(f"resizing HR needs an 8-bit image, found {image.dtype}")
    flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    resized = Image.fromarray(flat).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(height, width, *image.shape[2:])
