"""Enlarged pictures to files: what their source carried is carried on, and files are whole."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from superres.errors import UserError
from superres.files import write_atomically
from superres.upscaling.names import shown
from superres.upscaling.png import PngWriter
from superres.upscaling.provenance import EXIF_TAG
from superres.upscaling.reading import Picture
from superres.upscaling.tiff import TiffWriter

FORMATS = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tif"}
"""What ``--format`` takes, and the suffix of each."""
SUFFIX_FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
    ".ppm": "pnm",
    ".pgm": "pnm",
    ".pnm": "pnm",
}
_LARGEST = {"jpeg": 65535, "webp": 16383}
_LONGEST_EXIF = 65_000  # a JPEG's segment, roughly
_ORIENTATION, _EXIF_IFD, _WIDTH, _HEIGHT = 274, 0x8769, 0xA002, 0xA003


class DiskFull(UserError):
    """Nothing more can be written: going on would be in vain."""


@dataclass
class Target:
    """How a picture is to be written.

    Attributes:
        format: ``png``, ``jpeg``, ``webp``, ``tiff``, ``bmp`` or ``pnm``.
        shape: (H, W, C) of the result, as stored.
        dtype: of its samples, what the bands that come have.
        source: what metadata is taken from.
        quality: 1 to 100 for jpeg and webp; None is 95, and lossless WebP from lossless sources.
        record: how it was made, see `superres.upscaling.provenance`; kept where the format can.
        notes: what a person should know of what is lost; filled by :func:`write_rows`.
    """

    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    source: Picture
    quality: int | None = None
    record: str | None = None
    notes: list[str] = field(default_factory=list)


def native_format(source: Picture) -> str:
    """The format to write what came in another: the same where that can be, else PNG."""
    return source.format if source.format in SUFFIX_FORMATS.values() else "png"


def check_size(kind: str, size: tuple[int, int], name: str) -> None:
    """UserError if a format cannot hold so many rows or columns."""
    limit = _LARGEST.get(kind)
    if limit and max(size) > limit:
        raise UserError(
            f"{name}: {size[1]}x{size[0]} pixels are too many for {kind}, which holds {limit} a "
            "side; use --format png or tiff"
        )


def write_rows(path: Path, rows: Iterator[np.ndarray], target: Target) -> None:
    """Write a picture whose bands come from top to bottom; the file appears whole or not at all.

    Raises:
        DiskFull: there is no room.
        UserError: the folder is missing or read-only, or the format cannot hold it.
    """

    def fill(file: BinaryIO) -> None:
        try:
            write_to(file, rows, target)
            file.flush()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(
                    f"{shown(path)}: the disk is full; make room and run the same command again: "
                    "what is done is kept"
                ) from None
            raise

    make_folder(path.parent)
    write_atomically(path, fill)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; UserError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(
            f"{shown(folder)}: no folder can be made there, a file is in its way"
        ) from None
    except OSError as error:
        raise UserError(
            f"{shown(folder)}: the folder cannot be made ({error.strerror or error})"
        ) from None


def write_to(file: BinaryIO, rows: Iterator[np.ndarray], target: Target) -> None:
    """As :func:`write_rows`, into an open file that can be sought in."""
    check_size(target.format, target.shape[:2], "the result")
    source, kind = target.source, target.format
    # Viewers heed the orientation in JPEG, TIFF and WebP; in a PNG few do. There the picture is
    # turned upright, unless it came so.
    upright = source.orientation != 1 and kind not in ("jpeg", "tiff", "webp")
    if kind == "png" and source.format == "png":
        upright = False
    if kind in ("jpeg", "bmp", "pnm") and target.shape[2] in (2, 4):
        target.notes.append(f"{kind.upper()} has no transparency: put on white")
    if target.dtype == np.uint16 and kind not in ("png", "tiff"):
        target.notes.append(f"{kind} has 8 bits: reduced from 16")
    if kind in ("png", "tiff") and not upright:
        writer = _streaming(file, target)
        for band in rows:
            writer.write(band)
        writer.close()
        return
    image = _collect(rows, target)
    orientation = source.orientation
    if upright:
        image = turned(image, orientation)
        orientation = 1
    if kind in ("png", "tiff"):
        whole = replace(target, shape=image.shape)
        writer = _streaming(file, whole, orientation)
        writer.write(image)
        writer.close()
    else:
        _by_pillow(file, image, target, orientation)


def exif_block(
    source: Picture,
    size: tuple[int, int],
    orientation: int | None = None,
    record: str | None = None,
) -> bytes | None:
    """The source's EXIF with the new size and record, without its preview of the old one."""
    orientation = source.orientation if orientation is None else orientation
    # A block that Pillow cannot write again, or that a JPEG has no room for, is dropped.
    for carried in (source.exif, None):
        if carried is None and orientation == 1 and record is None:
            return None
        exif = Image.Exif()
        with contextlib.suppress(Exception):
            if carried is not None:
                exif.load(carried.tobytes())
            # What describes the TIFF that the block came from describes no other file.
            for tag in (*range(256, 260), 262, 273, *range(277, 280), 284, 317, 338, 34675):
                exif.pop(tag, None)
            exif.pop(EXIF_TAG, None)
            if record is not None:
                exif[EXIF_TAG] = record
            exif[_ORIENTATION] = orientation
            details = exif.get_ifd(_EXIF_IFD) if _EXIF_IFD in exif else {}
            if _WIDTH in details:
                details[_WIDTH], details[_HEIGHT] = size[1], size[0]
            block = exif.tobytes()
            if record is not None and len(block) > _LONGEST_EXIF:
                return exif_block(source, size, orientation)
            return block
    return None


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as stored under an EXIF orientation, upright."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _streaming(
    file: BinaryIO, target: Target, orientation: int | None = None
) -> PngWriter | TiffWriter:
    source = target.source
    orientation = source.orientation if orientation is None else orientation
    if target.format == "tiff":
        record = target.record
        return TiffWriter(file, target.shape, target.dtype, source.icc, orientation, record)
    exif = exif_block(source, target.shape[:2], orientation, target.record)
    return PngWriter(file, target.shape, target.dtype, source.icc, exif, source.png_chunks)


def _collect(rows: Iterator[np.ndarray], target: Target) -> np.ndarray:
    eight = target.format not in ("png", "tiff")
    image = np.empty(target.shape, np.uint8 if eight else target.dtype)
    at = 0
    for band in rows:
        if eight and band.dtype == np.uint16:
            band = ((band.astype(np.uint32) + 128) // 257).astype(np.uint8)
        image[at : at + len(band)] = band
        at += len(band)
    return image


def _by_pillow(file: BinaryIO, image: np.ndarray, target: Target, orientation: int) -> None:
    source, kind = target.source, target.format
    if image.shape[2] in (2, 4) and kind != "webp":
        image = on_white(image)
    picture = to_pillow(image)
    options: dict = {}
    if source.icc and kind in ("jpeg", "webp"):
        options["icc_profile"] = source.icc
    exif = exif_block(source, image.shape[:2], orientation, target.record)
    if exif and kind in ("jpeg", "webp"):
        options["exif"] = exif
    if kind == "jpeg":
        options |= {"quality": target.quality or 95, "subsampling": 0}
    elif kind == "webp":
        if picture.mode in ("L", "LA"):
            picture = picture.convert("RGB" if picture.mode == "L" else "RGBA")
        if target.quality is None and source.lossless:
            options |= {"lossless": True, "quality": 60, "exact": False}
        else:
            options |= {"quality": target.quality or 95}
    name = {"jpeg": "JPEG", "webp": "WEBP", "bmp": "BMP", "pnm": "PPM"}[kind]
    buffer = io.BytesIO()  # encoders hide an OSError of the file behind their own
    picture.save(buffer, name, **options)
    file.write(buffer.getbuffer())


def on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, 2 or 4) uint8 without its alpha, on white."""
    alpha = image[..., -1:].astype(np.uint16)
    colour = image[..., :-1].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def to_pillow(image: np.ndarray) -> Image.Image:
    """A Pillow picture of (H, W, C) uint8, or of one uint16 channel."""
    if image.dtype == np.uint16 and image.shape[2] == 1:
        return Image.fromarray(image[..., 0])
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
