"""Every kind of image file through upscale, a training's reader and score: docs/formats.md.

Films are made and judged by `films`, into the same page.

    python tools/maintain/formats.py           # write the page; exit code 1 if a cell is wrong

A cell is one file: format, depth, colour, alpha and orientation. What is right is the array that
was written (JPEG, lossy WebP and AVIF: what an independent decoder makes of it). Each is right
within a level of 255, or refused with the reason, or it is "silent".
"""

from __future__ import annotations

import io
import itertools
import struct
import sys
import tempfile
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import cv2
import tifffile
from PIL import Image

from maintain import ROOT, films, markdown_table
from superres.datasets.storage import ImageFolder
from superres.errors import UserError
from superres.imaging.io import load_image, read_image
from superres.imaging.listing import list_images
from superres.upscaling.tiled_upscaler import TiledUpscaler
from superres.upscaling.writing import save, turned

PAGE = ROOT / "docs/formats.md"
COLUMNS = ["format", "bits", "colour", "alpha", "orientations", "upscale", "training", "score"]
SIZE = 20, 28
TURNS = (1, 6, 8)
COLOURS = {1: "grey", 2: "grey", 3: "RGB", 4: "RGB"}
HEAD = """# Kinds of images

Made by `python tools/maintain/formats.py`: each kind of file through `superres upscale`,
a training's reader and `superres score`, against the samples written or another decoder (tifffile,
OpenCV). *right*: within a level of 255; orientations are EXIF's. EXIF itself and colour profiles:
[Upscale](upscale.md#from-the-command-line).
"""


# One file. kind: format, depth, colour, alpha; turn: EXIF's number; right: (H, W, C) floats on a
# scale of 255 that it means, or None where it is to be refused.
Cell = namedtuple("Cell", "suffix kind turn data right")


def scene(channels: int) -> np.ndarray:
    """(H, W, C) in [0, 1], smooth."""
    small = np.random.default_rng(0).random((4, 5, channels))
    large = cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 1).reshape(*SIZE, channels)


def png(samples: np.ndarray, depth: int, colour: int, turn: int, *chunks: tuple) -> bytes:
    """A PNG of (H, W, C) integers, written by the specification alone."""
    if depth == 16:
        rows = samples.astype(">u2").view(np.uint8).reshape(len(samples), -1)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(len(samples), -1), axis=1)
    head = struct.pack(">IIBBBBB", *SIZE[::-1], depth, colour, 0, 0, 0)
    exif = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0" + struct.pack("<HH", turn, 0) + b"\0" * 4
    body = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    every = [(b"IHDR", head), *chunks, (b"eXIf", exif), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in every
    )


def pngs() -> Iterator[Cell]:
    """All colour types, depths and kinds of transparency."""
    few, all_ = (8, 16), (1, 2, 4, 8, 16)
    types = {0: ("grey", 1, all_), 2: ("RGB", 3, few), 3: ("palette", 1, all_[:4]),
             4: ("grey", 2, few), 6: ("RGB", 4, few)}  # fmt: skip
    for (colour, (name, bands, depths)), keyed, turn in itertools.product(
        types.items(), (False, True), TURNS
    ):
        for depth in depths if not (keyed and colour > 3) else ():
            peak, chunks = (1 << depth) - 1, []
            stored = np.rint(scene(bands) * peak).astype(np.uint16)
            right, key = stored / peak * 255, stored[3, 3]
            if colour == 3:
                palette = np.random.default_rng(1).integers(0, 256, (peak + 1, 3), np.uint8)
                chunks.append((b"PLTE", palette.tobytes()))
                right, key = palette[stored[..., 0]].astype(float), np.zeros(1, int)
            if keyed:
                chunks.append((b"tRNS", b"\0" if colour == 3 else key.astype(">u2").tobytes()))
                clear = (stored == key).all(-1, keepdims=True)
                right = np.concatenate([right, 255.0 * ~clear], 2)
            alpha = "one level" if keyed else "yes" if colour > 3 else ""
            data = png(stored, depth, colour, turn, *chunks)
            yield Cell("png", ("PNG", f"{depth}", name, alpha), turn, data, right)


def straight(values: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, without that."""
    colours = values[..., :-1] / np.maximum(values[..., -1:], 1e-9)
    return np.concatenate([np.clip(colours, 0, 1), values[..., -1:]], 2)


# Photometric kind, a band beside the colours, bands, colour and alpha in words, what samples mean.
TIFFS = (
    ("minisblack", None, 1, "grey", "", lambda v: v),
    ("miniswhite", None, 1, "grey, white is 0", "", lambda v: 1 - v),
    ("minisblack", "unassalpha", 2, "grey", "yes", lambda v: v),
    ("rgb", None, 3, "RGB", "", lambda v: v),
    ("rgb", "unassalpha", 4, "RGB", "yes", lambda v: v),
    ("rgb", "assocalpha", 4, "RGB", "multiplied", straight),
    ("rgb", "unspecified", 4, "RGB", "a 4th band", lambda v: v[..., :3]),
    ("separated", None, 4, "CMYK", "", lambda v: (1 - v[..., :3]) * (1 - v[..., 3:])),
)


def tiffs() -> Iterator[Cell]:
    """By tifffile: photometric kinds, sample types, extra bands, planes; by Pillow: packings."""
    words = {"u": "", "i": " signed", "f": " float"}
    for (photometric, extra, bands, colour, alpha, means), dtype, planar, turn in itertools.product(
        TIFFS, ("u1", "u2", "u4", "i2", "f2", "f4", "f8"), ("contig", "separate"), (1, 6)
    ):
        apart = planar == "separate"
        if apart and bands == 1:
            continue
        values = scene(bands)
        if extra == "assocalpha":
            values[..., :-1] *= values[..., -1:]
        peak = 1 if dtype[0] == "f" else np.iinfo(dtype).max
        values = (values * peak).astype(dtype)
        tifffile.imwrite(
            file := io.BytesIO(), np.squeeze(np.moveaxis(values, -1, 0) if apart else values),
            photometric=photometric, extrasamples=[extra] if extra else None, metadata=None,
            planarconfig=planar if bands > 1 else None, extratags=[(274, 3, 1, turn, True)],
        )  # fmt: skip
        depth = f"{8 * int(dtype[1])}{words[dtype[0]]}"
        kind = ("TIFF", depth, colour + ", bands apart" * apart, alpha)
        yield Cell("tif", kind, turn, file.getvalue(), means(values.astype(float) / peak) * 255)
    for packing, mode in itertools.product(("tiff_lzw", "packbits", "lzma", "group4"), "1LP"):
        if packing != "group4" or mode == "1":
            image = picture(3).quantize(16) if mode == "P" else picture(3).convert(mode)
            name = f"{'palette' if mode == 'P' else 'grey'}, {packing.removeprefix('tiff_')}"
            kind = ("TIFF", "1" if mode == "1" else "8", name, "")
            data = encoded(image, "TIFF", compression=packing)
            yield Cell("tif", kind, 1, data, pixels(image))


def picture(channels: int) -> Image.Image:
    """The scene as Pillow's L, LA, RGB or RGBA."""
    return Image.fromarray(np.squeeze(np.rint(scene(channels) * 255).astype(np.uint8)))


def pixels(image: Image.Image) -> np.ndarray:
    """(H, W, C) floats of what Pillow holds."""
    image = image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode))
    return np.atleast_3d(np.asarray(image).astype(float))


def encoded(image: Image.Image, kind: str, turn: int = 1, **options) -> bytes:
    """A file by Pillow."""
    if turn != 1:
        options["exif"] = Image.Exif()
        options["exif"][274] = turn
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def others() -> Iterator[Cell]:
    """What is left: lossy formats by OpenCV's decoder, simple ones by their definition."""
    for n, way, turn in itertools.product((1, 3), ("baseline", "progressive"), range(1, 9)):
        data = encoded(picture(n), "JPEG", turn, progressive=way == "progressive", quality=90)
        yield Cell("jpg", ("JPEG", "8", f"{COLOURS[n]}, {way}", ""), turn, data, by_opencv(data))
    for turn in TURNS:
        data = encoded(picture(3).convert("CMYK"), "JPEG", turn, quality=100, subsampling=0)
        yield Cell("jpg", ("JPEG", "8", "CMYK", ""), turn, data, pixels(picture(3)))
        for n, way in itertools.product((3, 4), ("lossless", "lossy")):
            data = encoded(picture(n), "WEBP", turn, lossless=way == "lossless", exact=True)
            right = pixels(picture(n)) if way == "lossless" else by_opencv(data)
            yield Cell("webp", ("WebP", "8", f"RGB, {way}", "yes" * (n == 4)), turn, data, right)
    simple = {"bmp": ("BMP", (1, 3)), "dib": ("DIB", (3,)), "gif": ("GIF", (1,)),
              "pcx": ("PCX", (3,)), "tga": ("TGA", (1, 3, 4)), "ico": ("ICO", (4,)),
              "jp2": ("JPEG2000", (1, 2, 3, 4)), "avif": ("AVIF", (3, 4))}  # fmt: skip
    for suffix, (kind, n) in ((s, (k, n)) for s, (k, counts) in simple.items() for n in counts):
        options = {"ICO": {"sizes": [SIZE[::-1]]}, "AVIF": {"quality": 100}}.get(kind, {})
        data = encoded(picture(n), kind, **options)
        right = by_opencv(data) if kind == "AVIF" else pixels(picture(n))
        words = (kind, "8", COLOURS[n], "yes" * (n in (2, 4)))
        yield Cell(suffix, words, 1, data, right)
    deep = np.rint(scene(3) * 65535).astype(np.uint16).repeat(8, 0).repeat(8, 1)
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    data = cv2.imencode(".jp2", deep[..., ::-1], lossless)[1].tobytes()
    yield Cell("jp2", ("JPEG2000", "16", "RGB", ""), 1, data, deep / 257)
    refused = {
        "heic": b"\0\0\0\x18ftypheic", "jxl": b"\xff\x0a", "exr": b"v/1\1",
        "hdr": b"#?RADIANCE\n", "psd": b"8BPS\0\1", "cr3": b"\0\0\0\x18ftypcrx ",
        "raf": b"FUJIFILMCCD-RAW ", "pfm": b"PF\n",
    }  # fmt: skip
    for suffix, head in refused.items():
        yield Cell(suffix, (suffix.upper(), "", "", ""), 1, head + bytes(99), None)


def pnms() -> Iterator[Cell]:
    """Binary and as text, of any largest value."""
    for peak, n, plain in itertools.product((1, 100, 255, 1023, 65535), (1, 3), (False, True)):
        if peak == 1 and n == 3:
            continue
        stored = np.rint(scene(n) * peak).astype(int)
        letter = (1 if peak == 1 else 2 if n == 1 else 3) + 3 * (not plain)
        head = f"P{letter}\n28 20\n" + ("" if peak == 1 else f"{peak}\n")
        written = 1 - stored if peak == 1 else stored  # in a bitmap 1 is black
        if plain:
            body = " ".join(map(str, written.ravel())).encode() + b"\n"
        elif peak == 1:
            body = np.packbits(written[..., 0].astype(np.uint8), axis=1).tobytes()
        else:
            body = written.astype(">u2" if peak > 255 else "u1").tobytes()
        words = f"{COLOURS[n]}{', as text' * plain}, white is {peak}"
        kind = ("PNM", "16" if peak > 255 else "8" if peak > 1 else "1", words, "")
        yield Cell("pnm", kind, 1, head.encode() + body, stored / peak * 255)


def by_opencv(data: bytes) -> np.ndarray:
    """(H, W, C) floats on a scale of 255, RGB order."""
    image = np.atleast_3d(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    order = [0] if image.shape[2] == 1 else [2, 1, 0, 3][: image.shape[2]]
    return image[..., order] / (257 if image.dtype == np.uint16 else 1)


def as_rgb(right: np.ndarray) -> np.ndarray:
    """Without alpha, three channels."""
    return right[..., [0, 0, 0] if right.shape[2] < 3 else [0, 1, 2]]


def upscaled(path: Path, cell: Cell) -> str:
    """What `superres upscale` makes of it, as PNG."""
    out = path.with_name("result.png")
    save(out, TiledUpscaler(films.Repeating()), load_image(path), "png")
    right = cell.right if cell.kind[0] == "PNG" else turned(cell.right, cell.turn)
    if right.shape[2] == 2:
        right = right[..., [0, 0, 0, 1]]
    return judged(by_opencv(out.read_bytes()), right.repeat(2, 0).repeat(2, 1))


def trained(path: Path, cell: Cell) -> str:
    """What a training reads."""
    return judged(ImageFolder(path.parent).read_at(0).astype(float), as_rgb(cell.right))


def scored(path: Path, cell: Cell) -> str:
    """What `superres score` reads, of the file's depth."""
    if not list_images(path.parent):
        raise UserError("left out, and named")
    image = read_image(path, channels="rgb", dtype="keep")
    return judged(image / (257 if image.dtype == np.uint16 else 1), as_rgb(cell.right))


def tried(work: Callable[[Path, Cell], str], path: Path, cell: Cell) -> str:
    """What comes of it, or why it is refused."""
    try:
        return work(path, cell)
    except UserError as error:
        text = str(error).replace(f"{path}: ", "").replace(f"{path.parent}: ", "")
        return f"refused: {text.rstrip('.')}"


def judged(found: np.ndarray, right: np.ndarray) -> str:
    """Colours are compared where they show."""
    if found.shape[2] == 3 and right.shape[2] == 1:
        right = as_rgb(right)  # a palette of greys
    if found.shape != right.shape:
        return f"SILENT: {found.shape}, not {right.shape}"
    difference = np.abs(found - right)
    if right.shape[2] == 4:
        difference[..., :3] *= right[..., 3:] > 0.5
    largest = difference.max()
    return "right" if largest <= 1.5 else f"SILENT: {largest:.1f} levels"


def main() -> int:
    """Write the page; 1 where a cell is wrong."""
    every, rows = [*pngs(), *tiffs(), *others(), *pnms()], {}
    with tempfile.TemporaryDirectory() as folder:
        for index, cell in enumerate(every):
            path = Path(folder) / f"{index}/in/a.{cell.suffix}"
            path.parent.mkdir(parents=True)
            path.write_bytes(cell.data)
            up, *rest = (tried(work, path, cell) for work in (upscaled, trained, scored))
            same = ["the same" if state == up else state for state in rest]
            rows.setdefault((*cell.kind, up, *same), []).append(str(cell.turn))
    silent = sum(len(turns) for key, turns in rows.items() if "SILENT" in str(key))
    table = [[*key[:4], ", ".join(turns), *key[4:]] for key, turns in rows.items()]
    made = films.rows()
    wrong = sum("SILENT" in row[-2] for row in made)
    kinds = "format, depth, colour, alpha, orientation"
    told = f"{len(every)} cells ({kinds}); {silent} silently wrong."
    images = [HEAD, told, "", *markdown_table(COLUMNS, table), "", films.INTRODUCTION]
    told_too = f"{len(made)} films and animations; {wrong} silently wrong."
    page = [*images, told_too, "", *markdown_table(films.HEAD, made), ""]
    PAGE.write_text("\n".join(page), "utf-8")
    print(told, told_too)
    return int(silent + wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
