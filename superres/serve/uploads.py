"""What is taken in: images by their content, within the limits, under harmless names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from superres.errors import UserError
from superres.imaging.io import image_size
from superres.imaging.kinds import first_bytes, kind_of, why_not

KINDS = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or PNM"


@dataclass(frozen=True)
class Limits:
    """Limits that keep one upload from taking the machine.

    Attributes:
        upload_bytes: of one file.
        pixels: of one image.
        result_pixels: of its result; rules out a large scale for large images.
        waiting: images that are uploaded or waiting, the one in work included.
        finished: results that are held for download; the oldest are removed.
        upload_seconds: that one upload may take.
    """

    upload_bytes: int = 64 << 20
    pixels: int = 24_000_000
    result_pixels: int = 256_000_000
    waiting: int = 8
    finished: int = 20
    upload_seconds: float = 300.0


class Refused(UserError):
    """An upload that is not taken.

    Attributes:
        status: the HTTP status that says so.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_upload(path: Path, name: str, scale: float, limits: Limits) -> None:
    """Look at the first bytes of an upload.

    Raises:
        Refused: not an image of a kind that is read, or too many pixels.
    """
    head = first_bytes(path)
    kind = kind_of(head)
    if kind is None or kind.refused:
        raise Refused(f"{name}: {why_not(head)}", 415)
    if size := image_size(path):
        check_size(size, name, scale, limits)


def check_size(size: tuple[int, int], name: str, scale: float, limits: Limits) -> None:
    """Refused if the image (height, width), or its result, has too many pixels."""
    height, width = size
    if height * width > limits.pixels:
        most = f"{limits.pixels / 1e6:g} million that this page takes (--max-pixels raises it)"
        raise Refused(f"{name}: {width} × {height} pixels are more than the {most}", 413)
    if height * width * scale**2 > limits.result_pixels:
        fits = int(math.sqrt(limits.result_pixels / (height * width)))
        most = f"{limits.result_pixels / 1e6:g} million that a result may have; up to ×{fits} fits"
        more = f"×{scale:g} of {width} × {height} pixels is more than the {most}"
        raise Refused(f"{name}: {more}", 413)


def safe_name(text: str) -> str:
    """A file name without folders, control characters and what file systems refuse."""
    name = re.split(r"[/\\]", text)[-1]
    name = "".join(c for c in name if c.isprintable() and c not in '<>:"|?*').strip(". ")
    stem, dot, suffix = name.rpartition(".")
    return f"{stem[:60]}{dot}{suffix[-60:]}" or "picture"
