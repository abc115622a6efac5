"""What a picture file says about itself, read without decoding it.

Sizes must be known before decoding (a 100,000 x 100,000 header must be refused, a training set's
shapes must be cheap), and decoders forgive what a dataset must not: libjpeg paints the missing
part of a truncated file grey. So the containers are walked here: sizes, alpha, depth, and whether
the file is whole. Formats: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), BMP, TIFF 6.0 and BigTIFF,
WebP (RFC 9649), binary and plain PNM.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

Buffer = bytes | memoryview


class BrokenPicture(ValueError):
    """The fault of a picture file, in words that follow the file's name and a colon."""


class NeedMore(Exception):
    """The header goes on beyond the bytes at hand."""


@dataclass(frozen=True)
class ImageHeader:
    """What the header of a picture file says.

    Attributes:
        format: ``png``, ``jpeg``, ``bmp``, ``tiff``, ``webp`` or ``pnm``.
        height: rows in pixels, as stored (an EXIF rotation is not applied).
        width: columns in pixels, as stored.
        channels: 1 (grey), 3 (RGB; palettes and CMYK too) or 4 (RGB and alpha).
        bits: bits per decoded sample: 8, 16, or 32 for TIFFs that are no picture for us.
        has_alpha: the file carries transparency (alpha channel or transparent palette entries).
        orientation: EXIF/TIFF orientation 1 to 8 where it is found before the pixels, else 1.
        has_icc: an ICC colour profile is embedded.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int = 8
    has_alpha: bool = False
    orientation: int = 1
    has_icc: bool = False


def parse_header(data: Buffer, whole: bool = True) -> ImageHeader:
    """The header of a picture held in ``data`` (or in its first bytes: ``whole=False``).

    Raises:
        BrokenPicture: not a picture in a known format, or a header that contradicts itself.
        NeedMore: ``whole`` is False and the header goes on after the end of ``data``.
    """
    data = bytes(data) if not isinstance(data, bytes) else data
    try:
        header = _parser(data)(data)
    except (IndexError, struct.error) as error:
        if not whole:
            raise NeedMore from error
        raise BrokenPicture("truncated inside its header") from error
    if header.height < 1 or header.width < 1:
        raise BrokenPicture(f"its header says {header.width}x{header.height} pixels")
    return header


def check_complete(data: Buffer, header: ImageHeader) -> None:
    """Walk the whole container of a picture and raise for what is missing or damaged.

    Raises:
        BrokenPicture: truncated, or (PNG) a checksum that doesn't match.
    """
    check = {"png": _check_png, "jpeg": _check_jpeg, "bmp": _check_bmp, "tiff": _check_tiff}
    walk = check.get(header.format)
    if walk is not None:
        try:
            walk(data)
        except (IndexError, struct.error) as error:
            raise BrokenPicture("truncated") from error
    elif header.format == "webp":
        (size,) = struct.unpack_from("<I", data, 4)
        if len(data) < size + 8:
            raise BrokenPicture(f"truncated: {len(data)} of {size + 8} bytes are there")
    elif header.format == "pnm":
        _check_pnm(data, header)


def _parser(data: bytes):
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png
    if data[:2] == b"\xff\xd8":
        return _jpeg
    if data[:2] == b"BM":
        return _bmp
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp
    if re.match(rb"P[1-6]\s", data[:3]):
        return _pnm
    raise BrokenPicture(f"not a picture in a known format; it begins with {_first_bytes(data)}")


def _first_bytes(data: bytes) -> str:
    head = data[:12]
    if head.strip() and all(32 <= byte < 127 or byte in b"\r\n\t" for byte in head):
        return f"the text {head.decode('ascii')!r}"
    return f"the bytes {head.hex(' ')}"


# --- PNG ---------------------------------------------------------------------------------------


def _png_chunks(data: Buffer):
    """Yield (type, start of the chunk's data, length) up to IEND."""
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, length
        if kind == b"IEND":
            return
        position += 12 + length


def _png(data: bytes) -> ImageHeader:
    length, kind, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if kind != b"IHDR" or length != 13:
        raise BrokenPicture("a PNG whose first chunk is not IHDR")
    if struct.unpack_from(">I", data, 29)[0] != zlib.crc32(data[12:29]):
        raise BrokenPicture("damaged: the checksum of its PNG header does not match")
    if colour not in (0, 2, 3, 4, 6):
        raise BrokenPicture(f"a PNG with the unknown colour type {colour}")
    transparent = icc = False
    orientation = 1
    for kind, start, length in _png_chunks(data):
        if kind == b"tRNS":
            transparent = True
        elif kind == b"iCCP":
            icc = True
        elif kind == b"eXIf":
            orientation = _exif_orientation(data[start : start + length])
        elif kind in (b"IDAT", b"IEND"):
            break
    alpha = colour in (4, 6) or transparent
    # A grey PNG with one transparent level stays grey: one channel, as OpenCV decodes it.
    channels = 1 if colour == 0 else 4 if alpha else 3
    bits = 16 if depth == 16 else 8
    return ImageHeader("png", height, width, channels, bits, alpha, orientation, icc)


def _check_png(data: Buffer) -> None:
    pixels = False
    for kind, start, length in _png_chunks(data):
        pixels = pixels or kind == b"IDAT"
        if start + length + 4 > len(data):
            missing = start + length + 4 - len(data)
            raise BrokenPicture(
                f"truncated: {missing} bytes are missing from its chunk {_chunk_name(kind)}"
            )
        (stored,) = struct.unpack_from(">I", data, start + length)
        if zlib.crc32(memoryview(data)[start - 4 : start + length]) != stored:
            raise BrokenPicture(
                f"damaged: the checksum of the chunk {_chunk_name(kind)} at byte {start - 8} "
                "does not match"
            )
    if not pixels:
        raise BrokenPicture("a PNG without pixels (no IDAT chunk)")


def _chunk_name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() and kind.isascii() else kind.hex()


# --- JPEG --------------------------------------------------------------------------------------

# A marker that ends entropy-coded data: not a stuffed 00, not a restart, not a fill byte.
_JPEG_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


def _jpeg_segments(data: Buffer):
    """Yield (marker, start of the payload, length of the payload) up to EOI."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise BrokenPicture(f"damaged: no JPEG marker at byte {position}")
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker == 0xD9:
            yield marker, position, 0
            return
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise BrokenPicture(f"damaged: a JPEG segment of length {length} at byte {position}")
        yield marker, position + 2, length - 2
        position += length
        if marker == 0xDA:
            found = _JPEG_MARKER.search(data, position)
            if found is None:
                raise IndexError
            position = found.start()


def _jpeg(data: bytes) -> ImageHeader:
    orientation = 1
    icc = False
    for marker, start, length in _jpeg_segments(data):
        if marker == 0xE1 and data[start : start + 6] == b"Exif\0\0":
            orientation = _exif_orientation(data[start + 6 : start + length])
        elif marker == 0xE2 and data[start : start + 11] == b"ICC_PROFILE":
            icc = True
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, components = struct.unpack_from(">BHHB", data, start)
            if components not in (1, 3, 4):
                raise BrokenPicture(f"a JPEG with {components} components")
            if bits != 8:
                raise BrokenPicture(f"a JPEG with {bits} bits per sample; only 8 are read")
            channels = 1 if components == 1 else 3
            return ImageHeader("jpeg", height, width, channels, 8, False, orientation, icc)
        elif marker in (0xD9, 0xDA):
            break
    raise BrokenPicture("a JPEG without a frame header")


def _check_jpeg(data: Buffer) -> None:
    scans = 0
    try:
        for marker, _, _ in _jpeg_segments(data):
            scans += marker == 0xDA
    except IndexError:
        raise BrokenPicture("truncated: the JPEG's end marker is missing") from None
    if not scans:
        raise BrokenPicture("a JPEG without pixels")


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag of an EXIF block; 1 where there is none or the block is damaged."""
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (ifd,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, ifd)
        for i in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, ifd + 2 + 12 * i)
            if tag == 274:
                return value if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1


# --- BMP ---------------------------------------------------------------------------------------


def _bmp_fields(data: Buffer) -> tuple[int, int, int, int, int, int]:
    """(header size, pixel offset, width, height, bits per pixel, compression)."""
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bpp = struct.unpack_from("<HHHH", data, 18)
        return size, offset, width, height, bpp, 0
    if not 16 <= size <= 512:
        raise BrokenPicture(f"damaged: a BMP header of {size} bytes")
    width, height, _, bpp, compression = struct.unpack_from("<iiHHI", data, 18)
    return size, offset, width, abs(height), bpp, compression


def _bmp(data: bytes) -> ImageHeader:
    size, _, width, height, bpp, _ = _bmp_fields(data)
    if bpp not in (1, 2, 4, 8, 16, 24, 32):
        raise BrokenPicture(f"a BMP with {bpp} bits per pixel")
    channels = 3
    if bpp <= 8:
        used = 0 if size == 12 else struct.unpack_from("<I", data, 46)[0]
        entry = 3 if size == 12 else 4
        length = entry * min(used or 1 << bpp, 1 << bpp)
        table = data[14 + size : 14 + size + length]
        if len(table) < length:
            raise IndexError
        grey = table[0::entry] == table[1::entry] == table[2::entry]
        channels = 1 if grey else 3
    return ImageHeader("bmp", height, width, channels)


def _check_bmp(data: Buffer) -> None:
    size, offset, width, height, bpp, compression = _bmp_fields(data)
    if compression in (0, 3, 6):
        needed = offset + (width * bpp + 31) // 32 * 4 * height
    else:
        needed = offset + (struct.unpack_from("<I", data, 34)[0] if size > 12 else 1)
    if len(data) < needed:
        raise BrokenPicture(f"truncated: {len(data)} of {needed} bytes are there")


# --- TIFF --------------------------------------------------------------------------------------

_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}


def _tiff_tags(data: Buffer) -> dict[int, tuple[int, ...]]:
    """The integer tags of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (magic,) = struct.unpack_from(order + "H", data, 2)
    big = magic == 43
    (ifd,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, ifd)
    first, step, inline = (ifd + 8, 20, 8) if big else (ifd + 2, 12, 4)
    if count > 4096:
        raise BrokenPicture(f"damaged: a TIFF directory of {count} entries")
    tags = {}
    for i in range(count):
        at = first + i * step
        tag, kind, n = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        code = _TIFF_TYPES.get(kind)
        if code is None:
            tags.setdefault(tag, ())
            continue
        size = struct.calcsize(order + code) * n
        if size > len(data):
            raise IndexError
        start = at + step - inline
        if size > inline:
            (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, start)
        tags[tag] = struct.unpack_from(f"{order}{n}{code}", data, start)
    return tags


def _first(tags: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    value = tags.get(tag)
    return value[0] if value else default


def _tiff(data: bytes) -> ImageHeader:
    tags = _tiff_tags(data)
    width, height = _first(tags, 256, 0), _first(tags, 257, 0)
    bits = max(tags.get(258) or (1,))
    samples = _first(tags, 277, 1)
    photometric = _first(tags, 262, 1)
    if samples > 5 or bits > 64:
        raise BrokenPicture(f"a TIFF with {samples} samples of {bits} bits per pixel")
    if _first(tags, 339, 1) != 1 and bits > 8:
        bits = 32  # floating point or signed: refused by the reader
    # 0 and 1 are grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 Lab.
    colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}.get(photometric, 3)
    alpha = samples > colours
    grey = photometric in (0, 1)
    channels = 4 if alpha else 1 if grey else 3
    depth = 8 if bits <= 8 else 16 if bits <= 16 else 32
    orientation = _first(tags, 274, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    return ImageHeader("tiff", height, width, channels, depth, alpha, orientation, 34675 in tags)


def _check_tiff(data: Buffer) -> None:
    tags = _tiff_tags(data)
    for offsets, counts in ((273, 279), (324, 325)):
        for start, length in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            if start + length > len(data):
                raise BrokenPicture(
                    f"truncated: {len(data)} of at least {start + length} bytes are there"
                )
    if not tags.get(273) and not tags.get(324):
        raise BrokenPicture("a TIFF without pixels")


# --- WebP and PNM ------------------------------------------------------------------------------


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8X":
        flags = data[20]
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        if len(data) < 30:
            raise IndexError
        alpha = bool(flags & 0x10)
        return ImageHeader(
            "webp", height, width, 4 if alpha else 3, 8, alpha, 1, bool(flags & 0x20)
        )
    if kind == b"VP8L":
        if data[20] != 0x2F:
            raise BrokenPicture("damaged: a lossless WebP without its signature")
        (bits,) = struct.unpack_from("<I", data, 21)
        alpha = bool(bits >> 28 & 1)
        height, width = (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        return ImageHeader("webp", height, width, 4 if alpha else 3, 8, alpha)
    if kind == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise BrokenPicture("damaged: a WebP without its start code")
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("webp", height & 0x3FFF, width & 0x3FFF, 3)
    if len(data) < 30:
        raise IndexError
    raise BrokenPicture(f"a WebP with the unknown chunk {_chunk_name(kind)}")


_PNM_FIELD = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])+(\d+)")


def _pnm_fields(data: bytes) -> tuple[int, int, int, int, int]:
    """(kind 1 to 6, width, height, largest value, offset of the pixels)."""
    kind = data[1] - ord("0")
    values = []
    position = 2
    for _ in range(2 if kind in (1, 4) else 3):
        found = _PNM_FIELD.match(data, position)
        if found is None or found.end() == len(data):
            raise IndexError
        values.append(int(found.group(1)[:12]))
        position = found.end()
    width, height, peak = (*values, 1)[:3]
    return kind, width, height, peak, position + 1


def _pnm(data: bytes) -> ImageHeader:
    kind, width, height, peak, _ = _pnm_fields(data)
    if not 1 <= peak <= 65535:
        raise BrokenPicture(f"a PNM with the largest value {peak}")
    return ImageHeader("pnm", height, width, 3 if kind in (3, 6) else 1, 16 if peak > 255 else 8)


def _check_pnm(data: Buffer, header: ImageHeader) -> None:
    kind, width, height, peak, offset = _pnm_fields(bytes(data))
    samples = height * width * header.channels
    if kind == 4:
        needed = offset + height * ((width + 7) // 8)
    elif kind in (5, 6):
        needed = offset + samples * (2 if peak > 255 else 1)
    else:
        needed = offset + samples  # plain text: at least one digit per sample
    if len(data) < needed:
        raise BrokenPicture(f"truncated: {len(data)} of {needed} bytes are there")
