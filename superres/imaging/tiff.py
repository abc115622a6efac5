"""TIFF 6.0 and BigTIFF: which page is the image, whether it can be read right, and its samples.

No decoder at hand reads every kind right: Pillow has 8 bits, OpenCV 1, 3 or 4 interleaved bands of
more; both turn some files by their orientation. So the directory of the wanted page is written
anew, without what misleads them, and each decodes what it is right at. Other kinds are refused.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from superres.imaging._cv2 import import_cv2
from superres.imaging.kinds import RAW

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 279, 284, 317
_TILES, _TILE_BYTES, _SUBIFDS, _EXTRA, _FORMAT = 324, 325, 330, 338, 339
_DECODING = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIPS, _SAMPLES, 278),
    *(_STRIP_BYTES, _PLANAR, 292, 293, _PREDICTOR, 320, 322, 323, _TILES, _TILE_BYTES, 332),
    *(_EXTRA, _FORMAT, 347, 529, 530, 531, 532),
)
"""All tags that decoding depends on. The orientation is none of them."""
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
_RAW_PHOTOMETRIC, _DNG_VERSION = (32803, 34892), 50706
_UNREAD = {
    4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
    32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
_CODES = {1: "B", 3: "H", 4: "I", 5: "I", 7: "B", 13: "I", 16: "Q"}


class Refused(ValueError):
    """A kind of TIFF that is not read, or a damaged one; words that follow the file's name."""


@dataclass
class Page:
    """One directory of a TIFF that holds an image that can be read.

    Attributes:
        tags: by number, each a tuple or text.
        types: of the tags.
        bits: per sample, as stored.
        alpha: 0 none, 1 colours are multiplied by it, 2 they are not.
        notes: what decoding leaves out; sentences.
    """

    head: bytes
    tags: dict[int, Any]
    types: dict[int, int]
    bits: int
    is_float: bool
    alpha: int
    notes: list[str]

    @property
    def photometric(self) -> int:
        """0 and 1 grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr."""
        return _first(self.tags, _PHOTOMETRIC, 1)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as stored."""
        return _first(self.tags, _HEIGHT, 0), _first(self.tags, _WIDTH, 0)

    @property
    def orientation(self) -> int:
        """1 to 8."""
        found = _first(self.tags, 274, 1)
        return found if 1 <= found <= 8 else 1

    @property
    def channels(self) -> int:
        """Of the decoded image: 1 to 4, alpha counted."""
        return (1 if self.photometric in (0, 1) else 3) + (self.alpha > 0)


def find_page(file: BinaryIO) -> Page:
    """The image of a TIFF: its first page of full resolution.

    Raises:
        Refused: camera raw, a kind that is not read, or damaged.
        Exception: damaged in a way that Pillow notices.
    """
    file.seek(0)
    head = file.read(16)
    directories, pages = _directories(file, head)
    if any(
        _DNG_VERSION in d or _first(d, _PHOTOMETRIC, 0) in _RAW_PHOTOMETRIC for d in directories
    ):
        raise Refused(RAW)
    full = [d for d in directories if not _reduced(d)] or directories
    page = _judged(head, full[0])
    main = sum(not _reduced(d) for d in pages)
    if main > 1:
        page.notes.append(f"only the first of its {main} pages is done")
    size = file.seek(0, 2)
    for starts, lengths in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        ends = zip(page.tags.get(starts, ()), page.tags.get(lengths, ()), strict=False)
        if (end := max((a + b for a, b in ends), default=0)) > size:
            raise Refused(f"truncated: {size} of at least {end} bytes are there")
    if not (page.tags.get(_STRIPS) or page.tags.get(_TILES)):
        raise Refused("a TIFF without pixels")
    return page


def _directories(file: BinaryIO, head: bytes) -> tuple[list, list]:
    """All directories, each followed by those below it; and those of the chain."""
    found: list[ImageFileDirectory_v2] = []
    chain: list[ImageFileDirectory_v2] = []
    seen: set[int] = set()
    big = 43 in head[2:4]
    order = "<" if head[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    pending = [(first, True)]
    while pending and len(seen) < 10_000:
        at, main = pending.pop()
        if not at or at in seen:
            continue
        seen.add(at)
        directory = ImageFileDirectory_v2(prefix=head[:2])
        directory._bigtiff = big  # which Pillow tells from little-endian headers only
        directory.next = None
        file.seek(at)
        directory.load(file)
        if directory.next is None:  # Pillow warns of a missing end, and goes on
            raise Refused("truncated inside a TIFF directory")
        found.append(directory)
        if main:
            chain.append(directory)
            pending.append((directory.next, True))
        below = directory.get(_SUBIFDS, ())
        below = below if isinstance(below, tuple) else (below,)
        pending += [(offset, False) for offset in reversed(below) if isinstance(offset, int)]
    if not found:
        raise Refused("a TIFF without pages")
    return found, chain


def _first(tags: Any, tag: int, default: int) -> int:
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else default


def _reduced(tags: Any) -> bool:
    """A preview or a mask of another page."""
    return bool(_first(tags, 254, 0) & 5) or _first(tags, 255, 0) == 2


def _judged(head: bytes, directory: ImageFileDirectory_v2) -> Page:
    """UserError's words for what is not read; else the page with what is left out of it."""
    tags = {t: v if isinstance(v, tuple) else (v,) for t, v in directory.items()}
    photometric, samples = _first(tags, _PHOTOMETRIC, 1), _first(tags, _SAMPLES, 1)
    if photometric not in _COLOURS:
        kind = _UNREAD.get(photometric, f"the unknown colour space {photometric}")
        raise Refused(f"a TIFF with {kind}, which is not read here; convert it to RGB")
    depths, formats = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (1,)))
    if len(depths) > 1 or len(formats) > 1:
        raise Refused("a TIFF whose bands have different depths; convert it to 8 or 16 bits")
    bits, form = depths.pop(), formats.pop()
    colours, extra = _COLOURS[photometric], tags.get(_EXTRA, ())
    if samples < colours:
        raise Refused(f"a TIFF with {samples} of {colours} bands")
    alpha = extra[0] if samples > colours and extra and extra[0] in (1, 2) else 0
    if not alpha and set(extra) & {1, 2}:
        raise Refused("a TIFF whose transparency does not follow its colours; convert it to RGBA")
    planar = samples > 1 and _first(tags, _PLANAR, 1) == 2
    words = {2: "signed", 3: "float", 5: "complex", 6: "complex"}.get(form, "")
    allowed = {
        "": (8, 16, 32) if planar else (1, 2, 4, 8, 16, 32) if colours == 1 else (8, 16, 32),
        "float": (32, 64),
    }.get(words, ())
    if photometric in (3, 5, 6):
        allowed = (8,) if photometric != 3 else (1, 2, 4, 8)
    kind = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}[photometric]
    if bits not in allowed or (photometric in (3, 5, 6) and (words or alpha)):
        layers = f" of {samples} bands" * (samples not in (1, 3))
        raise Refused(
            f"a {kind} TIFF{layers} with {words}{' ' * bool(words)}samples of {bits} bits, which "
            "is not read here; convert it to 8 or 16 bits"
        )
    odd = samples not in (1, 3, 4) if bits > 8 else photometric == 0 and samples > 1
    if (odd and not planar) or (photometric == 6 and planar):
        lie = "apart" if planar else "interleaved"
        raise Refused(
            f"a {kind} TIFF of {samples} bands with {bits} bits, {lie}, which is not read here; "
            "convert it to RGB"
        )
    if _odd_order(head) and bits <= 8 and (photometric > 2 or samples == 2 or bits < 8):
        raise Refused(f"a big-endian BigTIFF ({kind}), which is not read here; convert it to PNG")
    notes = []
    if (rest := samples - colours - (alpha > 0)) > 0:
        notes.append(f"{rest} of its {samples} bands left out: neither colour nor transparency")
    if bits == 32 and not words:
        notes.append("read with 16 of its 32 bits")
    return Page(head, tags, dict(directory.tagtype), bits, words == "float", alpha, notes)


def open_page(data: bytes, page: Page) -> TiffImageFile:
    """The page as Pillow's, for up to 8 bits a sample; not turned, not decoded yet."""
    return TiffImageFile(io.BytesIO(_rewritten(data, page, {})))


def decode_bands(data: bytes, page: Page) -> np.ndarray:
    """(H, W, C) of a page that `needs_bands`: uint8, uint16 or float32."""
    photometric = page.photometric
    count = _COLOURS[photometric] + (page.alpha > 0)
    if is_planar(page):
        bands = np.dstack([_plane(data, page, k) for k in range(count)])
    else:
        plain = {_PHOTOMETRIC: (2 if photometric == 2 else 1,), _EXTRA: None}
        if photometric == 2 and _first(page.tags, _SAMPLES, 1) == 4:
            plain[_EXTRA] = (0,)
        bands = _by_opencv(_rewritten(data, page, plain))
        bands = bands[..., None] if bands.ndim == 2 else bands[..., [2, 1, 0, 3][: bands.shape[2]]]
    bands = bands[..., :count]
    if photometric == 5:
        return np.asarray(Image.fromarray(bands, "CMYK").convert("RGB"))
    if page.is_float:
        bands = _unit_range(bands, page)
    peak = 1 if page.is_float else np.iinfo(bands.dtype).max
    if photometric == 0:
        bands[..., 0] = peak - bands[..., 0]
    if page.alpha == 1:
        alpha = bands[..., -1:]
        straight = bands[..., :-1] * (peak / np.maximum(alpha, 1e-9))
        straight = np.where(alpha > 0, np.clip(straight, 0, peak), 0)
        bands[..., :-1] = straight if page.is_float else np.rint(straight)
    if bands.dtype == np.uint32:
        bands = ((bands.astype(np.uint64) + 32768) // 65537).astype(np.uint16)
    return np.ascontiguousarray(bands)


def needs_bands(page: Page) -> bool:
    """Whether Pillow would not read a page right."""
    return page.bits > 8 or is_planar(page) or _odd_order(page.head)


def _odd_order(head: bytes) -> bool:
    """A big-endian BigTIFF, which Pillow does not know."""
    return head[:4] == b"MM\0+"


def is_planar(page: Page) -> bool:
    """Whether the bands lie one after the other."""
    return _first(page.tags, _SAMPLES, 1) > 1 and _first(page.tags, _PLANAR, 1) == 2


def _unit_range(bands: np.ndarray, page: Page) -> np.ndarray:
    least, largest = float(bands.min()), float(bands.max())
    if not (least >= -0.5 and largest <= 2):  # NaN, too
        raise Refused(
            f"its float samples go from {least:g} to {largest:g}; they are expected in [0, 1]: "
            "divide them by their white"
        )
    if least < 0 or largest > 1:
        page.notes.append("float samples outside [0, 1] were clipped")
    return np.clip(bands, 0, 1).astype(np.float32)


def _by_opencv(data: bytes) -> np.ndarray:
    cv2 = import_cv2()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise Refused("a TIFF that cannot be decoded: damaged, or packed in a way not read here")
    return image


def _plane(data: bytes, page: Page, k: int) -> np.ndarray:
    """(H, W): band ``k`` of a page whose bands lie one after the other."""
    samples = _first(page.tags, _SAMPLES, 1)
    changes = {_PHOTOMETRIC: (1,), _EXTRA: None, _SAMPLES: (1,), _PLANAR: (1,)}
    changes[_BITS] = (page.bits,)
    if _FORMAT in page.tags:
        changes[_FORMAT] = page.tags[_FORMAT][:1]
    for tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES):
        if tag in page.tags:
            count = len(page.tags[tag]) // samples
            changes[tag] = page.tags[tag][k * count : (k + 1) * count]
    alone = _rewritten(data, page, changes)
    if page.bits > 8 or _odd_order(page.head):
        return _by_opencv(alone)
    with TiffImageFile(io.BytesIO(alone)) as image:
        return np.asarray(image)


def _rewritten(data: bytes, page: Page, changes: dict[int, Any]) -> bytes:
    """The TIFF with ``page`` as its only one: a new directory at its end, without orientation."""
    tags = {t: page.tags[t] for t in _DECODING if t in page.tags} | changes
    entries = [
        (tag, page.types.get(tag, 3), values) for tag, values in tags.items() if values is not None
    ]
    return with_directory(data, entries)


def with_directory(data: bytes, entries: list[tuple[int, int, Any]]) -> bytes:
    """A TIFF whose first and only directory has these (tag, type, values); pixels stay in place."""
    start = len(data) + len(data) % 2
    pointer, directory = _packed(data[:16], start, entries)
    at = 8 if 43 in data[2:4] else 4
    rest = data[at + len(pointer) :]
    return b"".join((data[:at], pointer, rest, b"\0" * (len(data) % 2), directory))


def add_tags(file: BinaryIO, tags: list[tuple[int, int, Any]]) -> None:
    """Give the only page of a TIFF further (tag, type, values), or others; changed in place."""
    file.seek(0)
    head = file.read(16)
    (page, *_), _ = _directories(file, head)
    entries = {tag: (tag, page.tagtype[tag], value) for tag, value in page.items()}
    entries |= {tag: (tag, kind, values) for tag, kind, values in tags}
    start = file.seek(0, 2)
    pointer, directory = _packed(head, start + start % 2, list(entries.values()))
    file.write(b"\0" * (start % 2) + directory)
    file.seek(8 if 43 in head[2:4] else 4)
    file.write(pointer)


def _packed(head: bytes, start: int, entries: list[tuple[int, int, Any]]) -> tuple[bytes, bytes]:
    """The pointer to a directory at ``start``, and the directory with its values behind it."""
    order = "<" if head[:2] == b"II" else ">"
    offset, count, entry, inline = ("Q", "Q", "HHQ", 8) if 43 in head[2:4] else ("I", "H", "HHI", 4)
    after = start + struct.calcsize("=" + count) + len(entries) * (inline * 2 + 4) + inline
    table, rest = struct.pack(order + count, len(entries)), b""
    for tag, kind, values in sorted(entries, key=lambda item: item[0]):
        values = values if isinstance(values, tuple) else (values,)
        if isinstance(values[0], str | bytes):
            packed = values[0].encode() + b"\0" if isinstance(values[0], str) else values[0]
            length = len(packed)
        else:
            length = len(values)
            if kind == 5:
                values = [n for v in values for n in (round(float(v) * 10_000), 10_000)]
            packed = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        table += struct.pack(order + entry, tag, kind, length)
        if len(packed) > inline:
            table += struct.pack(order + offset, after + len(rest))
            rest += packed + b"\0" * (len(packed) % 2)
        else:
            table += packed.ljust(inline, b"\0")
    return struct.pack(order + offset, start), table + b"\0" * inline + rest
