"""Read image files of any kind, by one reader for all rooms, and write them.

Pixels come as they are stored: an EXIF rotation is **not** applied and an ICC profile is ignored,
because the LR and HR files of a dataset must match sample by sample; :func:`image_header` tells of
both. What decoding leaves out is in the notes of a header and of a picture.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from superres.errors import UserError
from superres.files import PathLike, os_fault, unreadable, with_rest, write_atomically
from superres.imaging import tiff
from superres.imaging._cv2 import import_cv2
from superres.imaging.encode import encode_image
from superres.imaging.kinds import HEAD, Kind, kind_of, why_not

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "Channels",
    "ImageHeader",
    "Picture",
    "encode_image",
    "from_pillow",
    "image_exif",
    "image_header",
    "image_shape",
    "max_pixels_allowed",
    "picture_size",
    "read_image",
    "read_picture",
    "to_8_bit",
    "write_atomically",
    "write_image",
]

Channels = Literal["rgb", "grey", "unchanged"]

#: Pictures with more pixels than this are refused before they are decoded.
DEFAULT_MAX_PIXELS = 2**28

_BAND = 256  # rows
_ORIENTATION = 274


class BrokenPicture(ValueError):
    """The fault of a picture file, in words that follow the file's name and a colon."""


@dataclass(frozen=True)
class ImageHeader:
    """What a picture file says about itself, without decoding it.

    Attributes:
        format: ``png``, ``jpeg``, ``bmp``, ``tiff``, ``webp``, ``pnm``, ``gif``, ``avif``, ...
        height: rows in pixels, as stored (an EXIF rotation is not applied).
        width: columns in pixels, as stored.
        channels: 1 (grey), 3 (RGB; palettes and CMYK too) or 4 (with alpha, grey too).
        bits: bits per decoded sample: 8, 16, or 32 for floats.
        has_alpha: the file carries transparency (alpha channel or transparent palette entries).
        orientation: EXIF/TIFF orientation 1 to 8 where it is found before the pixels, else 1.
        has_icc: an ICC colour profile is embedded.
        notes: what decoding leaves out: frames, pages, bands, bits; sentences.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int = 8
    has_alpha: bool = False
    orientation: int = 1
    has_icc: bool = False
    notes: tuple[str, ...] = ()


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
        return _header(file)[0]


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
    with contextlib.suppress(Exception), _faults(""), _opened(path) as file:
        return Image.Image.getexif(_header(file)[2])
    return Image.Exif()


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


def _header(file: BinaryIO) -> tuple[ImageHeader, Kind, Image.Image | None, tiff.Page | None]:
    """What the file says, its kind, and Pillow's picture of it, not decoded."""
    head = file.read(HEAD)
    kind = kind_of(head)
    if kind is None or not kind.name:
        raise BrokenPicture(why_not(head))
    page = None
    try:
        if kind.name == "tiff":
            page = tiff.find_page(file)
        file.seek(0)
        image = _plugin(kind)(file)
        exif = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except (BrokenPicture, tiff.Refused):
        raise
    except Exception as error:  # plugins fail in any way on damaged data
        if page is not None:
            return _tiff_header(page, {}), kind, None, page
        raise BrokenPicture(
            f"truncated or damaged in its {kind.name.upper()} header, or of no known kind ({error})"
        ) from None
    orientation = exif if exif in range(1, 9) else 1
    if page is not None:
        return _tiff_header(page, image.info), kind, image, page
    notes = _left_out(kind, image, head)
    mode = image.mode
    alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    grey = mode in ("1", "L", "I") or mode.startswith("I;16")
    deep = mode == "I" or mode.startswith("I;16") or _deep_colour(kind, image)
    header = ImageHeader(
        kind.name,
        image.height,
        image.width,
        4 if alpha else 1 if grey else 3,
        16 if deep else 8,
        alpha,
        orientation,
        "icc_profile" in image.info,
        tuple(notes),
    )
    return header, kind, image, None


def _tiff_header(page: tiff.Page, info: dict[str, Any]) -> ImageHeader:
    alpha = page.alpha > 0
    channels = 4 if alpha else page.channels
    bits = 32 if page.is_float else 8 if page.bits <= 8 else 16
    icc = "icc_profile" in info
    return ImageHeader(
        "tiff", *page.size, channels, bits, alpha, page.orientation, icc, tuple(page.notes)
    )


def _plugin(kind: Kind) -> Any:
    """Pillow's opener for one kind: its own `open` would try all, and start other programs."""
    if kind.plugin not in Image.OPEN:
        Image.init()
    if kind.plugin not in Image.OPEN:
        raise BrokenPicture(f"{kind.plugin}, which this Pillow does not read; convert it to PNG")
    return Image.OPEN[kind.plugin][0]


def _deep_colour(kind: Kind, image: Image.Image) -> bool:
    """16 bits where Pillow has a mode of 8 bits only."""
    if kind.name == "png":
        return bool(image.tile) and ";16B" in str(image.tile[0][3])
    return kind.name == "pnm" and _pnm_peak(image) > 255


def _pnm_peak(image: Image.Image) -> int:
    """The largest value of a PNM; Pillow hands it to its decoder where it is not 255 or 65535."""
    arguments = image.tile[0][3]
    if isinstance(arguments, tuple) and len(arguments) > 1 and isinstance(arguments[1], int):
        return arguments[1] or (65535 if image.mode == "I" else 255)
    return 65535 if image.mode in ("I", "I;16B") else 255


def _left_out(kind: Kind, image: Image.Image, head: bytes) -> list[str]:
    """What decoding this kind leaves out."""
    notes = []
    with contextlib.suppress(Exception):  # counting frames walks through a damaged file
        if (frames := int(getattr(image, "n_frames", 1))) > 1:
            moving = "animated: " * (kind.name in ("gif", "png", "webp"))
            notes.append(f"{moving}only the first of its {frames} frames is done")
    if image.mode == "CMYK":
        notes.append("CMYK was turned to RGB")
    deep = 0
    if kind.name == "avif" and (at := head.find(b"av1C")) >= 0:
        deep = {0x40: 10, 0x60: 12}.get(head[at + 6] & 0x60, 0)
    elif kind.name == "jpeg2000" and (at := head.find(b"\xff\x51")) >= 0:
        deep = (head[at + 40] & 0x7F) + 1
    if deep > 8 and not image.mode.startswith("I"):
        notes.append(f"read with 8 of its {deep} bits")
    return notes


def _read(file: BinaryIO, data: bytes | None, limit: int) -> Picture:
    """The picture of an open file; ``data`` are its bytes where they are in memory already."""
    header, kind, image, page = _header(file)
    after_header = file.tell()
    if header.height * header.width > limit:
        raise BrokenPicture(
            f"{header.width}x{header.height} pixels are more than the limit of {limit}. If the "
            "picture is what you expect, raise the limit with the environment variable "
            "SUPERRES_MAX_PIXELS (superres upscale: --max-pixels; Python: max_pixels=)"
        )
    if data is None:
        file.seek(0)
        data = with_rest(file, b"")
    try:
        if page is not None:
            bands = tiff.needs_bands(page)
            pixels = tiff.decode_bands(data, page) if bands else _pillow_tiff(data, page)
        else:
            _check_whole(kind, image, data, after_header)
            pixels = _decode(header, image, data)
    except (BrokenPicture, tiff.Refused):
        raise
    except MemoryError:
        raise
    except Exception as error:  # decoders fail in any way on damaged data
        raise BrokenPicture(f"cannot be decoded, damaged or truncated ({error})") from None
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


def _check_whole(kind: Kind, image: Image.Image, data: bytes, after_header: int) -> None:
    """Refuse what decoders forgive: missing ends, and checksums that do not match."""
    if kind.name == "png":
        if b"\0\0\0\0IEND\xae\x42\x60\x82" not in data[-(1 << 20) :]:
            raise BrokenPicture("truncated: the end of the PNG is missing")
        _plugin(kind)(io.BytesIO(data)).verify()
    elif kind.name == "jpeg" and data.find(b"\xff\xd9", after_header) < 0:
        raise BrokenPicture("truncated: the JPEG's end marker is missing")
    elif kind.name == "bmp" and image.tile[0][0] == "raw":
        if len(data) < (size := image.tile[0][2] + image.tile[0][3][1] * image.height):
            raise BrokenPicture(f"truncated: {len(data)} of {size} bytes are there")
    elif kind.name == "webp" and len(data) < (size := int.from_bytes(data[4:8], "little") + 8):
        raise BrokenPicture(f"truncated: {len(data)} of {size} bytes are there")


def _decode(header: ImageHeader, image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, C) uint8 or uint16."""
    plain = image.mode in ("L", "RGB", "RGBA") and "transparency" not in image.info
    if header.format == "png" and (header.bits == 16 or plain):
        return _deep_or_plain_png(image, data)
    if header.format == "pnm" and header.bits == 16:
        return _deep_pnm(image, data)
    image.load()
    return from_pillow(image)


def _deep_or_plain_png(image: Image.Image, data: bytes) -> np.ndarray:
    """By OpenCV: faster at 8 bits, and the only one that keeps 16 of colours."""
    cv2 = import_cv2()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise BrokenPicture("cannot be decoded; damaged")
    if pixels.ndim == 3:
        # Some rows at a time, in place: a second copy would be the most that is ever in memory.
        code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        for start in range(0, len(pixels), _BAND):
            pixels[start : start + _BAND] = cv2.cvtColor(pixels[start : start + _BAND], code)
        if image.mode in ("LA", "I;16") or (image.mode == "L" and pixels.shape[2] == 4):
            return np.ascontiguousarray(pixels[..., [0, 3]])
        return pixels
    pixels = pixels[..., None]
    level = image.info.get("transparency")
    if level is not None:  # one grey level of 16 bits
        pixels = np.concatenate([pixels, (pixels != level) * np.uint16(65535)], 2)
    return pixels


def _deep_pnm(image: Image.Image, data: bytes) -> np.ndarray:
    """PGM and PPM of more than 8 bits, which Pillow reduces where they have colours."""
    peak, start = _pnm_peak(image), image.tile[0][2]
    shape = image.height, image.width, 1 if image.mode.startswith("I") else 3
    count = int(np.prod(shape))
    if data[:2] in (b"P2", b"P3"):
        text = re.sub(rb"#[^\n\r]*", b"", data[start:])
        values = np.array(text.split()[:count], np.uint32)
    else:
        values = np.frombuffer(data, ">u2", count, start).astype(np.uint32)
    if values.size < count:
        raise BrokenPicture(f"truncated: {values.size} of {count} samples are there")
    if values.max() > peak:
        raise BrokenPicture(f"damaged: a sample of {values.max()} above its largest of {peak}")
    return ((values * 65535 + peak // 2) // peak).astype(np.uint16).reshape(shape)


def _pillow_tiff(data: bytes, page: tiff.Page) -> np.ndarray:
    with tiff.open_page(data, page) as image:
        image.load()
        return from_pillow(image)


def from_pillow(image: Image.Image) -> np.ndarray:
    """(H, W, C) uint8, uint16 or float32 of a Pillow picture; C as in :class:`Picture`.

    Raises:
        UserError: samples beyond [0, 65535], or floats beyond [0, 1].
    """
    mode = image.mode
    if mode == "CMYK":
        image, mode = _cmyk_to_rgb(image), "RGB"
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode in ("I", "F"):
        values = np.asarray(image)
        peak = 1 if mode == "F" else 65535
        if not (values.min() >= 0 and values.max() <= peak):
            raise UserError(
                f"a picture of mode {mode} has samples beyond [0, {peak}]: its range is not known; "
                "convert it to 8 or 16 bits"
            )
        return values.astype(np.float32 if mode == "F" else np.uint16)[..., None]
    if mode == "La":
        image = image.convert("LA")
    transparent = "transparency" in image.info
    grey = mode in ("1", "L", "LA", "La")
    alpha = mode in ("LA", "La", "RGBA", "RGBa", "PA") or transparent
    wanted = ("LA" if alpha else "L") if grey else ("RGBA" if alpha else "RGB")
    if mode == "RGBa" or (mode == "P" and wanted == "RGBA") or (mode == "LA" and transparent):
        image = image.convert("RGBA")
    pixels = np.array(image.convert(wanted) if image.mode != wanted else image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """By its own profile where it has one, to sRGB."""
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    return image.convert("RGB")


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


@functools.cache
def _eight_of_sixteen() -> np.ndarray:
    """The table v -> round(v / 257) for all 16-bit values (257 is odd: there are no ties)."""
    return ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """uint16 as round(v / 257), floats in [0, 1] as round(255 v), uint8 as it is."""
    if image.dtype == np.uint16:
        return _eight_of_sixteen()[image]
    return image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)


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
