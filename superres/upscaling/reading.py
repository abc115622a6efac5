"""A picture as a person has it: any format, with its alpha, depth, orientation and profile."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, features

from superres.errors import UserError
from superres.files import os_fault, with_rest
from superres.imaging.formats import BrokenPicture, NeedMore, check_complete, parse_header
from superres.imaging.formats.base import ImageHeader
from superres.imaging.io import max_pixels_allowed, read_image
from superres.upscaling.names import shown

_HEAD = 1 << 16
_PILLOW_FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "PPM"),
    *("GIF", "AVIF", "JPEG2000", "ICO", "TGA", "PCX"),
)
"""What Pillow may open. It goes by content, whatever the name, and hands EPS to Ghostscript."""
_ORIENTATION = 274


@dataclass
class Picture:
    """A decoded picture and what its file said beside the pixels.

    Attributes:
        pixels: (H, W, C) uint8 or uint16; C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
            As stored: ``orientation`` is not applied.
        format: ``png``, ``jpeg``, ``webp``, ``tiff``, ``bmp``, ``pnm``, or Pillow's name of
            another one, in lower case.
        orientation: EXIF orientation, 1 to 8.
        icc: the ICC profile of the pixels.
        exif: the EXIF block with its orientation, None where there is none.
        png_chunks: ``gAMA``, ``cHRM``, ``sRGB`` and ``cICP`` of a PNG, as they are.
        lossless: False for JPEG and lossy WebP.
        notes: what a person should know of the reading; sentences.
    """

    pixels: np.ndarray
    format: str
    orientation: int = 1
    icc: bytes | None = None
    exif: Image.Exif | None = None
    png_chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    lossless: bool = True
    notes: list[str] = field(default_factory=list)


def read_picture(
    source: str | os.PathLike | bytes, max_pixels: int | None = None, label: str | None = None
) -> Picture:
    """Read a picture file, or the bytes of one; its format is told by its content.

    Args:
        source: path or bytes.
        max_pixels: the limit on height x width; see
            :func:`superres.imaging.io.max_pixels_allowed`.
        label: what messages call bytes.

    Raises:
        UserError: missing, not a picture, truncated, damaged, too many pixels, unsupported samples.
    """
    name = label or ("the picture" if isinstance(source, bytes) else shown(source))
    limit = max_pixels_allowed(max_pixels)
    header, data = _load(source, name, limit)
    if header is not None and header.format == "tiff" and header.orientation != 1:
        data = _unturned(data)  # decoders turn TIFFs, some of them and some ways
    info = _Info(data)
    notes = info.notes(header)
    use_pillow = header is None or info.animated or info.mode == "CMYK" or _odd(header, info)
    if use_pillow:
        if header is not None:
            _check_whole(data, header, name)  # Pillow forgives a missing end
        pixels = _by_pillow(data, name, limit, notes)
    else:
        pixels = read_image(data, "unchanged", "keep", max_pixels=limit, label=name)
        grey_alpha = header.format == "png" and data[25] == 4
        if pixels.shape[2] == 4 and (grey_alpha or info.mode == "LA"):  # they come as RGBA
            pixels = np.ascontiguousarray(pixels[..., [0, 3]])
        if header.format == "png" and header.has_alpha and pixels.shape[2] == 1:
            _, level = _png_chunks(data, (b"tRNS",))[0]  # one grey level of 16 bits
            seen = pixels != int.from_bytes(level, "big")
            pixels = np.concatenate([pixels, seen * np.uint16(65535)], 2)
        if header.bits == 16 and pixels.dtype == np.uint8:
            notes.append("read with 8 of its 16 bits")
    icc = info.icc if info.mode != "CMYK" else None
    orientation = info.orientation if header is None else header.orientation
    if header is not None and header.format in ("webp", "png"):
        orientation = info.orientation if info.exif else orientation
    kind = header.format if header else info.format
    return Picture(
        pixels,
        kind,
        orientation,
        icc,
        info.exif,
        _png_chunks(data) if kind == "png" else [],
        not (kind == "jpeg" or (kind == "webp" and b"VP8 " in data[:64])),
        notes,
    )


def picture_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """(height, width) from the header; None where it cannot be told."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
        header = parse_header(head, whole=len(head) < _HEAD)
        return header.height, header.width
    except (OSError, BrokenPicture, NeedMore):
        pass
    try:
        with _no_bomb_check(), _open(path) as image:
            return image.height, image.width
    except Exception:
        return None


def exif_value(path: str | os.PathLike, tag: int) -> Any:
    """One value of a picture's EXIF block, if that comes before the pixels; None if not there."""
    with contextlib.suppress(Exception), _no_bomb_check(), _open(path) as image:
        return Image.Image.getexif(image).get(tag)
    return None


def _load(
    source: str | os.PathLike | bytes, name: str, limit: int
) -> tuple[ImageHeader | None, bytes]:
    """All bytes, and the header if it is of a format known here; checked before all is read."""
    if isinstance(source, bytes):
        return _header(source, True, name, limit), source
    try:
        if Path(source).is_dir():
            raise UserError(f"{name}: a folder, not a picture.")
        with open(source, "rb") as file:
            data = file.read(_HEAD)
            try:
                header = _header(data, len(data) < _HEAD, name, limit)
            except NeedMore:
                data += file.read()
                header = _header(data, True, name, limit)
            return header, with_rest(file, data)
    except OSError as error:
        raise UserError(os_fault(name, error, "picture")) from None


def _header(data: bytes, whole: bool, name: str, limit: int) -> ImageHeader | None:
    try:
        header = parse_header(data, whole=whole)
    except BrokenPicture as fault:
        with (
            _no_bomb_check(),
            contextlib.suppress(Exception),
            _open(io.BytesIO(data)) as image,
        ):
            if image.format not in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "MPO"):
                return None  # a format of Pillow's
        damaged = _readable_by_pillow(data)
        why = f"{damaged}, but damaged or truncated" if damaged else fault
        raise UserError(f"{name}: {why}.") from None
    _check_size(header.width, header.height, name, limit)
    return header


def _open(source: str | os.PathLike | io.BytesIO) -> Image.Image:
    """Pillow's picture, of a format that its own code decodes."""
    Image.init()
    return Image.open(source, formats=[name for name in _PILLOW_FORMATS if name in Image.OPEN])


def _readable_by_pillow(data: bytes) -> str | None:
    """What a file begins as, where files of that kind can be read."""
    kinds = ((b"GIF8", "GIF", "a GIF"), (b"\0\0\0\x0cjP  ", "JPEG2000", "a JPEG 2000"))
    for start, name, words in kinds:
        if data.startswith(start) and name in Image.OPEN:
            return words
    avif = data[4:12] in (b"ftypavif", b"ftypavis") and features.check("avif")
    return "an AVIF" if avif else None


def _check_size(width: int, height: int, name: str, limit: int) -> None:
    if width * height > limit:
        raise UserError(
            f"{name}: {width}x{height} pixels are more than the limit of {limit}. If that is what "
            "you expect, raise it with --max-pixels (from Python: max_pixels=...)."
        )


def _check_whole(data: bytes, header: ImageHeader, name: str) -> None:
    try:
        check_complete(data, header)
    except BrokenPicture as fault:
        raise UserError(f"{name}: {fault}.") from None


def _odd(header: ImageHeader, info: _Info) -> bool:
    """Transparency that the fast reader would lose: one transparent grey level, at 8 bits."""
    return header.has_alpha and header.channels == 1 and header.bits == 8 and info.mode != ""


class _Info:
    """What Pillow reads of a file without decoding it; empty where it cannot."""

    def __init__(self, data: bytes) -> None:
        self.mode = self.format = ""
        self.icc: bytes | None = None
        self.exif: Image.Exif | None = None
        self.orientation = 1
        self.frames, self.animated = 1, False
        # A damaged profile or EXIF block is no reason to refuse the picture.
        with (
            _no_bomb_check(),
            contextlib.suppress(Exception),
            _open(io.BytesIO(data)) as image,
        ):
            self.mode, self.format = image.mode, (image.format or "").lower()
            self.icc = image.info.get("icc_profile") or None
            with contextlib.suppress(Exception):
                self.frames = int(getattr(image, "n_frames", 1))
                self.animated = self.frames > 1 and self.format in ("gif", "png", "webp")
            exif = _exif(image, data)
            if len(exif):
                value = exif.get(_ORIENTATION, 1)
                self.orientation = value if value in range(1, 9) else 1
                self.exif = exif

    def notes(self, header: ImageHeader | None) -> list[str]:
        """What is left out."""
        if self.animated or (self.frames > 1 and self.format == "avif"):
            return [f"animated: only the first of its {self.frames} frames is done"]
        if self.frames > 1 and self.format == "tiff":
            return [f"only the first of its {self.frames} pages is done"]
        return []


def _exif(image: Image.Image, data: bytes) -> Image.Exif:
    """As ``image.getexif()``, which decodes a PNG that has none: some have it after the pixels."""
    if image.format == "PNG" and not _texts_after_pixels(data):
        return Image.Image.getexif(image)
    return image.getexif()


def _texts_after_pixels(data: bytes) -> bool:
    position, pixels = 8, False
    while position + 8 <= len(data):
        kind = data[position + 4 : position + 8]
        pixels = pixels or kind == b"IDAT"
        if pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def _by_pillow(data: bytes, name: str, limit: int, notes: list[str]) -> np.ndarray:
    """The first frame; CMYK becomes RGB."""
    try:
        with _no_bomb_check(), _open(io.BytesIO(data)) as image:
            _check_size(image.width, image.height, name, limit)
            image.load()
            if image.mode == "CMYK":
                notes.append("CMYK was turned to RGB")
                image = _cmyk_to_rgb(image)
            return from_pillow(image)
    except UserError:
        raise
    except Exception as error:  # decoders fail in any way on damaged data
        raise UserError(f"{name}: cannot be decoded, damaged or truncated ({error}).") from None


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """By its own profile where it has one, to sRGB."""
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    return image.convert("RGB")


def from_pillow(image: Image.Image) -> np.ndarray:
    """(H, W, C) uint8 or uint16 of a Pillow picture of any mode; C as in :class:`Picture`.

    Raises:
        UserError: 32-bit integer or float samples beyond [0, 65535].
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode in ("I", "F"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535 or mode == "F":
            raise UserError(
                f"a picture of mode {mode} ({'float' if mode == 'F' else '32-bit'} samples) has no "
                "known range; convert it to 8 or 16 bits"
            )
        return values.astype(np.uint16)[..., None]
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


def _unturned(data: bytes) -> bytes:
    """A TIFF without its orientation, so that its pixels come as they are stored."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    first, step, value = (start + 8, 20, 12) if big else (start + 2, 12, 8)
    changed = bytearray(data)
    for entry in range(first, first + count * step, step):
        if struct.unpack_from(order + "H", data, entry)[0] == _ORIENTATION:
            struct.pack_into(order + "H", changed, entry + value, 1)
    return bytes(changed)


def _png_chunks(
    data: bytes, wanted: tuple[bytes, ...] = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
) -> list[tuple[bytes, bytes]]:
    found, position = [], 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind == b"IDAT":
            break
        if kind in wanted:
            found.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


@contextlib.contextmanager
def _no_bomb_check() -> Iterator[Any]:
    """Pillow's own pixel limit off: ours is checked, and can be raised by an option."""
    import warnings

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
