"""``--model auto``: a network for what was compressed, another for what was not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from superres.checkpoints.zoo import DEFAULT, variants
from superres.files import is_special
from superres.imaging.kinds import first_bytes, kind_of

AUTO = "auto"
PHOTO = "edsr-photo"
"""Trained on images that were JPEGs, slightly blurred, noisy or resized by browsers."""

_LOSSLESS = ("png", "tiff", "bmp", "gif", "pnm", "ppm", "ico")


def model_for(head: bytes) -> str:
    """The model for a file that begins so (16 bytes tell); what is unknown was compressed."""
    kind = kind_of(head)
    name = kind.name if kind else ""
    lossless = name in _LOSSLESS or (name == "webp" and head[12:16] == b"VP8L")
    return DEFAULT if lossless else PHOTO


def for_image(image: Any, scale: float) -> str:
    """The model for what :func:`superres.upscale` is given.

    A path, or ``-`` for standard input, by its first bytes, a Pillow image by the format it came
    from; arrays, tensors and other images, whose past is not known, as if they had been
    compressed.
    """
    if not _photo_offers(scale):
        return DEFAULT
    if str(image) == "-":
        return model_for(sys.stdin.buffer.peek(16)[:16])
    if isinstance(image, str | Path):  # what could not be read again is not touched
        return model_for(b"" if is_special(Path(image)) else first_bytes(image, 16))
    return DEFAULT if str(getattr(image, "format", "")).lower() in _LOSSLESS else PHOTO


def why(name: str, scale: float) -> str:
    """The reason for a choice of :func:`for_image`."""
    if name == PHOTO:
        return f"--model auto: {PHOTO} for JPEG, WebP, video and what is unknown"
    if _photo_offers(scale):
        return f"--model auto: {DEFAULT} for lossless files"
    return f"--model auto: {DEFAULT}, since there is no {PHOTO} for x{scale:g}"


def _photo_offers(scale: float) -> bool:
    return max(variants(PHOTO), default=0) >= scale
