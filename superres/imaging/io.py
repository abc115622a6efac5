"""Read image files of any kind, by one reader for all rooms, and write them.

Pixels come as they are stored: an EXIF rotation is **not** applied and an ICC profile is ignored,
because the LR and HR files of a dataset must match sample by sample; :func:`image_header` tells of
both. What decoding leaves out is in the notes of a header and of a picture.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from superres.errors import UserError
from superres.files import PathLike, os_fault, unreadable, write_atomically
from superres.imaging import tiff
from superres.imaging.encode import encode_image
from superres.imaging.header import BrokenPicture, ImageHeader, read_header
from superres.imaging.samples import (
    Channels,
    check_whole,
    decode,
    decode_tiff,
    to_8_bit,
    with_channels,
)

__all__ = [
    *("Channels", "ImageHeader", "Picture", "image_exif", "image_header", "image_shape"),
    *("max_pixels_allowed", "opened_picture", "picture_size", "read_image", "read_picture"),
    *("with_channels", "write_atomically", "write_image"),
]

#: Pictures with more pixels than this are refused before they are decoded.
DEFAULT_MAX_PIXELS = 2**28

_ORIENTATION = 274


@dataclass
class Picture:
    """A decoded picture and what its file said beside the pixels.

    Attributes:
        pixels: (H, W, C) uint8, uint16 or float32 in [0, 1]; C = 1 grey, 2 grey and alpha, 3 RGB,
            4 RGB and alpha. As stored: ``orientation`` is not applied.
        format: as in :class:`ImageHeader`.
        orientation: EXIF orientation, 1 to 8.
        icc: the ICC profile of the pixels.
        exif: the EXIF block with its orientation, None where there is none.
        info: what else Pillow found in the file: ``dpi``, ``xmp``, ``comment``, ...
        png_chunks: what a PNG says beside its pixels in chunks that are copied as they are.
        lossless: False for JPEG and lossy WebP.
        notes: what was left out or changed in reading; sentences.
    """

    pixels: np.ndarray
    format: str
    orientation: int = 1
    icc: bytes | None = None
    exif: Image.Exif | None = None
    info: dict[str, Any] = field(default_factory=dict)
    png_chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    lossless: bool = True
    notes: list[str] = field(default_factory=list)


def max_pixels_allowed(max_pixels: int | None = None) -> int:
    """The limit on height x width: the argument, else ``SUPERRES_MAX_PIXELS``, else 2**28.

    Raises:
        UserError: the environment variable is not a positive integer.
    """
    if max_pixels is not None:
        return max_pixels
    text = os.environ.get("SUPERRES_MAX_PIXELS")
    if not text:
        return DEFAULT_MAX_PIXELS
    if not text.strip().isdecimal() or len(text) > 100 or int(text) < 1:
        raise UserError(
            f"SUPERRES_MAX_PIXELS={text[:100]!r} in the environment is not a positive whole number."
        )
    return int(text)


def read_picture(
    source: PathLike | bytes | memoryview, max_pixels: int | None = None, label: str | None = None
) -> Picture:
    """Read a picture file, or the bytes of one, with all it carries; its content tells its kind.

    Args:
        source: path or bytes.
        max_pixels: the limit on height x width; see :func:`max_pixels_allowed`.
        label: what messages call it.

    Raises:
        UserError: missing, unreadable, a folder, empty, not a picture, truncated, damaged, too
            many pixels, or of a kind that is not read; names the file and the fault.
    """
    limit = max_pixels_allowed(max_pixels)
    in_memory = isinstance(source, bytes | bytearray | memoryview)
    name = label or ("picture in memory" if in_memory else os.fspath(source))
    with _faults(name):
        if in_memory:
            return _read(io.BytesIO(source), bytes(source), limit)
        with _opened(source) as file:
            return _read(file, None, limit)


def read_image(
    source: PathLike | bytes | memoryview,
    channels: Channels = "rgb",
    dtype: Literal["uint8", "keep"] = "uint8",
    *,
    max_pixels: int | None = None,
    label: str | None = None,
) -> np.ndarray:
    """Decode a picture file, or the bytes of one; errors as :func:`read_picture`.

    Args:
        source: path, or encoded bytes.
        channels: ``rgb`` (grey is repeated three times), ``grey`` (colour becomes BT.601 luma,
            rounded) or ``unchanged`` (1, 3 or 4 channels, as :attr:`ImageHeader.channels` says;
            grey with alpha comes as RGBA). Except with ``unchanged``, alpha is dropped: the
            colours stored under transparent pixels show. ``image_header(path).has_alpha`` tells.
        dtype: ``uint8`` turns 16-bit samples v into round(v / 257); ``keep`` leaves them uint16.
            Floats become round(255 v), or round(65535 v).
        max_pixels: the limit on height x width; see :func:`max_pixels_allowed`.
        label: what an error message calls bytes that have no path.

    Returns:
        (H, W, C) array, RGB order, contiguous and writable, 0..255 or 0..65535.
    """
    if channels not in ("rgb", "grey", "unchanged"):
        raise ValueError(f"channels={channels!r}: one of 'rgb', 'grey', 'unchanged'")
    if dtype not in ("uint8", "keep"):
        raise ValueError(f"dtype={dtype!r}: one of 'uint8', 'keep'")
    image = read_picture(source, max_pixels, label).pixels
    if image.dtype == np.float32:
        image = np.rint(image * (255 if dtype == "uint8" else 65535))
        image = image.astype(np.uint8 if dtype == "uint8" else np.uint16)
    if dtype == "uint8":
        image = to_8_bit(image)
    if image.shape[2] == 2:
        image = image[..., [0, 0, 0, 1]] if channels == "unchanged" else image[..., :1]
    return with_channels(image, image.shape[2] if channels == "unchanged" else channels)


def image_header(source: PathLike | bytes, label: str | None = None) -> ImageHeader:
    """Size, channels, depth, alpha, orientation and profile of a picture file, not decoded.

    Args:
        source: path, or encoded bytes.
        label: what messages call it.

    Raises:
        UserError: missing, unreadable, a folder, empty, not a picture.
    """
    in_memory = isinstance(source, bytes)
    name = label or ("picture in memory" if in_memory else os.fspath(source))
    with _faults(name), io.BytesIO(source) if in_memory else _opened(source) as file:
        return read_header(file)[0]


def image_shape(path: PathLike, channels: Channels = "unchanged") -> tuple[int, int, int]:
    """(height, width, channels) of what ``read_image(path, channels)`` returns, from the header.

    Raises:
        UserError: as :func:`image_header`.
    """
    header = image_header(path)
    count = {"rgb": 3, "grey": 1, "unchanged": header.channels}[channels]
    return header.height, header.width, count


def image_exif(path: PathLike) -> Image.Exif:
    """The EXIF block of a picture that comes before the pixels; empty where there is none."""
    with contextlib.suppress(Exception), opened_picture(path) as image:
        return Image.Image.getexif(image)
    return Image.Exif()


@contextlib.contextmanager
def opened_picture(path: PathLike) -> Iterator[Image.Image | None]:
    """Pillow's picture of a file, not decoded; None for some TIFFs. UserError as `image_header`."""
    with _faults(os.fspath(path)), _opened(path) as file:
        yield read_header(file)[2]


def picture_size(path: PathLike) -> tuple[int, int] | None:
    """(height, width) from the header; None where it cannot be told."""
    try:
        return image_shape(path)[:2]
    except UserError:
        return None


def write_image(path: PathLike, image: np.ndarray, *, quality: int | None = None) -> None:
    """Write a picture atomically: a reader sees the old file or the whole new one.

    Args:
        path: the suffix chooses the format: png, jpg, bmp, tif, webp, ppm, pgm.
        image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), RGB order, uint8, or uint16 where the
            format can hold it (png, tif, ppm, pgm). Alpha: png, tif, webp.
        quality: 1..100 for jpg (95 if None) and webp (lossless if None).

    Raises:
        UserError: a suffix that is no picture format, an array that the format cannot hold,
            a missing or read-only folder, a full disk. Nothing is left behind.
    """
    path = Path(path)
    data = encode_image(image, path.suffix, quality=quality, label=str(path))
    write_atomically(path, lambda file: file.write(data))


@contextlib.contextmanager
def _faults(name: str) -> Iterator[None]:
    """UserError with the name of the file for whatever is wrong with it."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours can be raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about odd metadata
            yield
    except (BrokenPicture, tiff.Refused) as fault:
        raise UserError(f"{name}: {fault}.") from None
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _opened(path: PathLike) -> BinaryIO:
    if fault := unreadable(path):  # a pipe would be waited for
        raise UserError(fault)
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(os_fault(path, error, "image")) from None


def _read(file: BinaryIO, data: bytes | None, limit: int) -> Picture:
    """The picture of an open file; ``data`` are its bytes where they are in memory already."""
    header, kind, image, page = read_header(file)
    after_header = file.tell()
    if header.height * header.width > limit:
        raise BrokenPicture(
            f"{header.width}x{header.height} pixels are more than the limit of {limit}. If the "
            "picture is what you expect, raise the limit with the environment variable "
            "SUPERRES_MAX_PIXELS (superres upscale: --max-pixels; Python: max_pixels=)"
        )
    if data is None:
        file.seek(0)
        data = file.read()
    try:
        if page is not None:
            pixels = decode_tiff(data, page)
        else:
            check_whole(kind, image, data, after_header)
            pixels = decode(header, image, data)
    except (BrokenPicture, tiff.Refused):
        raise
    except MemoryError:
        raise
    except Exception as error:  # decoders fail in any way on damaged data
        raise BrokenPicture(
            f"a {kind.name.upper()} that cannot be decoded, damaged or truncated ({error})"
        ) from None
    if pixels.shape[:2] != (header.height, header.width):
        raise BrokenPicture(
            f"its header says {header.width}x{header.height} pixels, it decodes to "
            f"{pixels.shape[1]}x{pixels.shape[0]}"
        )
    notes = list(page.notes if page else header.notes)
    if page and page.photometric == 5:
        notes.append("CMYK was turned to RGB")
    return _with_metadata(header, image, data, pixels, notes)


def _with_metadata(
    header: ImageHeader, image: Image.Image | None, data: bytes, pixels: np.ndarray, notes: list
) -> Picture:
    info = dict(image.info) if image is not None else {}
    if isinstance(image, TiffImageFile):
        info |= {
            k: image.tag_v2[t] for k, t in (("iptc", 33723), ("comment", 270)) if t in image.tag_v2
        }
    chunks = _png_chunks(data) if header.format == "png" else []
    exif = None
    with contextlib.suppress(Exception):  # a damaged block is no reason to refuse the picture
        exif = Image.Image.getexif(image)
        late = [body for kind, body in chunks if kind == b"eXIf"]
        if not len(exif) and late:
            exif.load(b"Exif\0\0" + late[0])
    exif = exif if exif is not None and len(exif) else None
    orientation = header.orientation
    if exif is not None and header.format != "tiff":
        orientation = exif.get(_ORIENTATION, 1)
    cmyk = image is not None and image.mode == "CMYK"
    return Picture(
        pixels,
        header.format,
        orientation if orientation in range(1, 9) else 1,
        None if cmyk else info.get("icc_profile") or None,
        exif,
        info,
        [chunk for chunk in chunks if chunk[0] != b"eXIf"],
        not (header.format == "jpeg" or (header.format == "webp" and b"VP8 " in data[:64])),
        notes,
    )


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG that say something of the whole picture."""
    kinds = b"gAMA cHRM sRGB cICP mDCV cLLI pHYs tEXt zTXt iTXt eXIf".split()
    found, position = [], 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind in kinds:
            found.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found
