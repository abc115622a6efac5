"""What an image is, decided by a file's first bytes, and what in a folder is known junk."""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import NamedTuple

from superres.files import PathLike

HEAD = 4096
"""Bytes that tell what a file is."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"),
    *(".pbm", ".pnm", ".gif", ".apng", ".avif", ".jp2", ".tga", ".ico"),
)
"""Suffixes of images. Such a file is taken without a look at it, and refused when it is read."""

RAW = "a camera raw file; develop it to TIFF first"
_CONVERT = "which is not read here; convert it to PNG"
_JUNK = ("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".volumeicon.icns")


class BrokenImage(ValueError):
    """The fault of an image file, in words that follow the file's name and a colon."""


class Kind(NamedTuple):
    """A kind of file that is known by its first bytes.

    Attributes:
        name: ``png``, ``jpeg``, ``tiff``, ...; empty where it is not read.
        plugin: Pillow's name for it.
        refused: why it is not read, in words that follow the file's name and a colon.
    """

    name: str
    plugin: str = ""
    refused: str = ""


_REFUSED = {
    rb"II\*\0....CR|....ftypcrx|FUJIFILMCCD|II(RO|RS|U\0)|MMOR|FOVb|\0MRM|II\x1a\0\0\0HEAP": RAW,
    rb"....ftyp(hei|hev|mif|msf)": f"a HEIC, {_CONVERT}",
    rb"\xff\x0a|\0\0\0\x0cJXL ": f"a JPEG XL, {_CONVERT}",
    rb"v/1\x01|#\?R|P[Ff]\s": "an image of unbounded range (EXR, HDR, PFM); tone-map it to a TIFF",
    rb"8BPS": f"a Photoshop file, {_CONVERT}",
    rb"%!PS|(\xef\xbb\xbf)?\s*+((<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg[^\[>]*(\[.*?\]\s*)?>)\s*+)*+"
    rb"<(\w+:)?svg[\s>]": f"EPS or SVG, {_CONVERT}",
    rb"%PDF": f"a PDF, {_CONVERT}",
    rb"PK\x03\x04": "a zip archive; unpack it",
}
_READ = {
    rb"\x89PNG\r\n\x1a\n": Kind("png", "PNG"),
    rb"\xff\xd8\xff": Kind("jpeg", "JPEG"),
    rb"II[*+]\0|MM\0[*+]": Kind("tiff", "TIFF"),
    rb"RIFF....WEBP": Kind("webp", "WEBP"),
    rb"BM": Kind("bmp", "BMP"),
    rb"\x28\0\0\0.{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0": Kind("bmp", "DIB"),
    rb"P[1-6]\s": Kind("pnm", "PPM"),
    rb"GIF8[79]a": Kind("gif", "GIF"),
    rb"....ftypavi[fs]": Kind("avif", "AVIF"),
    rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51": Kind("jpeg2000", "JPEG2000"),
    rb"\0\0\x01\0[^\0]\0": Kind("ico", "ICO"),
    rb"\x0a[\0\x02\x03\x04\x05]\x01[\x01\x02\x04\x08]": Kind("pcx", "PCX"),
    rb".[\0\x01][\x01-\x03\t-\v].{13}[\b\x0f\x10\x18 ][\0-?]": Kind("tga", "TGA"),
}
_KINDS = {pattern: Kind("", refused=words) for pattern, words in _REFUSED.items()} | _READ
_VIDEO = re.compile(
    rb"....ftyp(?!M4A)|....(moov|mdat|wide|skip)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|0&\xb2\x75"
    rb"|OggS.{24,80}(theora|OVP80|BBCD)|\0\0\x01[\xb3\xba]|G.{187}G|.{4}G.{191}G|\.RMF",
    re.DOTALL,
)


def kind_of(head: bytes) -> Kind | None:
    """The kind of image that begins with ``head``; None where it does not begin as one."""
    return next((kind for start, kind in _KINDS.items() if re.match(start, head, re.DOTALL)), None)


def is_video(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a film."""
    return kind_of(head) is None and _VIDEO.match(head) is not None


def why_not(head: bytes) -> str:
    """Why a file that begins with ``head`` is not read as an image."""
    if not head:
        return "an empty file (0 bytes)"
    if (kind := kind_of(head)) and kind.refused:
        return kind.refused
    if is_video(head):
        return "a film, not an image; superres upscale takes it, whatever its name"
    return f"not an image in a known format; it begins with {str(head[:12])[1:]}"


def is_junk(name: str, head: bytes) -> bool:
    """Whether a file is one of those that systems leave behind, or text: left out unsaid."""
    # An SVG is text, and an image.
    text = _is_text(head) and not getattr(kind_of(head), "refused", "")
    return text or name.startswith("._") or name.lower() in _JUNK


def _is_text(head: bytes) -> bool:
    """Whether a file begins as text; an empty one does, too."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut in two
    except UnicodeDecodeError:
        return head.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    return b"\0" not in head


def first_bytes(path: PathLike, count: int = HEAD) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(count)
    return b""
