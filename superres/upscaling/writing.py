"""Enlarged pictures to files: what their source carried is carried on, and files are whole."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from superres.errors import UserError
from superres.files import write_atomically
from superres.imaging.encode import encode_image
from superres.imaging.io import Picture
from superres.imaging.samples import to_8_bit
from superres.imaging.tiff import add_tags
from superres.upscaling.large import write_large
from superres.upscaling.metadata import Metadata
from superres.upscaling.names import shown

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
_IN_MEMORY = 1 << 29
"""Bytes of a result that is encoded at once; larger ones go through libvips where it is there."""


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
        scratch: a folder for results larger than memory, made when needed; None: not there.
    """

    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    source: Picture
    quality: int | None = None
    record: str | None = None
    notes: list[str] = field(default_factory=list)
    scratch: Path | None = None


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
    target.scratch = path.with_name(f".{path.name}.large")
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
    dtype = _held(target)
    orientation = 1 if upright else source.orientation
    size = target.shape[1::-1] if upright and source.orientation > 4 else target.shape[:2]
    metadata = Metadata(source, size, orientation, target.record)
    if kind in ("bmp", "pnm") and (metadata.icc or source.exif or metadata.xmp):
        target.notes.append(f"{kind.upper()} has no room for a colour profile and EXIF: left out")
    bands = (_converted(band, dtype) for band in rows)
    pixels = np.dtype(dtype).itemsize * int(np.prod(target.shape))
    if kind in ("png", "tiff") and pixels > _IN_MEMORY and target.scratch and find_spec("pyvips"):
        turn = source.orientation if upright else 1
        write_large(file, bands, target.shape, dtype, kind, turn, metadata, target.scratch)
        return
    try:
        image = np.empty(target.shape, dtype)
        at = 0
        for band in bands:
            image[at : at + len(band)] = band
            at += len(band)
        image = turned(image, source.orientation) if upright else image
        file.write(_encoded(image, target, metadata))
    except MemoryError:
        raise UserError(
            f"a result of {target.shape[1]}x{target.shape[0]} pixels does not fit into memory: "
            "pip install 'superres[large]', and write PNG or TIFF"
        ) from None


def _held(target: Target) -> type:
    """The type of samples that the format can hold; notes what is reduced."""
    kind, dtype = target.format, target.dtype
    deepest = {"tiff": np.float32, "png": np.uint16}.get(kind, np.uint8)
    if np.dtype(deepest).itemsize >= dtype.itemsize:
        return dtype.type
    depth = np.dtype(deepest).itemsize * 8
    was = "float" if dtype.kind == "f" else dtype.itemsize * 8
    target.notes.append(f"{kind} has {depth} bits: reduced from {was}")
    return deepest


def _converted(band: np.ndarray, dtype: type) -> np.ndarray:
    if band.dtype == dtype:
        return band
    return to_8_bit(band) if dtype == np.uint8 else np.rint(band * 65535).astype(np.uint16)


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as stored under an EXIF orientation, upright."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _encoded(image: np.ndarray, target: Target, metadata: Metadata) -> bytes:
    kind = target.format
    if kind in ("jpeg", "bmp", "pnm") and image.shape[2] in (2, 4):
        target.notes.append(f"{kind.upper()} has no transparency: put on white")
        image = on_white(image)
    if image.dtype != np.uint8:
        if image.shape[2] == 2:  # which OpenCV does not write
            image = image[..., [0, 0, 0, 1]]
        data = encode_image(image, ".tif" if kind == "tiff" else ".png")
        alpha = [(338, 3, (2,))] if image.shape[2] == 4 else []
        if kind == "png":
            return metadata.png(data)
        add_tags(file := io.BytesIO(data), metadata.tags() + alpha)
        return file.getvalue()
    picture, options = to_pillow(image), metadata.options(kind)
    if kind == "jpeg":
        options |= {"quality": target.quality or 95, "subsampling": 0}
    elif kind == "webp":
        if picture.mode in ("L", "LA"):
            picture = picture.convert("RGB" if picture.mode == "L" else "RGBA")
        if target.quality is None and target.source.lossless:
            options |= {"lossless": True, "quality": 60, "exact": False}
        else:
            options |= {"quality": target.quality or 95}
    elif kind == "png":
        options = {"compress_level": 4}
    elif kind == "tiff":
        options |= {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}}
    name = {"pnm": "PPM"}.get(kind, kind.upper())
    buffer = io.BytesIO()  # encoders hide an OSError of the file behind their own
    picture.save(buffer, name, **options)
    if kind == "tiff":
        add_tags(buffer, metadata.tags())
    return metadata.png(buffer.getvalue()) if kind == "png" else buffer.getvalue()


def on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, 2 or 4) uint8 without its alpha, on white."""
    alpha = image[..., -1:].astype(np.uint16)
    colour = image[..., :-1].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def to_pillow(image: np.ndarray) -> Image.Image:
    """A Pillow picture of (H, W, C) uint8, or of one uint16 channel."""
    if image.dtype == np.uint16 and image.shape[2] == 1:
        return Image.fromarray(image[..., 0])
    image = to_8_bit(image)
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
