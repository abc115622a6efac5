"""Protocols: how a published table scored its pictures, as a frozen record with a name.

The same pair of pictures scores differently by protocol, by more than methods differ from each
other, so no table shows a number without one. ``get_protocol`` is the one look-up, also for
protocols that a config defines; ``evaluate_pair`` scores a pair of pictures by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from superres.errors import UserError, did_you_mean
from superres.evaluation.checks import data_range_of
from superres.evaluation.metrics import psnr, ssim
from superres.imaging.colour import LUMA_WEIGHTS, rgb_to_y
from superres.imaging.resize import imresize, modcrop

_CHOICES = {
    "channel": ("rgb", "y"),
    "luma": tuple(LUMA_WEIGHTS),
    "sr_rounding": ("uint8", "clamp", "none"),
    "ssim": ("mean", "blue"),
    "on_mismatch": ("crop", "resize", "error"),
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How to score one pair of pictures.

    Attributes:
        name: what tables call it.
        description: one sentence: what it does.
        source: where it comes from.
        channel: ``'rgb'`` (all samples) or ``'y'`` (studio-range BT.601 luma).
        luma: which luma weights, a key of ``superres.imaging.colour.LUMA_WEIGHTS``.
        round_y: round luma of both pictures to whole levels before comparing.
        border_per_scale, border_extra: pixels shaved from each side are
            ``border_per_scale * scale + border_extra``.
        sr_rounding: ``'uint8'`` (round and clamp to whole levels), ``'clamp'`` or ``'none'``.
        ssim: ``'mean'`` over the compared channels, or ``'blue'`` alone.
        on_mismatch: what happens to an HR picture larger than the SR one: ``'crop'`` keeps its
            top-left corner, ``'resize'`` resizes it (Pillow's bicubic), ``'error'`` refuses it.
        max_crop: how many pixels a crop may take off; 0 means up to ``scale - 1``.
        mse_offset: added to the mean squared error of pictures in [0, 1].
    """

    name: str
    description: str = ""
    source: str = ""
    channel: str = "y"
    luma: str = "bt601"
    round_y: bool = False
    border_per_scale: int = 1
    border_extra: int = 0
    sr_rounding: str = "uint8"
    ssim: str = "mean"
    on_mismatch: str = "crop"
    max_crop: int = 0
    mse_offset: float = 0.0

    def __post_init__(self) -> None:
        for key, allowed in _CHOICES.items():
            if getattr(self, key) not in allowed:
                raise UserError(
                    f"protocol {self.name!r}: {key} must be one of {', '.join(allowed)}, "
                    f"not {getattr(self, key)!r}"
                )
        if self.channel == "y" and self.ssim == "blue":
            raise UserError(f"protocol {self.name!r}: ssim='blue' needs channel='rgb'")

    def border(self, scale: int) -> int:
        """Pixels shaved from each side at this scale."""
        return self.border_per_scale * scale + self.border_extra

    def line(self) -> str:
        """What a table prints beneath itself."""
        source = f" [{self.source}]" if self.source else ""
        return f"{self.name}: {self.description or self._from_fields()}{source}"

    def _from_fields(self) -> str:
        """A description for a protocol that has none."""
        if self.channel == "rgb":
            compared = "R, G and B"
        else:
            compared = f"{'rounded' if self.round_y else 'unrounded'} luma ({self.luma})"
        rounding = {"uint8": "rounded to 8 bits", "clamp": "clamped", "none": "as it is"}
        fitted = {"crop": "cropped to", "resize": "resized to", "error": "of"}
        blue = ", SSIM of blue alone" if self.ssim == "blue" else ""
        border = f"{self.border_per_scale} * scale + {self.border_extra}"
        return (
            f"PSNR and SSIM on {compared}{blue}, SR {rounding[self.sr_rounding]}, borders of "
            f"{border} px shaved, HR {fitted[self.on_mismatch]} the size of SR."
        )


_NAMED = [
    Protocol(
        name="edsr-y",
        description="PSNR and SSIM on unrounded BT.601 luma, SR rounded to 8 bits, borders of "
        "scale px shaved, HR cropped to the size of SR: the Set5 to Urban100 columns of papers.",
        source="Lim et al. 2017; EDSR-PyTorch, src/utility.py, calc_psnr (benchmark sets)",
    ),
    Protocol(
        name="edsr-div2k",
        description="PSNR and SSIM over R, G and B, SR rounded to 8 bits, borders of scale + 6 px "
        "shaved, HR cropped to the size of SR: the DIV2K columns of papers.",
        source="Lim et al. 2017; EDSR-PyTorch, src/utility.py, calc_psnr (DIV2K)",
        channel="rgb",
        border_extra=6,
    ),
    Protocol(
        name="classical-y",
        description="PSNR and SSIM on BT.601 luma rounded to whole levels, borders of scale px "
        "shaved: the bicubic row of papers, whose LR is the unrounded downscaled luma.",
        source="Dong et al. 2014 (SRCNN) and the MATLAB evaluation that later papers share",
        round_y=True,
    ),
    Protocol(
        name="mmediting-rgb",
        description="PSNR over R, G and B and SSIM as the mean of the three channels, SR rounded "
        "to 8 bits, borders of scale px shaved.",
        source="MMEditing and MMagic, evaluation metrics PSNR and SSIM; equals BasicSR's",
        channel="rgb",
        max_crop=11,
    ),
    Protocol(
        name="mmediting-ssim-bug",
        description="as mmediting-rgb, but SSIM of the blue channel alone: a fault of MMEditing "
        "0.x whenever borders were shaved, and so the SSIM of its published tables.",
        source="MMEditing 0.x, mmedit/core/evaluation/metrics.py, ssim",
        channel="rgb",
        max_crop=11,
        ssim="blue",
    ),
    Protocol(
        name="super-image",
        description="PSNR and SSIM on unrounded luma with a red weight of 64.738 instead of "
        "65.738, SR clamped but not rounded, borders of scale px shaved, and HR resized where its "
        "size is no multiple of the scale, which raises scores by up to 1 dB.",
        source="eugenesiow/super-image, EvalMetrics and EvalDataset",
        luma="super-image",
        sr_rounding="clamp",
        on_mismatch="resize",
    ),
]
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _NAMED}
"""The named protocols, in the order in which help texts list them."""


def get_protocol(protocol: str | Mapping | Protocol) -> Protocol:
    """The protocol of that name, or the one that a config's dict defines.

    A dict may start from a named one: ``dict(base='edsr-y', name='mine', border_extra=2)``.

    Raises:
        UserError: an unknown name or key, with near matches.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if isinstance(protocol, str):
        if protocol in PROTOCOLS:
            return PROTOCOLS[protocol]
        raise UserError(f"unknown protocol {protocol!r}{_near(protocol, PROTOCOLS)}")
    if not isinstance(protocol, Mapping):
        raise UserError(f"a protocol is a name or a dict, not {type(protocol).__name__}")
    config = dict(protocol)
    keys = [field.name for field in fields(Protocol)]
    for key in config:
        if key not in (*keys, "base"):
            raise UserError(f"unknown key {key!r} in a protocol{_near(key, keys)}")
    base = config.pop("base", None)
    if "name" not in config:
        raise UserError("a protocol defined in a config needs a name of its own")
    if base is None:
        return Protocol(**config)
    base = get_protocol(base)
    # The sentence about the base would be wrong about what is changed here.
    own = {"description": "", "source": f"based on {base.name}"}
    return replace(base, **{**own, **config})


def evaluate_pair(
    sr: np.ndarray, hr: np.ndarray, scale: int, protocol: str | Mapping | Protocol
) -> dict[str, float]:
    """Score one picture: ``{'psnr': dB, 'ssim': ...}``, unrounded float64.

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

    Warns:
        UserWarning: where the protocol resizes HR.
    """
    rules = get_protocol(protocol)
    sr, hr, channel = prepare_pair(sr, hr, scale, rules)
    options = {
        "channel": channel,
        "border": rules.border(scale),
        "weights": rules.luma,
        "round_y": rules.round_y and channel == "y",
    }
    decibel = psnr(sr, hr, mse_offset=rules.mse_offset, **options)
    if rules.ssim == "blue" and sr.ndim == hr.ndim == 3:
        sr, hr = sr[:, :, -1], hr[:, :, -1]
    return {"psnr": decibel, "ssim": ssim(sr, hr, **options)}


def prepare_pair(
    sr: np.ndarray, hr: np.ndarray, scale: int, rules: Protocol
) -> tuple[np.ndarray, np.ndarray, str]:
    """SR and HR of one size, rounded as the protocol says, and the channels to compare.

    Borders are still there. Arguments, errors and warnings as in :func:`evaluate_pair`.
    """
    sr, hr = np.asarray(sr), np.asarray(hr)
    hr = _fit_hr(sr, hr, scale, rules)
    channel = rules.channel
    if rules.round_y and sr.ndim == 2 and hr.ndim == 3:
        sr, hr, channel = quantise(sr), rgb_to_y(hr, rules.luma, rounded=True), "rgb"
    if rules.sr_rounding != "none" and sr.dtype.kind == "f":
        peak = data_range_of(sr, hr)  # before rounding hides that SR is in [0, 1]
        sr = quantise(sr, peak) if rules.sr_rounding == "uint8" else np.clip(sr, 0, peak)
    return sr, hr, channel


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
        UserError: not an 8-bit RGB picture.
    """
    if np.asarray(hr).dtype != np.uint8:
        raise UserError(
            f"the classical bicubic row is defined for 8-bit pictures, not for {hr.dtype}"
        )
    lq = imresize(modcrop(rgb_to_y(hr, rounded=True), scale), scale=1 / scale)
    return quantise(imresize(lq, scale=scale))


def _fit_hr(sr: np.ndarray, hr: np.ndarray, scale: int, rules: Protocol) -> np.ndarray:
    """HR brought to the size of SR as the protocol wants it."""
    if sr.ndim < 2 or hr.ndim < 2 or sr.shape[:2] == hr.shape[:2]:
        return hr
    height, width = sr.shape[:2]
    sizes = f"expected {hr.shape[1]}x{hr.shape[0]} (HR), found {width}x{height} (SR)"
    if rules.on_mismatch == "resize":
        if max(abs(hr.shape[0] - height), abs(hr.shape[1] - width)) >= scale:
            raise UserError(f"SR and HR differ by {scale} px or more: {sizes}")
        resized = pillow_bicubic(hr, height, width)
        warnings.warn(
            f"protocol {rules.name} resizes HR from {hr.shape[1]}x{hr.shape[0]} to "
            f"{width}x{height}, which raises the score: compare it with no other protocol",
            stacklevel=4,
        )
        return resized
    limit = rules.max_crop or scale - 1
    missing = (hr.shape[0] - height, hr.shape[1] - width)
    if rules.on_mismatch == "error" or min(missing) < 0 or max(missing) > limit:
        raise UserError(
            f"SR and HR differ in size: {sizes}, width x height. Protocol {rules.name} "
            + (
                "allows no difference"
                if rules.on_mismatch == "error"
                else f"allows HR to be larger by at most {limit} px at scale {scale}"
            )
            + (
                "; where LR was rounded up, super-image resizes HR"
                if -scale < min(missing) < 0 and max(missing) < scale
                else ""
            )
        )
    return hr[:height, :width]


def pillow_bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture of 8 bits, (H, W), (H, W, 1) or (H, W, 3), resized as ``on_mismatch='resize'``.

    Raises:
        UserError: a picture of another depth.
    """
    from PIL import Image

    if image.dtype != np.uint8:
        raise UserError(f"resizing HR needs an 8-bit picture, found {image.dtype}")
    flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    resized = Image.fromarray(flat).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(height, width, *image.shape[2:])


def _near(name: str, known: object) -> str:
    hint = did_you_mean(name, known, 0.4)
    return f"{hint}; known are {', '.join(known)}" if known is PROTOCOLS else hint
