"""TIFF 6.0 and BigTIFF: which page is the image, whether it can be read right, and its samples.

No decoder at hand reads every kind right: Pillow has 8 bits, OpenCV 1, 3 or 4 interleaved bands of
more; both turn some files by their orientation. So the directory of the wanted page is written
again, without what misleads them, and each decodes what it is right at. Other kinds are refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from superres.imaging._cv2 import import_cv2
from superres.imaging.kinds import RAW, BrokenImage
from superres.imaging.samples import from_pillow, range_fault

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


@dataclass
class Page:
    """One directory of a TIFF, with ``tags`` by number, each a tuple, and their ``types``.

    Attributes:
        is_main: it is in the chain of pages, not below one.
        notes: what decoding leaves out; sentences.
    """

    tags: dict[int, Any]
    types: dict[int, int]
    is_main: bool
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.photometric, self.bits = self.first(_PHOTOMETRIC, 1), self.first(_BITS, 1)
        self.kind = _KINDS.get(self.photometric, "")
        self.bands = _BANDS.get(self.kind, 3)
        self.samples, extra = self.first(_SAMPLES, 1), self.tags.get(_EXTRA, ())
        # 0 none, 1 colours are multiplied by it, 2 they are not
        self.alpha = extra[0] if self.samples > self.bands and extra[:1] in ((1,), (2,)) else 0
        self.planar = self.samples > 1 and self.first(_PLANAR, 1) == 2
        # a preview or a mask of another page
        self.is_reduced = bool(self.first(254, 0) & 5) or self.first(255, 0) == 2
        self.is_float = self.first(_FORMAT, 1) == 3
        self.size = self.first(_HEIGHT, 0), self.first(_WIDTH, 0)
        self.orientation = turn_of(self.first(_ORIENTATION, 1))
        self.channels = 4 if self.alpha else 1 if self.kind == "grey" else 3

    def first(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        value = (*self.tags.get(tag, ()), default)[0]
        return value if isinstance(value, int) else default


def turn_of(value: Any) -> int:
    """A tag's orientation, 1 to 8; what is none of them is 1."""
    return value if value in range(1, 9) else 1


def find_page(file: BinaryIO) -> Page:
    """The image of a TIFF: its first page of full resolution.

    Raises:
        BrokenImage: camera raw, a kind that is not read, or damaged.
        Exception: damaged in a way that Pillow notices.
    """
    pages = _directories(file)
    if any(50706 in p.tags or p.photometric in (32803, 34892) for p in pages):
        raise BrokenImage(RAW)
    page = next((p for p in pages if not p.is_reduced), pages[0])
    if 0 in page.size:
        raise BrokenImage("damaged: a TIFF whose image has no size")
    _check(page)
    if (rest := page.samples - page.bands - (page.alpha > 0)) > 0:
        words = f"{rest} of its {page.samples} bands left out"
        page.notes.append(f"{words}: neither colour nor transparency")
    if page.kind == "CMYK":
        page.notes.append("CMYK was turned to RGB")
    if (main := sum(p.is_main and not p.is_reduced for p in pages)) > 1:
        page.notes.append(f"only the first of its {main} pages is done")
    return page


def _directories(file: BinaryIO) -> list[Page]:
    """All directories, each followed by those below it."""
    file.seek(0)
    head = file.read(16)
    if head[:4] == b"MM\0+":  # which Pillow does not know
        raise BrokenImage("a big-endian BigTIFF, which is not read here; convert it to PNG")
    pages: list[Page] = []
    seen = {0}
    pending = [(_empty(head).next, True)]
    while pending and len(seen) < 10_000:
        at, main = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        found = _empty(head)
        found.next = None
        file.seek(at)
        found.load(file)
        if found.next is None:  # Pillow warns of a missing end, and goes on
            raise BrokenImage("truncated inside a TIFF directory")
        tags = {t: v if isinstance(v, tuple) else (v,) for t, v in found.items()}
        pages.append(Page(tags, dict(found.tagtype), main))
        pending += [(found.next, True)] * main
        pending += [(o, False) for o in reversed(tags.get(_SUBIFDS, ())) if isinstance(o, int)]
    if not pages:
        raise BrokenImage("a TIFF without pages")
    return pages


def _empty(head: bytes) -> ImageFileDirectory_v2:
    """A directory of a TIFF that begins with ``head``."""
    return ImageFileDirectory_v2(head[: 16 if head[2] == 43 else 8])


def _check(page: Page) -> None:
    """Refuse what no decoder here reads right."""
    kind, bits, samples, extra = page.kind, page.bits, page.samples, page.tags.get(_EXTRA, ())
    form = {1: "", 3: "float "}.get(page.first(_FORMAT, 1), "signed or complex ")
    plain = kind in ("grey", "RGB")
    few = (1, 2, 4, 8) if kind == "palette" or (kind == "grey" and samples == 1) else (8,)
    depths = {"": (*few, 16) if plain else few, "float ": (32, 64) if plain else ()}
    if page.planar:
        few_bands = page.bands + (page.alpha == 2)
        readable = bits == 8 and kind in ("RGB", "CMYK") and samples == few_bands
    else:
        readable = samples in (1, 3, 4) if bits > 8 else samples == 1 or page.photometric != 0
        # Pillow's modes, within the six bands that libtiff is built for there
        readable &= bits > 8 or samples <= {"grey": 2}.get(kind, 6)
    lie = "apart" if page.planar else "interleaved"
    for wrong, words in (
        (not kind, _UNREAD.get(page.photometric, f"the colour space {page.photometric}")),
        (
            any(len({*page.tags.get(tag, ())}) > 1 for tag in (_BITS, _FORMAT)),
            "bands of different depths or kinds",
        ),
        (samples < page.bands, f"{samples} of {page.bands} bands"),
        (not page.alpha and {*extra} & {1, 2}, "transparency that does not follow its colours"),
        (bits not in depths.get(form, ()), f"{kind} {form}samples of {bits} bits"),
        (page.alpha and not plain, f"{kind} with transparency"),
        (not readable, f"{samples} {kind} bands of {bits} bits, {lie}"),
    ):
        if wrong:
            raise BrokenImage(
                f"a TIFF with {words}, which is not read here; convert it to RGB of 8 or 16 bits"
            )


def decode(data: bytes, page: Page) -> np.ndarray:
    """(H, W, C) of a page: uint8, uint16 or float32; as stored, not turned."""
    if page.bits <= 8:
        with TiffImageFile(io.BytesIO(_rewritten(data, page, {}))) as image:
            return from_pillow(image)
    extra = (0,) if page.kind == "RGB" and page.samples == 4 else None
    plain = {_PHOTOMETRIC: (2 if page.kind == "RGB" else 1,), _EXTRA: extra}
    file = np.frombuffer(_rewritten(data, page, plain), np.uint8)
    cv2 = import_cv2()
    bands = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    if bands is None:
        raise BrokenImage("a TIFF that cannot be decoded: damaged, or packed in an unread way")
    bands = np.atleast_3d(bands)
    bands = bands[..., [2, 1, 0, 3][: bands.shape[2]]] if bands.shape[2] > 1 else bands
    bands = bands[..., : page.bands + (page.alpha > 0)]
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
    return np.ascontiguousarray(bands)


def _unit_range(bands: np.ndarray, page: Page) -> np.ndarray:
    if fault := range_fault(bands):
        raise BrokenImage(f"it {fault}")
    if bands.min() < 0 or bands.max() > 1:
        page.notes.append("float samples outside [0, 1] were clipped")
    return np.clip(bands, 0, 1).astype(np.float32)


def _rewritten(data: bytes, page: Page, changes: dict[int, Any]) -> bytes:
    """The TIFF with ``page`` as its only one: a new directory before it, without orientation."""
    tags = {t: page.tags[t] for t in _DECODING if t in page.tags} | changes
    entries = [(tag, page.types.get(tag, 3), values) for tag, values in tags.items() if values]
    return directory(data[:16], entries) + data


def with_tags(file: BinaryIO, tags: list[tuple[int, int, Any]]) -> bytes:
    """What to put before a TIFF of one page, so that it has further (tag, type, values), or others.

    What comes then is the start of a TIFF, and the file is its pixels.
    """
    page, *_ = _directories(file)
    entries = {tag: (tag, page.types[tag], values) for tag, values in page.tags.items()}
    file.seek(0)
    return directory(file.read(16), [*(entries | {entry[0]: entry for entry in tags}).values()])


def directory(head: bytes, entries: list[tuple[int, int, Any]]) -> bytes:
    """The start of a TIFF with these (tag, type, values), whose pixels are to follow.

    ``head`` begins a TIFF of that byte order and kind; offsets are counted in what follows.
    """
    found = _empty(head)
    for tag, kind, values in entries:
        found.tagtype[tag] = 4 if kind == 3 and tag in (_STRIPS, _TILES) else kind
        found[tag] = values
    length = found.save(made := io.BytesIO())  # strips are moved by it, tiles are not
    if _TILES in found:
        found[_TILES] = tuple(at + length for at in found[_TILES])
        found.save(made := io.BytesIO())
    return made.getvalue()
