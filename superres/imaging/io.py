"""Read image files of any kind, by one reader for all rooms, and write them.

Pixels come as they are stored: an EXIF rotation is **not** applied and an ICC profile is ignored,
because the LR and HR files of a dataset must match sample by sample; :func:`image_header` tells of
both. What decoding leaves out is in the notes of a header and of an image.
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

from superres.errors import UserError
from superres.files import PathLike, os_fault, unreadable, write_atomically
from superres.imaging.encode import encode_image
from superres.imaging.kinds import BrokenImage
from superres.imaging.opened import ORIENTATION, ImageHeader, Opened
from superres.imaging.samples import Channels, to_8_bit, with_channels
from superres.imaging.tiff import turn_of

#: Images with more pixels than this are refused before they are decoded.
DEFAULT_MAX_PIXELS = 2**28

Source = PathLike | bytes | memoryview


@dataclass
class LoadedImage:
    """A decoded image and what its file said beside the pixels.

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
    text = os.environ.get("SUPERRES_MAX_PIXELS") or str(DEFAULT_MAX_PIXELS)
    if not (text.isdecimal() and text.isascii() and int(text[:18])):
        raise UserError(f"SUPERRES_MAX_PIXELS={text[:100]!r} is not a positive whole number.")
    return int(text[:18])


def load_image(
    source: Source, max_pixels: int | None = None, label: str | None = None
) -> LoadedImage:
    """Read an image file, or the bytes of one, with all it carries; its content tells its kind.

    Args:
        source: path or bytes.
        max_pixels: the limit on height x width; see :func:`max_pixels_allowed`.
        label: what messages call bytes.

    Raises:
        UserError: missing, unreadable, a folder, empty, not an image, truncated, damaged, too
            many pixels, or of a kind that is not read; names the file and the fault.
    """
    limit = max_pixels_allowed(max_pixels)
    with _opened(source, label) as file:
        found = Opened(file)
        header = found.header
        if header.height * header.width > limit:
            raise BrokenImage(
                f"{header.width}x{header.height} pixels are more than the limit of {limit}. If the "
                "image is what you expect, raise the limit with the environment variable "
                "SUPERRES_MAX_PIXELS (superres upscale: --max-pixels; Python: max_pixels=)"
            )
        file.seek(0)
        data = file.read()
        picture = LoadedImage(found.decode(data), header.format, header.orientation)
        picture.notes = [*(found.page.notes if found.page else header.notes)]
        if found.image is not None:
            _add_metadata(picture, found.image, data)
    return picture


def read_image(
    source: Source,
    channels: Channels = "rgb",
    dtype: Literal["uint8", "keep"] = "uint8",
    *,
    max_pixels: int | None = None,
    label: str | None = None,
) -> np.ndarray:
    """Decode an image file, or the bytes of one; errors as :func:`load_image`.

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
    image = load_image(source, max_pixels, label).pixels
    if dtype == "uint8":
        image = to_8_bit(image)
    elif image.dtype == np.float32:
        image = np.rint(image * 65535).astype(np.uint16)
    if image.shape[2] == 2:
        bands = [0, 0, 0, 1] if channels == "unchanged" else [0]
        image = np.ascontiguousarray(image[..., bands])
    return with_channels(image, image.shape[2] if channels == "unchanged" else channels)


def image_header(source: Source, label: str | None = None) -> ImageHeader:
    """Size, channels, depth, alpha, orientation and profile of an image file, not decoded.

    Args:
        source: path, or encoded bytes.
        label: what messages call bytes.

    Raises:
        UserError: missing, unreadable, a folder, empty, not an image.
    """
    with _opened(source, label) as file:
        return Opened(file).header


@contextlib.contextmanager
def opened_image(path: PathLike) -> Iterator[Image.Image | None]:
    """Pillow's image of a file, not decoded; None for some TIFFs. UserError as `image_header`."""
    with _opened(path) as file:
        yield Opened(file).image


def image_size(path: PathLike) -> tuple[int, int] | None:
    """(height, width) from the header; None where it cannot be told."""
    with contextlib.suppress(UserError):
        header = image_header(path)
        return header.height, header.width
    return None


def write_image(path: PathLike, image: np.ndarray, *, quality: int | None = None) -> None:
    """Write an image atomically: a reader sees the old file or the whole new one.

    Args:
        path: the suffix chooses the format: png, jpg, bmp, tif, webp, ppm, pgm.
        image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), RGB order, uint8, or uint16 where the
            format can hold it (png, tif, ppm, pgm). Alpha: png, tif, webp.
        quality: 1..100 for jpg (95 if None) and webp (lossless if None).

    Raises:
        UserError: a suffix that is not a format, an array that the format cannot hold, a missing
            or read-only folder, a full disk. Nothing is left behind.
    """
    path = Path(path)
    data = encode_image(image, path.suffix, quality=quality, label=str(path))
    write_atomically(path, lambda file: file.write(data))


@contextlib.contextmanager
def _opened(source: Source, label: str | None = None) -> Iterator[BinaryIO]:
    """The file; UserError with its name for whatever is wrong with it."""
    in_memory = isinstance(source, bytes | bytearray | memoryview)
    name = label or ("image in memory" if in_memory else os.fspath(source))
    if not in_memory and (fault := unreadable(source)):  # a pipe would be waited for
        raise UserError(fault)
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours can be raised
    try:
        with (
            warnings.catch_warnings(),
            io.BytesIO(source) if in_memory else open(source, "rb") as file,
        ):
            warnings.simplefilter("ignore")  # of Pillow, about odd metadata
            yield file
    except BrokenImage as fault:
        raise UserError(f"{name}: {fault}.") from None
    except OSError as error:
        raise UserError(os_fault(name, error, "image")) from None
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _add_metadata(found: LoadedImage, image: Image.Image, data: bytes) -> None:
    """What Pillow found beside the pixels, and the chunks of a PNG."""
    found.info = dict(image.info)
    found.icc = None if image.mode == "CMYK" else found.info.get("icc_profile") or None
    lossy_webp = found.format == "webp" and b"VP8 " in data[:64]
    found.lossless = not (found.format == "jpeg" or lossy_webp)
    tags = getattr(image, "tag_v2", {}) if found.format == "tiff" else {}
    found.info |= {k: tags[t] for k, t in (("iptc", 33723), ("comment", 270)) if t in tags}
    chunks = _png_chunks(data) if found.format == "png" else []
    found.png_chunks = [chunk for chunk in chunks if chunk[0] != b"eXIf"]
    if found.format == "png":  # whose texts have names
        texts = {k: v for k, v in found.info.items() if isinstance(v, str) and k[:4] != "XML:"}
        words = "\n".join(map(": ".join, texts.items()))
        found.info["comment"] = words.removeprefix("Comment: ").encode()
    with contextlib.suppress(Exception):  # a damaged block does not disqualify the image
        exif = Image.Image.getexif(image)
        if body := dict(chunks).get(b"eXIf"):  # Pillow has seen it before the pixels only
            exif.load(b"Exif\0\0" + body)
        for tag in {0x8769, 0x8825} & {*exif}:  # Exif, GPS: as long as the file is open
            exif.get_ifd(tag)
        found.exif = exif if len(exif) else None
    block = found.info.get("exif", b"").removeprefix(b"Exif\0\0")
    if found.exif is None and block[8:10].strip(b"\0"):  # it has tags
        found.notes.append("its EXIF is damaged: left out")
    if found.exif is not None and found.format != "tiff":
        found.orientation = turn_of(found.exif.get(ORIENTATION))


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG that say something of the whole image."""
    kinds = b"gAMA cHRM sRGB cICP mDCV cLLI pHYs tEXt zTXt iTXt eXIf".split()
    found, at = [], 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind in kinds:
            found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found
