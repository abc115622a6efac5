"""Checks of uploaded files: kind of image, limits of size, safe names."""

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
    """Limits that keep uploads from using up the machine.

    Attributes:
        upload_bytes: size of one file.
        pixels: height times width of one image.
        result_pixels: the same of its result; rules out large scales for large images.
        waiting: number of images being uploaded, waiting or being upscaled.
        finished: number of results kept for download; older ones are removed.
        upload_seconds: duration of one upload.
    """

    upload_bytes: int = 64 << 20
    pixels: int = 24_000_000
    result_pixels: int = 256_000_000
    waiting: int = 8
    finished: int = 20
    upload_seconds: float = 300.0


class Refused(UserError):
    """An upload was refused.

    Attributes:
        status: HTTP status of the reply.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_upload(path: Path, name: str, scale: float, limits: Limits) -> None:
    """Check the kind and the size of an uploaded file, which is not decoded for that.

    Args:
        path: the file.
        name: what messages call it.
        scale: how many times larger the result will be.
        limits: the limits to check.

    Raises:
        Refused: the file is not an image of a known kind, or has too many pixels.
    """
    head = first_bytes(path)
    kind = kind_of(head)
    if kind is None or kind.refused:
        raise Refused(f"{name}: {why_not(head)}", 415)  # Unsupported Media Type
    if size := image_size(path):
        check_size(size, name, scale, limits)


def check_size(size: tuple[int, int], name: str, scale: float, limits: Limits) -> None:
    """Raise `Refused` (413) if an image (height, width) or its result has too many pixels."""
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
    """A file name without folders and without characters that file systems refuse; at most 60
    characters each before and after the last dot."""
    name = re.split(r"[/\\]", text)[-1]
    name = "".join(c for c in name if c.isprintable() and c not in '<>:"|?*').strip(". ")
    stem, dot, suffix = name.rpartition(".")
    return f"{stem[:60]}{dot}{suffix[-60:]}" or "picture"
