"""What is taken in: pictures by their content, within the limits, under harmless names."""

from __future__ import annotations

import math
import re
from pathlib import Path

from superres.errors import UserError
from superres.imaging.io import picture_size
from superres.serve.limits import Limits

# Decoders exist for many more formats, some of which start other programs (PostScript). A page
# that strangers' files are dropped on takes those that cameras and the web use.
_PICTURES = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP|II[*+]\0|MM\0[*+]|BM|P[1-6]\s|GIF8[79]a|"
    rb"....ftyp(avif|avis)",
    re.DOTALL,
)
_OTHERS = (
    (re.compile(rb"PK[\x03\x05]"), "a zip archive, or a document that is one inside"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript file"),
    (re.compile(rb"....ftyp(heic|heix|mif1)", re.S), "an HEIC picture; save it as JPEG or PNG"),
    (re.compile(rb"....ftyp|\x1aE\xdf\xa3", re.S), "a video; 'superres upscale FILE' takes those"),
)
KINDS = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or PNM"
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)


class Refused(UserError):
    """An upload that is not taken.

    Attributes:
        status: the HTTP status that says so.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_upload(path: Path, name: str, scale: float, limits: Limits) -> tuple[int, int] | None:
    """Look at the first bytes of an upload.

    Returns:
        (height, width) as its header says; None where only decoding will tell.

    Raises:
        Refused: not a picture of a format that is taken, or too many pixels.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise Refused(f"{name}: the file is empty", 415)
    if not _PICTURES.match(head):
        raise Refused(f"{name}: this is {_kind(head)}. Taken are {KINDS} pictures", 415)
    size = picture_size(path)
    if size is not None:
        check_size(size, name, scale, limits)
    return size


def check_size(size: tuple[int, int], name: str, scale: float, limits: Limits) -> None:
    """Refused if the picture, or its result, has too many pixels."""
    height, width = size
    if height * width > limits.pixels:
        raise Refused(
            f"{name}: {width} × {height} pixels are more than the {_mega(limits.pixels)} that "
            "this page takes (--max-pixels raises it)",
            413,
        )
    if height * width * scale**2 > limits.result_pixels:
        fits = math.sqrt(limits.result_pixels / (height * width))
        raise Refused(
            f"{name}: ×{scale:g} of {width} × {height} pixels is more than the "
            f"{_mega(limits.result_pixels)} that a result may have; up to ×{int(fits)} fits",
            413,
        )


def safe_name(text: str, fallback: str = "picture") -> str:
    """A file name without folders, control characters and what file systems refuse."""
    name = re.split(r"[/\\]", text)[-1]
    name = "".join(c for c in name if c.isprintable() and c not in '<>:"|?*')
    name = name.strip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 8:
        stem, dot, suffix = name, "", ""
    while len(stem.encode()) > 120:
        stem = stem[:-1]
    stem = stem.rstrip(". ")
    if not stem:
        return fallback
    name = stem + dot + suffix
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def _kind(head: bytes) -> str:
    """What a file is that is no picture, as far as its beginning tells."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        svg = b"<svg" in text and b"<html" not in text
        return "an SVG drawing, which has no pixels" if svg else "a web page or other text"
    return next((what for pattern, what in _OTHERS if pattern.match(head)), "no picture")


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:g} million"
