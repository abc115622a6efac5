"""An image file that is open: what it says about itself, and its samples."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from superres.imaging import tiff
from superres.imaging._cv2 import import_cv2
from superres.imaging.kinds import HEAD, BrokenImage, Kind, kind_of, why_not
from superres.imaging.samples import from_pillow

ORIENTATION = 274
"""The EXIF tag."""
_BAND = 256  # rows


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says about itself, without decoding it.

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


class Opened:
    """An image file whose header has been read.

    Attributes:
        image: Pillow's image of it, not decoded; None for some TIFFs.
        page: of a TIFF, which of its directories is the image.
        header: what it says about itself.

    Raises:
        BrokenImage: damaged, or of a kind that is not read.
    """

    def __init__(self, file: BinaryIO) -> None:
        head = file.read(HEAD)
        kind = kind_of(head)
        if kind is None or not kind.name:
            raise BrokenImage(why_not(head))
        self._kind, self._name = kind, kind.name.upper()
        self.page: tiff.Page | None = None
        self.image: Any = None
        with _damage(f"a {self._name} whose header cannot be read"):
            if kind.name == "tiff":
                self.page = tiff.find_page(file)
            file.seek(0)
            try:
                self.image = plugin(kind)(file)
            except Exception:
                if self.page is None:  # Pillow has no mode for some TIFFs
                    raise
            self.header = self._of_page(self.page) if self.page else self._of_image(head)

    def _of_page(self, page: tiff.Page) -> ImageHeader:
        bits = 32 if page.is_float else 8 if page.bits <= 8 else 16
        icc = self.image is not None and "icc_profile" in self.image.info
        alpha, turn, notes = page.alpha > 0, page.orientation, tuple(page.notes)
        return ImageHeader("tiff", *page.size, page.channels, bits, alpha, turn, icc, notes)

    def _of_image(self, head: bytes) -> ImageHeader:
        kind, image, mode = self._kind, self.image, self.image.mode
        alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
        channels = 4 if alpha else 1 if mode in ("1", "L", "I") or mode.startswith("I;16") else 3
        bits, notes = _bits(kind, image, head), tuple(_left_out(kind, image, head))
        turn, icc = 1, "icc_profile" in image.info
        with contextlib.suppress(Exception):  # a damaged block does not disqualify the image
            turn = tiff.turn_of(Image.Image.getexif(image).get(ORIENTATION))
        return ImageHeader(kind.name, *image.size[::-1], channels, bits, alpha, turn, icc, notes)

    def decode(self, data: bytes) -> np.ndarray:
        """(H, W, C) uint8, uint16 or float32 of ``data``, the whole file.

        Raises:
            BrokenImage: damaged.
        """
        with _damage(f"a {self._name} that cannot be decoded"):
            pixels = self._decoded(data)
        if pixels.shape[:2] != (self.header.height, self.header.width):
            raise BrokenImage(f"it decodes to {pixels.shape[:2]} pixels, its header says others")
        return pixels

    def _decoded(self, data: bytes) -> np.ndarray:
        if self.page is not None:
            return tiff.decode(data, self.page)
        if self._name == "PNG":
            plugin(self._kind)(io.BytesIO(data)).verify()  # OpenCV forgives what is damaged
            return self._by_opencv(data)
        if self.header.bits == 16 and (self._name == "PNM" or self.image.mode == "RGB"):
            return self._by_opencv(data)
        self.image.load()
        return from_pillow(self.image)

    def _by_opencv(self, data: bytes) -> np.ndarray:
        """PNG: faster; and the only one that keeps 16 bits of colours, in PNM and JPEG 2000 too."""
        cv2, image = import_cv2(), self.image
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise BrokenImage("cannot be decoded, damaged or truncated")
        pixels = np.atleast_3d(pixels)
        if pixels.shape[2] > 1:
            # Some rows at a time, in place: a second copy would be the most ever in memory.
            code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
            for start in range(0, len(pixels), _BAND):
                pixels[start : start + _BAND] = cv2.cvtColor(pixels[start : start + _BAND], code)
        if self._name == "PNM" and (peak := _pnm_peak(image)) < 65535:
            if pixels.max() > peak:
                raise BrokenImage(f"damaged: a sample of {pixels.max()} above its peak of {peak}")
            return ((pixels * np.uint32(65535) + peak // 2) // peak).astype(np.uint16)
        if image.mode in ("LA", "I;16", "L") and pixels.shape[2] == 4:
            return np.ascontiguousarray(pixels[..., [0, 3]])
        level = image.info.get("transparency")
        if pixels.shape[2] == 1 and isinstance(level, int):  # one grey level, as stored
            level *= {"L;2": 85, "L;4": 17}.get(str(image.tile[0][3]), 1)
            level = 255 * bool(level) if image.mode == "1" else level
            opaque = pixels.dtype.type(np.iinfo(pixels.dtype).max)
            pixels = np.concatenate([pixels, (pixels != level) * opaque], 2)
        return pixels


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    """Pillow, OpenCV and their plugins fail in any way on damaged data: one way to tell of it."""
    try:
        yield
    except (BrokenImage, MemoryError):
        raise
    except Exception as error:
        raise BrokenImage(f"{what}, damaged or truncated ({error})") from None


def plugin(kind: Kind) -> Any:
    """Pillow's opener for one kind: its own `open` would try all, and start other programs."""
    if kind.plugin not in Image.OPEN:
        Image.init()
    if kind.plugin not in Image.OPEN:
        raise BrokenImage(f"{kind.plugin}, which this Pillow does not read; convert it to PNG")
    return Image.OPEN[kind.plugin][0]


def _pnm_peak(image: Image.Image) -> int:
    """The largest value of a PNM; Pillow hands it to its decoder where it is not 255 or 65535."""
    arguments = image.tile[0][3]
    if isinstance(arguments, tuple) and len(arguments) > 1 and isinstance(arguments[1], int):
        return arguments[1] or (65535 if image.mode == "I" else 255)
    return 65535 if image.mode in ("I", "I;16B") else 255


def _bits(kind: Kind, image: Image.Image, head: bytes) -> int:
    """8 or 16; for colours of 16 bits Pillow has no mode."""
    deep = image.mode == "I" or image.mode.startswith("I;16")
    if kind.name == "png":
        deep |= bool(image.tile) and ";16B" in str(image.tile[0][3])
    elif kind.name == "pnm":
        deep |= _pnm_peak(image) > 255
    elif kind.name == "jpeg2000":
        bits = head[head.find(b"\xff\x51") + 40] % 128 + 1  # behind the SIZ marker
        deep = bits == 16 and image.mode in ("RGB", "I;16")
        if bits > 8 and not deep:  # Pillow has them wrong
            raise BrokenImage(f"a JPEG 2000 of {bits} bits, not read here; convert it to PNG")
    return 16 if deep else 8


def _left_out(kind: Kind, image: Image.Image, head: bytes) -> Iterator[str]:
    """What decoding this kind leaves out."""
    frames = 1
    with contextlib.suppress(Exception):  # counting frames walks through a damaged file
        frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        moving = "animated: " * (kind.name in ("gif", "png", "webp"))
        yield f"{moving}only the first of its {frames} frames is done"
    if getattr(image, "default_image", False):
        yield "its default image is not a frame of its animation: only one of the two is done"
    if image.mode == "CMYK":
        yield "CMYK was turned to RGB"
    at = head.find(b"av1C") if kind.name == "avif" else -1
    if at >= 0 and (deep := {0x40: 10, 0x60: 12}.get(head[at + 6] & 0x60)):
        yield f"read with 8 of its {deep} bits"
