"""Read and write picture files.

Pictures are HWC arrays (grey too: H x W x 1), RGB order, uint8 or uint16. Pixels come as they are
stored: an EXIF rotation is **not** applied and an ICC profile is ignored, because the LR and HR
files of a dataset must match sample by sample; :func:`image_header` tells of both.
"""

from __future__ import annotations

import errno
import functools
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging._headers import (
    BrokenPicture,
    ImageHeader,
    NeedMore,
    check_complete,
    parse_header,
)

Channels = Literal["rgb", "grey", "unchanged"]
PathLike = str | os.PathLike

#: Suffixes (lower case) of the files that :func:`list_images` lists.
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip

#: Pictures with more pixels than this are refused before they are decoded.
DEFAULT_MAX_PIXELS = 2**28

_HEAD_BYTES = 1 << 16
_ALPHA_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
_SIXTEEN_BIT_SUFFIXES = (".png", ".tif", ".tiff", ".ppm", ".pgm", ".pnm")


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
    if not text.strip().isdecimal() or int(text) < 1:
        raise UserError(
            f"SUPERRES_MAX_PIXELS={text!r} in the environment is not a positive whole number."
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
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), label or "picture in memory"
    else:
        data, name = _read_file(source), label or os.fspath(source)
    try:
        if not data:
            raise BrokenPicture("an empty file (0 bytes)")
        header = parse_header(data)
        pixels = header.height * header.width
        if pixels > limit:
            raise UserError(
                f"{name}: {header.width}x{header.height} pixels are more than the limit of "
                f"{limit}. If the picture is what you expect, raise the limit with the "
                "environment variable SUPERRES_MAX_PIXELS."
            )
        if header.bits > 16:
            raise BrokenPicture("its samples are not 8-bit or 16-bit whole numbers")
        check_complete(data, header)
        image = _decode(data, header, alpha=channels == "unchanged" and header.has_alpha)
    except BrokenPicture as fault:
        raise UserError(f"{name}: {fault}.") from None
    if dtype == "uint8" and image.dtype == np.uint16:
        image = _to_8_bit()[image]
    return _with_channels(image, header.channels if channels == "unchanged" else channels)


def image_header(path: PathLike) -> ImageHeader:
    """Size, channels, depth, alpha, orientation and profile of a picture file, not decoded.

    Raises:
        UserError: missing, unreadable, a folder, empty, not a picture.
    """
    name = os.fspath(path)
    try:
        head = _read_file(path, _HEAD_BYTES)
        if not head:
            raise BrokenPicture("an empty file (0 bytes)")
        try:
            return parse_header(head, whole=len(head) < _HEAD_BYTES)
        except NeedMore:
            return parse_header(_read_file(path))
    except BrokenPicture as fault:
        raise UserError(f"{name}: {fault}.") from None


def image_shape(path: PathLike, channels: Channels = "unchanged") -> tuple[int, int, int]:
    """(height, width, channels) of what ``read_image(path, channels)`` returns, from the header.

    Raises:
        UserError: as :func:`image_header`.
    """
    header = image_header(path)
    count = {"rgb": 3, "grey": 1, "unchanged": header.channels}[channels]
    return header.height, header.width, count


def list_images(folder: PathLike, recursive: bool = False) -> list[Path]:
    """The picture files of a folder, by suffix, sorted by their path; hidden ones are left out.

    The order is that of the UTF-8 bytes of the path below ``folder``. Symbolic links to files
    are listed; with ``recursive``, linked folders are not entered.

    Raises:
        UserError: the folder is missing, unreadable, or not a folder.
    """
    root = Path(folder)
    found: list[Path] = []
    pending = [root]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if recursive and entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file():
                        found.append(Path(entry.path))
        except OSError as error:
            raise UserError(_os_fault(current, error, "folder")) from None
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(root).as_posix()))


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


def encode_image(
    image: np.ndarray, suffix: str, *, quality: int | None = None, label: str = "picture"
) -> bytes:
    """The bytes of a picture file; arguments and errors as :func:`write_image`."""
    suffix = suffix.lower()
    if suffix not in IMAGE_SUFFIXES or suffix == ".pbm":
        known = " ".join(s for s in IMAGE_SUFFIXES if s != ".pbm")
        raise UserError(f"{label}: cannot write the format {suffix or '(no suffix)'}; use {known}.")
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise UserError(
            f"{label}: cannot write an array of shape {image.shape}; it must be (H, W, C) with "
            "C = 1, 3 or 4."
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{label}: cannot write {image.dtype} samples; use uint8 or uint16.")
    if image.dtype == np.uint16 and suffix not in _SIXTEEN_BIT_SUFFIXES:
        raise UserError(f"{label}: {suffix} cannot hold 16-bit samples; use .png or .tif.")
    if image.shape[2] == 4 and suffix not in _ALPHA_SUFFIXES:
        raise UserError(f"{label}: {suffix} cannot hold an alpha channel; use .png, .tif or .webp.")
    if suffix == ".pgm" and image.shape[2] == 3:
        raise UserError(f"{label}: .pgm holds grey pictures only; use .ppm.")
    if suffix == ".ppm" and image.shape[2] == 1:
        suffix = ".pgm"
    cv2 = import_cv2()
    options: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95 if quality is None else quality]
    elif suffix == ".webp":
        # OpenCV's rule: a quality above 100 means lossless.
        options = [cv2.IMWRITE_WEBP_QUALITY, 101 if quality is None else quality]
    if image.shape[2] != 1:
        swap = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(np.ascontiguousarray(image), swap)
    try:
        good, data = cv2.imencode(suffix, image, options)
    except cv2.error as error:
        good, data = False, error
    if not good:
        raise UserError(f"{label}: a {image.shape[1]}x{image.shape[0]} picture cannot be encoded.")
    return data.tobytes()


def write_atomically(path: Path, write: Callable) -> None:
    """Call ``write(file)`` on a temporary file beside ``path``, then rename it to ``path``.

    Raises:
        UserError: missing or read-only folder, full disk, ...; the temporary file is removed.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(descriptor, "wb") as file:
                write(file)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(_os_fault(path, error, "file", writing=True)) from None


def _read_file(path: PathLike, length: int = -1) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(length)
    except (OSError, ValueError) as error:
        raise UserError(_os_fault(path, error, "picture")) from None


def _os_fault(path: PathLike, error: Exception, what: str, writing: bool = False) -> str:
    """One message for an operating-system error on ``path``."""
    code = getattr(error, "errno", None)
    name = os.fspath(path)
    if writing:
        if code == errno.ENOENT:
            return f"{name}: cannot be written, its folder does not exist."
        if code in (errno.ENOSPC, errno.EDQUOT):
            return f"{name}: cannot be written, the disk is full."
        reason = getattr(error, "strerror", None) or error
        return f"{name}: cannot be written ({reason})."
    if code == errno.ENOENT:
        return f"{name}: no such {what}."
    if code == errno.EISDIR:
        return f"{name}: a folder, not a {what}."
    if code == errno.ENOTDIR:
        return f"{name}: not a folder."
    if code in (errno.EACCES, errno.EPERM):
        return f"{name}: no permission to read this {what}."
    return f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})."


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
    if image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if alpha else cv2.COLOR_BGRA2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_tiff_with_alpha(data: bytes, alpha: bool) -> np.ndarray:
    """8-bit TIFF with alpha: OpenCV multiplies the colours by the alpha, Pillow leaves them."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(picture.convert("RGBA" if alpha else "RGB"))
    except Exception as error:
        raise BrokenPicture(f"cannot be decoded ({error})") from None


@functools.cache
def _to_8_bit() -> np.ndarray:
    """The table v -> round(v / 257) for all 16-bit values (257 is odd: there are no ties)."""
    return ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def _with_channels(image: np.ndarray, wanted: Channels | int) -> np.ndarray:
    """Bring a decoded picture to (H, W, C)."""
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
    changed = cv2.cvtColor(image, codes[have, count])
    return changed[..., None] if changed.ndim == 2 else changed
