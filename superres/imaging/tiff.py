"""TIFF 6.0 and BigTIFF: which page is the image, whether it can be read right, and its samples.

No decoder at hand reads every kind right: Pillow has 8 bits, OpenCV 1, 3 or 4 interleaved bands of
more; both turn some files by their orientation. So the directory of the wanted page is written
again, without what misleads them, and each decodes what it is right at. Other kinds are refused.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from superres.imaging._cv2 import import_cv2
from superres.imaging.kinds import RAW, BrokenPicture

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_STRIPS, _SAMPLES, _STRIP_BYTES, _PLANAR = 273, 277, 279, 284
_TILES, _TILE_BYTES, _SUBIFDS, _EXTRA, _FORMAT = 324, 325, 330, 338, 339
_DECODING = (
    *(_WIDTH, _HEIGHT, _BITS, 259, _PHOTOMETRIC, 266, _STRIPS, _SAMPLES, 278, _STRIP_BYTES),
    *(_PLANAR, 292, 293, 317, 320, 322, 323, _TILES, _TILE_BYTES, 332, _EXTRA, _FORMAT, 347),
    *(529, 530, 531, 532),
)
"""All tags that decoding depends on. The orientation is not one of them."""
_KINDS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_BANDS = {"grey": 1, "palette": 1, "CMYK": 4}
_UNREAD = {4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
_CODES = {1: "B", 3: "H", 4: "I", 5: "I", 7: "B", 13: "I", 16: "Q"}


@dataclass
class Page:
    """One directory of a TIFF, with ``tags`` by number, each a tuple, and their ``types``.

    Attributes:
        notes: what decoding leaves out; sentences.
    """

    tags: dict[int, Any]
    types: dict[int, int]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.photometric, self.bits = self.first(_PHOTOMETRIC, 1), self.first(_BITS, 1)
        self.kind = _KINDS.get(self.photometric, "")
        self.bands = _BANDS.get(self.kind, 3)
        self.samples, extra = self.first(_SAMPLES, 1), self.tags.get(_EXTRA, ())
        # 0 none, 1 colours are multiplied by it, 2 they are not
        self.alpha = extra[0] if self.samples > self.bands and extra[:1] in ((1,), (2,)) else 0
        self.planar = self.samples > 1 and self.first(_PLANAR, 1) == 2
        self.is_float = self.first(_FORMAT, 1) == 3
        self.size = self.first(_HEIGHT, 0), self.first(_WIDTH, 0)
        self.orientation = min(max(self.first(_ORIENTATION, 1), 1), 8)
        self.channels = (1 if self.kind == "grey" else 3) + (self.alpha > 0)

    def first(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        value = (*self.tags.get(tag, ()), default)[0]
        return value if isinstance(value, int) else default

    @property
    def is_reduced(self) -> bool:
        """A preview or a mask of another page."""
        return bool(self.first(254, 0) & 5) or self.first(255, 0) == 2


def find_page(file: BinaryIO) -> Page:
    """The image of a TIFF: its first page of full resolution.

    Raises:
        BrokenPicture: camera raw, a kind that is not read, or damaged.
        Exception: damaged in a way that Pillow notices.
    """
    pages, chain = _directories(file)
    if any(50706 in p.tags or p.photometric in (32803, 34892) for p in pages):
        raise BrokenPicture(RAW)
    page = next((p for p in pages if not p.is_reduced), pages[0])
    _check(page)
    if (rest := page.samples - page.bands - (page.alpha > 0)) > 0:
        words = f"{rest} of its {page.samples} bands left out"
        page.notes.append(f"{words}: neither colour nor transparency")
    if page.bits == 32 and not page.is_float:
        page.notes.append("read with 16 of its 32 bits")
    if page.kind == "CMYK":
        page.notes.append("CMYK was turned to RGB")
    if (main := sum(not p.is_reduced for p in chain)) > 1:
        page.notes.append(f"only the first of its {main} pages is done")
    size, ends = file.seek(0, 2), [0]
    for starts, lengths in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        ends += map(sum, zip(page.tags.get(starts, ()), page.tags.get(lengths, ()), strict=False))
    if max(ends) > size or max(ends) == 0:
        raise BrokenPicture(f"truncated: {size} of at least {max(ends)} bytes are there")
    return page


def _directories(file: BinaryIO) -> tuple[list[Page], list[Page]]:
    """All directories, each followed by those below it; and those of the chain."""
    file.seek(0)
    head = file.read(8)
    if head[:4] == b"MM\0+":  # which Pillow does not know
        raise BrokenPicture("a big-endian BigTIFF, which is not read here; convert it to PNG")
    head += file.read(8) if head[2] == 43 else b""
    pages: list[Page] = []
    chain: list[Page] = []
    seen = {0}
    pending = [(ImageFileDirectory_v2(head).next, True)]
    while pending and len(seen) < 10_000:
        at, main = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        directory = ImageFileDirectory_v2(head)
        directory.next = None
        file.seek(at)
        directory.load(file)
        if directory.next is None:  # Pillow warns of a missing end, and goes on
            raise BrokenPicture("truncated inside a TIFF directory")
        tags = {t: v if isinstance(v, tuple) else (v,) for t, v in directory.items()}
        pages.append(Page(tags, dict(directory.tagtype)))
        if main:
            chain.append(pages[-1])
            pending.append((directory.next, True))
        pending += [(o, False) for o in reversed(tags.get(_SUBIFDS, ())) if isinstance(o, int)]
    if not pages:
        raise BrokenPicture("a TIFF without pages")
    return pages, chain


def _check(page: Page) -> None:
    """Refuse what no decoder here reads right."""
    kind, bits, samples, extra = page.kind, page.bits, page.samples, page.tags.get(_EXTRA, ())
    form = {1: "", 3: "float ", 2: "signed "}.get(page.first(_FORMAT, 1), "complex ")
    deep = (32, 64) if form else (8, 16, 32)
    few = (1, 2, 4, 8) if kind == "palette" or (kind == "grey" and samples == 1) else (8,)
    allowed = few if kind in ("palette", "CMYK", "YCbCr") else deep if form else (*few, *deep)
    interleaved = (
        (1, 3, 4) if bits > 8 else (1,) if page.photometric == 0 else range(1, samples + 1)
    )
    lie = "apart" if page.planar else "interleaved"
    for wrong, words in (
        (not kind, _UNREAD.get(page.photometric, f"the colour space {page.photometric}")),
        (len({*page.tags.get(_BITS, ())}) > 1, "bands of different depths"),
        (len({*page.tags.get(_FORMAT, ())}) > 1, "bands of different kinds"),
        (samples < page.bands, f"{samples} of {page.bands} bands"),
        (not page.alpha and {*extra} & {1, 2}, "transparency that does not follow its colours"),
        (form not in ("", "float ") or bits not in allowed, f"{kind} {form}samples of {bits} bits"),
        (form and kind in ("palette", "CMYK", "YCbCr"), f"{form}{kind} samples"),
        (page.alpha and kind in ("palette", "CMYK", "YCbCr"), f"{kind} with transparency"),
        (
            kind == "YCbCr" if page.planar else samples not in interleaved,
            f"{samples} {kind} bands of {bits} bits, {lie}",
        ),
    ):
        if wrong:
            raise BrokenPicture(
                f"a TIFF with {words}, which is not read here; convert it to RGB of 8 or 16 bits"
            )


def open_page(data: bytes, page: Page) -> TiffImageFile:
    """The page as Pillow's; not turned, not decoded yet."""
    return TiffImageFile(io.BytesIO(_rewritten(data, page, {})))


def needs_bands(page: Page) -> bool:
    """Whether Pillow would not read a page right, but :func:`decode_bands` does."""
    return page.bits > 8 or page.planar


def decode_bands(data: bytes, page: Page) -> np.ndarray:
    """(H, W, C) of a page that `needs_bands`: uint8, uint16 or float32."""
    count = page.bands + (page.alpha > 0)
    if page.planar:
        bands = np.dstack([_plane(data, page, k) for k in range(count)])
    else:
        extra = (0,) if page.kind == "RGB" and page.samples == 4 else None
        plain = {_PHOTOMETRIC: (2 if page.kind == "RGB" else 1,), _EXTRA: extra}
        bands = _by_opencv(_rewritten(data, page, plain))
        bands = bands[..., None] if bands.ndim == 2 else bands[..., [2, 1, 0, 3][: bands.shape[2]]]
    bands = bands[..., :count]
    if page.kind == "CMYK":
        return np.array(Image.fromarray(bands, "CMYK").convert("RGB"))
    if page.is_float:
        bands = _unit_range(bands, page)
    peak = 1 if page.is_float else np.iinfo(bands.dtype).max
    if page.photometric == 0:
        bands[..., 0] = peak - bands[..., 0]
    if page.alpha == 1:
        alpha = bands[..., -1:]
        straight = bands[..., :-1] * (peak / np.maximum(alpha, 1e-9))
        straight = np.where(alpha > 0, np.clip(straight, 0, peak), 0)
        bands[..., :-1] = straight if page.is_float else np.rint(straight)
    if bands.dtype == np.uint32:
        bands = ((bands.astype(np.uint64) + 32768) // 65537).astype(np.uint16)
    return np.ascontiguousarray(bands)


def _unit_range(bands: np.ndarray, page: Page) -> np.ndarray:
    least, largest = float(bands.min()), float(bands.max())
    if not (least >= -0.5 and largest <= 2):  # NaN, too
        raise BrokenPicture(
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
        raise BrokenPicture("a TIFF that cannot be decoded: damaged, or packed in an unread way")
    return image


def _plane(data: bytes, page: Page, k: int) -> np.ndarray:
    """(H, W): band ``k`` of a page whose bands lie one after the other."""
    changes = dict.fromkeys((_PHOTOMETRIC, _SAMPLES, _PLANAR), (1,)) | {_EXTRA: None}
    changes |= {tag: page.tags[tag][:1] for tag in (_BITS, _FORMAT) if tag in page.tags}
    for tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES):
        each = len(page.tags.get(tag, ())) // page.samples
        changes |= {tag: page.tags[tag][k * each : (k + 1) * each]} if each else {}
    alone = _rewritten(data, page, changes)
    if page.bits > 8:
        return _by_opencv(alone)
    with TiffImageFile(io.BytesIO(alone)) as image:
        return np.asarray(image)


def _rewritten(data: bytes, page: Page, changes: dict[int, Any]) -> bytes:
    """The TIFF with ``page`` as its only one: a new directory at its end, without orientation."""
    tags = {t: page.tags[t] for t in _DECODING if t in page.tags} | changes
    entries = [(tag, page.types.get(tag, 3), values) for tag, values in tags.items() if values]
    return with_directory(data, entries)


def with_directory(data: bytes, entries: list[tuple[int, int, Any]]) -> bytes:
    """A TIFF whose first and only directory has these (tag, type, values); pixels stay in place."""
    _write_directory(file := io.BytesIO(data), entries)
    return file.getvalue()


def add_tags(file: BinaryIO, tags: list[tuple[int, int, Any]]) -> None:
    """Give the only page of a TIFF further (tag, type, values), or others; changed in place."""
    (page, *_), _ = _directories(file)
    entries = {tag: (tag, page.types[tag], values) for tag, values in page.tags.items()}
    _write_directory(file, [*(entries | {entry[0]: entry for entry in tags}).values()])


def _write_directory(file: BinaryIO, entries: list[tuple[int, int, Any]]) -> None:
    """Append a directory, with its values behind it, and let the head point to it."""
    file.seek(0)
    head = file.read(16)
    order, big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
    offset, count, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    start = file.seek(0, 2)
    file.write(b"\0" * (start % 2))
    start += start % 2
    after = start + struct.calcsize("=" + count) + len(entries) * (inline * 2 + 4) + inline
    table, rest = struct.pack(order + count, len(entries)), b""
    for tag, kind, values in sorted(entries, key=lambda item: item[0]):
        values = values if isinstance(values, tuple) else (values,)
        packed = values[0].encode() + b"\0" if isinstance(values[0], str) else values[0]
        length = len(packed) if isinstance(packed, bytes) else len(values)
        if not isinstance(packed, bytes):
            if kind == 5:
                values = [n for v in values for n in (round(float(v) * 10_000), 10_000)]
            packed = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        table += struct.pack(f"{order}HH{offset}", tag, kind, length)
        if len(packed) > inline:
            table += struct.pack(order + offset, after + len(rest))
            rest += packed + b"\0" * (len(packed) % 2)
        else:
            table += packed.ljust(inline, b"\0")
    file.write(table + b"\0" * inline + rest)
    file.seek(8 if big else 4)
    file.write(struct.pack(order + offset, start))
