"""Read and write picture files.

Pictures are HWC arrays (grey too: H x W x 1), RGB order, uint8 or uint16. Pixels come as they are
stored: an EXIF rotation is **not** applied and an ICC profile is ignored, because the LR and HR
files of a dataset must match sample by sample; :func:`image_header` tells of both.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from superres.errors import UserError
from superres.files import (
    IMAGE_SUFFIXES,
    PathLike,
    list_images,
    os_fault,
    unreadable,
    with_rest,
    write_atomically,
)
from superres.imaging._cv2 import import_cv2
from superres.imaging.encode import encode_image
from superres.imaging.formats import (
    BrokenPicture,
    ImageHeader,
    NeedMore,
    check_complete,
    parse_header,
)

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "Channels",
    "ImageHeader",
    "encode_image",
    "image_header",
    "image_shape",
    "list_images",
    "max_pixels_allowed",
    "read_image",
    "write_atomically",
    "write_image",
]

Channels = Literal["rgb", "grey", "unchanged"]

#: Pictures with more pixels than this are refused before they are decoded.
DEFAULT_MAX_PIXELS = 2**28

_HEAD_BYTES = 1 << 16
_BAND = 256  # rows


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


def read_image(
    source: PathLike | bytes | memoryview,
    channels: Channels = "rgb",
    dtype: Literal["uint8", "keep"] = "uint8",
    *,
    max_pixels: int | None = None,
    label: str | None = None,
) -> np.ndarray:
    """Decode a picture file, or the bytes of one.

    Args:
        source: path, or encoded bytes.
        channels: ``rgb`` (grey is repeated three times), ``grey`` (colour becomes BT.601 luma,
            rounded) or ``unchanged`` (1, 3 or 4 channels, as :attr:`ImageHeader.channels` says;
            grey with alpha comes as RGBA). Except with ``unchanged``, alpha is dropped: the
            colours stored under transparent pixels show. ``image_header(path).has_alpha`` tells.
        dtype: ``uint8`` turns 16-bit samples v into round(v / 257); ``keep`` leaves them uint16.
        max_pixels: the limit on height x width; see :func:`max_pixels_allowed`.
        label: what an error message calls bytes that have no path.

    Returns:
        (H, W, C) array, RGB order, contiguous and writable, 0..255 or 0..65535.

    Raises:
        UserError: missing, unreadable, a folder, empty, not a picture, truncated, damaged, too
            many pixels, or samples that are neither 8 nor 16 bits; names the file and the fault.
    """
    if channels not in ("rgb", "grey", "unchanged"):
        raise ValueError(f"channels={channels!r}: one of 'rgb', 'grey', 'unchanged'")
    if dtype not in ("uint8", "keep"):
        raise ValueError(f"dtype={dtype!r}: one of 'uint8', 'keep'")
    limit = max_pixels_allowed(max_pixels)
    in_memory = isinstance(source, bytes | bytearray | memoryview)
    name = label or ("picture in memory" if in_memory else os.fspath(source))
    try:
        if in_memory:
            data = bytes(source)
            header = parse_header(data)
            _check_size(header, limit)
        else:
            header, data = _read_file(source, lambda header: _check_size(header, limit))
        check_complete(data, header)
        image = _decode(data, header, alpha=channels == "unchanged" and header.has_alpha)
    except BrokenPicture as fault:
        raise UserError(f"{name}: {fault}.") from None
    if dtype == "uint8" and image.dtype == np.uint16:
        image = _to_8_bit()[image]
    return with_channels(image, header.channels if channels == "unchanged" else channels)


def image_header(path: PathLike) -> ImageHeader:
    """Size, channels, depth, alpha, orientation and profile of a picture file, not decoded.

    Raises:
        UserError: missing, unreadable, a folder, empty, not a picture.
    """
    try:
        return _read_file(path)[0]
    except BrokenPicture as fault:
        raise UserError(f"{os.fspath(path)}: {fault}.") from None


def image_shape(path: PathLike, channels: Channels = "unchanged") -> tuple[int, int, int]:
    """(height, width, channels) of what ``read_image(path, channels)`` returns, from the header.

    Raises:
        UserError: as :func:`image_header`.
    """
    header = image_header(path)
    count = {"rgb": 3, "grey": 1, "unchanged": header.channels}[channels]
    return header.height, header.width, count


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


def _read_file(
    path: PathLike, accept: Callable[[ImageHeader], None] | None = None
) -> tuple[ImageHeader, bytes]:
    """The header of a file, and all its bytes if ``accept`` is given and lets the header pass.

    The header is judged before the rest is read: a huge file that is no picture costs nothing.
    """
    fault = unreadable(path)
    if fault:  # a pipe would be waited for
        raise UserError(fault)
    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD_BYTES)
            try:
                header = parse_header(data, whole=len(data) < _HEAD_BYTES)
            except NeedMore:
                data += file.read()
                header = parse_header(data)
            if accept is not None:
                accept(header)
                data = with_rest(file, data)
            return header, data
    except OSError as error:
        raise UserError(os_fault(path, error, "image")) from None


def _check_size(header: ImageHeader, limit: int) -> None:
    if header.height * header.width > limit:
        raise BrokenPicture(
            f"{header.width}x{header.height} pixels are more than the limit of {limit}. If the "
            "picture is what you expect, raise the limit with the environment variable "
            "SUPERRES_MAX_PIXELS"
        )
    if header.bits > 16:
        raise BrokenPicture("its samples are not 8-bit or 16-bit whole numbers")


def _decode(data: bytes, header: ImageHeader, alpha: bool) -> np.ndarray:
    """(H, W), (H, W, 3) or, with ``alpha``, (H, W, 4) in RGB order."""
    cv2 = import_cv2()
    if alpha:
        flags = cv2.IMREAD_UNCHANGED
    else:
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if header.format == "tiff" and header.has_alpha and header.bits == 8:
        return _decode_tiff_with_alpha(data, alpha)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BrokenPicture(f"cannot be decoded ({str(error).strip()})") from None
    if image is None:
        raise BrokenPicture(
            f"cannot be decoded; damaged, or an unsupported kind of {header.format}"
        )
    if image.shape[:2] != (header.height, header.width):
        raise BrokenPicture(
            f"its header says {header.width}x{header.height} pixels, it decodes to "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise BrokenPicture(f"its samples are {image.dtype}, not 8-bit or 16-bit whole numbers")
    if image.ndim == 2:
        return image
    if image.shape[2] == 4 and not alpha:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    # Some rows at a time, in place: a second copy would be the most that is ever in memory.
    code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    for start in range(0, len(image), _BAND):
        image[start : start + _BAND] = cv2.cvtColor(image[start : start + _BAND], code)
    return image


def _decode_tiff_with_alpha(data: bytes, alpha: bool) -> np.ndarray:
    """8-bit TIFF with alpha: OpenCV multiplies the colours by the alpha, Pillow leaves them."""
    import io

    from PIL.TiffImagePlugin import TiffImageFile

    try:
        # Not Image.open, which has a pixel limit of its own.
        with TiffImageFile(io.BytesIO(data)) as picture:
            return np.array(picture.convert("RGBA" if alpha else "RGB"))
    except Exception as error:
        raise BrokenPicture(f"cannot be decoded ({error})") from None


@functools.cache
def _to_8_bit() -> np.ndarray:
    """The table v -> round(v / 257) for all 16-bit values (257 is odd: there are no ties)."""
    return ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def with_channels(image: np.ndarray, wanted: Channels | int) -> np.ndarray:
    """Bring a decoded image, (H, W) or (H, W, C), to ``wanted`` channels; see :func:`read_image`.

    Returns:
        (H, W, C); the image itself where it has them already.
    """
    cv2 = import_cv2()
    have = 1 if image.ndim == 2 else image.shape[2]
    count = {"rgb": 3, "grey": 1}.get(wanted, wanted)
    if have == count:
        return image[..., None] if image.ndim == 2 else image
    codes = {
        (1, 3): cv2.COLOR_GRAY2RGB,
        (1, 4): cv2.COLOR_GRAY2RGBA,
        (3, 1): cv2.COLOR_RGB2GRAY,
        (3, 4): cv2.COLOR_RGB2RGBA,
        (4, 1): cv2.COLOR_RGBA2GRAY,
        (4, 3): cv2.COLOR_RGBA2RGB,
    }
    changed = cv2.cvtColor(np.ascontiguousarray(image), codes[have, count])
    return changed[..., None] if changed.ndim == 2 else changed
