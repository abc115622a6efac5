"""Upscaled images to files, whole, with what a source says beside its pixels in any format."""

from __future__ import annotations

import contextlib
import errno
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from superres.errors import UserError
from superres.files import os_fault, write_atomically
from superres.imaging.encode import encode_image
from superres.imaging.io import LoadedImage
from superres.imaging.samples import to_8_bit, to_pillow
from superres.imaging.tiff import with_tags
from superres.upscaling.provenance import EXIF_TAG, with_record
from superres.upscaling.video_reading import Animation, encode_frames

FORMATS = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tif"}
"""What ``--format`` takes, and the suffix of each."""
SUFFIX_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".webp": "webp"}
SUFFIX_FORMATS |= {".tif": "tiff", ".tiff": "tiff", ".bmp": "bmp"}
SUFFIX_FORMATS |= {".ppm": "pnm", ".pgm": "pnm", ".pnm": "pnm"}
_LARGEST = {"jpeg": 65535, "webp": 16383}  # pixels a side
_DEEPEST = {"tiff": np.dtype(np.float32), "png": np.dtype(np.uint16)}  # others: uint8
_WORDS = {"icc": "a colour profile", "given": "EXIF", "xmp": "XMP", "iptc": "IPTC"}
_WORDS |= {"comment": "texts", "dpi": "a resolution"}
_LACKS = {"png": ["iptc"], "webp": ["iptc"], "pnm": [*_WORDS]}
_LACKS |= {"bmp": [*_WORDS][:-1], "gif": [*[*_WORDS][:-2], "dpi"]}
"""What a format has no room for, of ``_WORDS``: BMP keeps the resolution alone, GIF texts."""
_IN_MEMORY = 1 << 29
"""Bytes of a result that is encoded at once; larger ones go through libvips where it is there."""
_CLASSIC_TIFF = 3_900_000_000  # bytes of pixels; more need a BigTIFF
# Tags of EXIF.
_ORIENTATION, _EXIF_IFD, _WIDTH, _HEIGHT = 274, 0x8769, 0xA002, 0xA003
_LONGEST, _SEGMENTS = 65_500, ("xmp", "iptc", "comment")  # bytes of one in a JPEG, roughly
_OF_A_TIFF = (*range(256, 260), 262, 273, *range(277, 280), 284, 317, 338, 700, 33723, 34675)
"""Tags that describe the TIFF that an EXIF block came from, and no other file."""
_TO_TIFF = {282: 5, 283: 5, 296: 3, _EXIF_IFD: 4, 0x8825: 4}
"""Tags of EXIF that a TIFF gets beside texts, with their types (5: a fraction)."""


class DiskFull(UserError):
    """Nothing more can be written: continuing is pointless."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file whose writing fails.

    Raises:
        DiskFull: there is no room.
        UserError: another fault of the system.
    """
    try:
        yield
    except OSError as error:  # PyAV's errors are OSErrors, too
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(os_fault(path, error, "file", writing=True)) from None
        then = "make room and run the same command again: what is done is kept"
        raise DiskFull(f"{path}: the disk is full; {then}") from None


def format_of(path: Path) -> str:
    """The format that a file's suffix stands for, of SUFFIX_FORMATS. UserError if it has none."""
    if path.suffix.lower() not in SUFFIX_FORMATS:
        suffix = path.suffix or "a file without a suffix"
        raise UserError(f"{path}: cannot write {suffix}; use {' '.join(SUFFIX_FORMATS)}")
    return SUFFIX_FORMATS[path.suffix.lower()]


def native_format(source: LoadedImage) -> str:
    """The format to write what came in another: the same where that can be, else PNG."""
    return source.format if source.format in SUFFIX_FORMATS.values() else "png"


def check_size(kind: str, size: tuple[int, int], name: str) -> None:
    """UserError if a format cannot hold an image of ``size``, (height, width)."""
    if max(size) > (limit := _LARGEST.get(kind, max(size))):
        most = f"{kind}, which holds {limit} a side; use --format png or tiff"
        raise UserError(f"{name}: {size[1]}x{size[0]} pixels are too many for {most}")


def save(
    out: Path | BinaryIO,
    upscaler: Any,
    source: LoadedImage,
    kind: str | None = None,
    quality: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    record: str | None = None,
    moving: Animation | None = None,
) -> list[str]:
    """Upscale ``source`` into a file, which appears whole or not at all, or into an open one.

    Args:
        upscaler: what upscales, as :class:`.TiledUpscaler`: ``size(height, width)``,
            ``rows(pixels, progress)`` and, of animations, ``upscale(frame)``.
        kind: ``png``, ``jpeg``, ``webp``, ``tiff``, ``bmp`` or ``pnm``; None: that of
            ``source``. ``gif``, ``png`` or ``webp`` of what is animated.
        quality: 1 to 100 for jpeg and webp; None is 95, and lossless WebP from lossless sources.
        progress: called with (done, total) tiles, or frames.
        record: how it was made, see `superres.upscaling.provenance`; kept where the format can.
        moving: all frames of an animation, whose first is ``source``; None writes that one.

    Returns:
        What is lost in that format; sentences.

    Raises:
        DiskFull: there is no room.
        UserError: the folder is missing or read-only, or the format cannot hold it.
    """
    kind, pixels = kind or native_format(source), source.pixels
    size, folder, notes = upscaler.size(*pixels.shape[:2]), None, []
    check_size(kind, size, "the result")
    dtype = min(pixels.dtype, _DEEPEST.get(kind, np.dtype(np.uint8)), key=lambda t: t.itemsize)
    notes += reduction(kind, pixels.dtype, dtype)
    # Viewers heed the orientation in JPEG, TIFF and WebP; in a PNG few do. There the image is
    # turned upright, unless it came so.
    heeded = kind in ("jpeg", "tiff", "webp") or kind == source.format == "png"
    # ``turn`` is done to the pixels (1: nothing, 5 to 8: sides swap), ``stated`` written beside.
    turn, stated = (1, source.orientation) if heeded else (source.orientation, 1)
    metadata = Metadata(source, size[::-1] if turn > 4 else size, stated, record or "", kind)
    options = _options(kind, quality, source.lossless, metadata)
    lacks = {*metadata.too_long, *(n for n in _LACKS.get(kind, ()) if getattr(metadata, n))}
    if lost := ", ".join(word for name, word in _WORDS.items() if name in lacks):
        notes.append(f"{kind.upper()} has no room for {lost}: left out")
    channels = pixels.shape[2]  # OpenCV, and our reader, have no grey with alpha of 16 bits
    shape = (*size, 4 if channels == 2 and dtype != np.uint8 else channels)
    named = out if isinstance(out, Path) else Path("standard output")
    if isinstance(out, Path):
        make_folder(out.parent)
        large = int(np.prod(shape)) * dtype.itemsize > _IN_MEMORY and kind in ("png", "tiff")
        folder = out.parent if large and find_spec("pyvips") else None

    def fill(file: BinaryIO) -> None:
        with writing(named), tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=folder) as made:
            if moving:
                encode_frames(larger_frames(), kind, moving.loop, options, made)
            else:
                image, at = _room(shape, dtype, folder), 0
                for band in upscaler.rows(pixels, progress):
                    image[at : at + len(band)] = _as_type(band, dtype, shape[2])
                    at += len(band)
                if folder:
                    _encode_large(image, kind, turn, made)
                else:
                    _encode(turned(image, turn), kind, options, notes, made)
            metadata.copy(kind, made, file)
            file.flush()

    def larger_frames() -> Iterator[tuple[np.ndarray, float]]:
        for number, (frame, duration) in enumerate(moving, 1):
            yield turned(upscaler.upscale(frame), turn), duration
            progress(number, moving.frames)

    notes += ["a GIF has 256 colours, and pixels show or do not"] * (kind == "gif")
    try:
        fill(out) if isinstance(out, io.IOBase) else write_atomically(out, fill)
    except MemoryError:
        fault = f"a result of {size[1]}x{size[0]} pixels does not fit into memory"
        raise UserError(f"{fault}: pip install 'superres[large]', and write PNG or TIFF") from None
    return notes


def reduction(kind: str, source: np.dtype, made: np.dtype) -> list[str]:
    """What is said where a result of ``kind`` has fewer bits than its source."""
    was = "float" if source.kind == "f" else source.itemsize * 8
    return [f"{kind} has {made.itemsize * 8} bits: reduced from {was}"] * (made != source)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; UserError if that cannot be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _room(shape: tuple[int, ...], dtype: np.dtype, folder: Path | None) -> np.ndarray:
    """An array in memory, or in a file without a name in ``folder``, which the system pages."""
    if folder is None:
        return np.empty(shape, dtype)
    need = 2 * int(np.prod(shape)) * dtype.itemsize  # also for the encoded image
    if shutil.disk_usage(folder).free < need:  # what is mapped must not find the disk full
        raise OSError(errno.ENOSPC, "not enough room for a large result")
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _as_type(band: np.ndarray, dtype: np.dtype, channels: int) -> np.ndarray:
    """Rows of a result, in [0, 1] if float; grey with alpha may become RGBA."""
    band = band[..., [0, 0, 0, 1]] if band.shape[2] < channels else band
    if band.dtype == dtype:
        return band
    return to_8_bit(band) if dtype == np.uint8 else np.rint(band * 65535)


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as stored under an EXIF orientation, upright."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _options(kind: str, quality: int | None, lossless: bool, metadata: Metadata) -> dict[str, Any]:
    """For Pillow's ``save``; PNG and TIFF get their metadata later."""
    if kind in ("png", "tiff"):
        tiff = {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}}  # 317: the predictor
        return tiff if kind == "tiff" else {"compress_level": 4}
    lossy = {"quality": quality or 95}
    if kind == "webp" and lossless and quality is None:
        lossy = {"lossless": True, "quality": 60}  # here the effort
    # Without a disposal the frame before shows through what is transparent.
    more = {"jpeg": lossy | {"subsampling": 0}, "webp": lossy, "gif": {"disposal": 2}}
    return metadata.options(kind) | more.get(kind, {})


def _encode(image: np.ndarray, kind: str, options: dict, notes: list[str], file: Any) -> None:
    """By Pillow; by OpenCV what has more than 8 bits."""
    if kind in ("jpeg", "bmp", "pnm") and image.shape[2] in (2, 4):
        notes.append(f"{kind.upper()} has no transparency: put on white")
        image = on_white(image)
    if image.dtype != np.uint8:
        file.write(encode_image(image, f".{kind}"))
        return
    picture = to_pillow(image)
    if kind == "webp":
        picture = picture.convert({"L": "RGB", "LA": "RGBA"}.get(picture.mode, picture.mode))
    picture.save(file, {"pnm": "PPM"}.get(kind, kind.upper()), **options)


def _encode_large(image: np.memmap, kind: str, orientation: int, file: Any) -> None:
    """By libvips, which reads the pixels as it goes, ``superres[large]``; turned upright."""
    import pyvips

    height, width, channels = image.shape
    format = {"u1": "uchar", "u2": "ushort", "f4": "float"}[image.dtype.str[1:]]
    colours = (("b-w", "srgb"), ("grey16", "rgb16"))[image.dtype == np.uint16][channels > 2]
    try:
        made = pyvips.Image.new_from_memory(image.data, width, height, channels, format)
        made = made.copy(interpretation=colours)
        made.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        target = pyvips.Target.new_to_descriptor(file.fileno())
        if kind == "png":
            made.autorot().pngsave_target(target, compression=4, keep="none")
        else:
            predictor = "float" if format == "float" else "horizontal"
            made.autorot().tiffsave_target(
                target, compression="deflate", predictor=predictor, keep="none",
                bigtiff=image.nbytes > _CLASSIC_TIFF,
            )  # fmt: skip
    except pyvips.Error as error:
        raise UserError(f"libvips could not write the result ({error})") from None


def on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, 2 or 4) uint8 or uint16 on white, without its alpha: (H, W, 1 or 3)."""
    peak, wide = np.iinfo(image.dtype).max, image.astype(np.uint32)
    alpha, colour = wide[..., -1:], wide[..., :-1]
    return ((colour * alpha + peak * (peak - alpha) + peak // 2) // peak).astype(image.dtype)


class Metadata:
    """What is written beside a result of ``size`` (H, W), to be shown by EXIF's ``orientation``.

    ``record``: how it was made. Fields are None, or empty, where the source has none; ``given`` is
    its EXIF. Its preview is not carried on. ``too_long`` names those that the format (``kind``)
    holds, but not so much of them.
    """

    def __init__(
        self, source: LoadedImage, size: tuple, orientation: int, record: str, kind: str
    ) -> None:
        info, self.chunks, self.given = source.info, source.png_chunks, source.exif
        self.icc, self.orientation, self.record = source.icc, orientation, record
        self.dpi = tuple(map(float, dpi)) if (dpi := info.get("dpi")) and all(dpi) else ()
        stated = rb"\g<1>%d" % orientation
        self.xmp = re.sub(rb'(tiff:Orientation(?:="|>))[1-8]', stated, _bytes(info.get("xmp")))
        self.iptc = _bytes(info.get("iptc") or dict(info.get("photoshop") or ()).get(0x0404))
        self.comment = _bytes(info.get("comment"))
        self.too_long = [n for n in _SEGMENTS if kind == "jpeg" and len(vars(self)[n]) > _LONGEST]
        self.exif = self._exif(source.exif, size, kind)

    def _exif(self, source: Image.Exif | None, size: tuple[int, int], kind: str) -> bytes:
        """The block with the new size and record; empty where it says nothing."""
        own: dict[int, Any] = {EXIF_TAG: self.record} if self.record else {}
        if kind in ("webp", "tiff"):  # no other place for texts (270) and dots per inch (282, 283)
            said = filter(None, {_bytes(str((source or {}).get(270, ""))): 0, self.comment: 0})
            own |= {270: text} if (text := b"\n".join(said)) else {}
            own |= {282: self.dpi[0], 283: self.dpi[1], 296: 2} if self.dpi else {}
        # What there is no room for is dropped, the record first.
        for carried, made in ((source, own), (source, {}), (None, own)):
            with contextlib.suppress(Exception):  # Pillow cannot write all that it reads
                (exif := Image.Exif()).load(carried.tobytes() if carried else b"")
                for tag in (*_OF_A_TIFF, EXIF_TAG):
                    exif.pop(tag, None)
                exif.update({_ORIENTATION: self.orientation} | made)
                if _EXIF_IFD in exif:
                    exif.get_ifd(_EXIF_IFD).update({_WIDTH: size[1], _HEIGHT: size[0]})
                block = exif.tobytes() if carried or made or self.orientation > 1 else b""
                if kind != "jpeg" or len(block) <= _LONGEST:
                    break
        self.too_long += ["given"] * (carried is not source)
        return block

    def options(self, kind: str) -> dict[str, Any]:
        """For Pillow's ``save`` of ``jpeg``, ``webp``, ``gif``, ``bmp`` or ``pnm``."""
        said = with_record(self.comment.decode("latin-1"), self.record * (kind == "gif"))
        found = {"icc_profile": self.icc, "exif": self.exif, "xmp": self.xmp, "dpi": self.dpi}
        found["comment"] = said.encode("latin-1")
        if kind == "jpeg" and 0 < (n := len(iptc := self.iptc)) <= _LONGEST:
            body = b"Photoshop 3.0\x008BIM\4\4\0\0" + n.to_bytes(4, "big") + iptc + bytes(n % 2)
            found["extra"] = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
        return {name: value for name, value in found.items() if value and name not in self.too_long}

    def copy(self, kind: str, made: BinaryIO, file: BinaryIO) -> None:
        """An encoded file to another; a PNG and a TIFF, which have none of it yet, with it."""
        file.write(with_tags(made, self._tags()) if kind == "tiff" else b"")
        made.seek(0)
        if kind == "png":
            file.write(made.read(33))  # IHDR
            for chunk in self._chunks():
                PngImagePlugin.putchunk(file, *chunk)
            made.seek(54 if made.read(8)[4:] == b"pHYs" else 33)  # which libvips makes up
        file.writelines(iter(lambda: made.read(1 << 20), b""))

    def _chunks(self) -> list[tuple[bytes, bytes]]:
        """For a PNG, all before the pixels."""
        chunks = [c for c in self.chunks if not (self.icc and c[0] == b"sRGB")]
        profile = self.icc and b"ICC profile\0\0" + zlib.compress(self.icc)
        chunks += [(b"iCCP", profile), (b"eXIf", self.exif.removeprefix(b"Exif\0\0"))]
        if not self.chunks:  # of another format
            metres = [round(dpi / 0.0254).to_bytes(4, "big") for dpi in self.dpi]
            chunks.append((b"pHYs", metres and b"".join(metres) + b"\1"))
            chunks.append((b"iTXt", self.xmp and b"XML:com.adobe.xmp" + bytes(5) + self.xmp))
            chunks.append((b"tEXt", self.comment and b"Comment\0" + self.comment))
        return [chunk for chunk in chunks if chunk[1]]

    def _tags(self) -> list[tuple[int, int, Any]]:
        """(tag, type, values) for a TIFF."""
        (exif := Image.Exif()).load(self.exif)
        found = [(33723, 7, self.iptc), (34675, 7, self.icc), (700, 1, self.xmp)]
        found += [(t, k, exif.get_ifd(t) if k == 4 else exif.get(t)) for t, k in _TO_TIFF.items()]
        found += [(t, 2, _bytes(v)) for t, v in exif.items() if isinstance(v, str)]
        return [(_ORIENTATION, 3, (self.orientation,)), *(tag for tag in found if tag[2])]


def _bytes(value: str | bytes | None) -> bytes:
    """Of a text as Pillow has it from a file."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value or b"")
