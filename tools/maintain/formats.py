"""Every kind of image file through upscale, a training's reader and score: docs/formats.md.

    python tools/maintain/formats.py           # write the page; exit code 1 if a cell is wrong

A cell is one file: format, depth, colour, alpha and orientation. What is right is the array that
was written (JPEG, WebP, AVIF and JPEG 2000: what an independent decoder makes of it; TIFF:
tifffile). Each is right within a level of 255, or refused with the reason, or it is "silent".
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import cv2
import tifffile
from PIL import Image

from maintain import ROOT

PAGE = ROOT / "docs/formats.md"
SIZE = 20, 28
TURNS = (1, 6, 8)


@dataclass
class Cell:
    """One file, and (H, W, C) floats on a scale of 255 that it means; None: to be refused."""

    name: str
    kind: tuple[str, str, str, str]  # format, depth, colour, alpha
    orientation: int
    data: bytes
    right: np.ndarray | None


def scene(channels: int, seed: int = 0) -> np.ndarray:
    """(H, W, C) in [0, 1], smooth."""
    small = np.random.default_rng(seed).random((4, 5, channels))
    return np.clip(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC), 0, 1).reshape(
        *SIZE, channels
    )


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
    names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey", 6: "RGB"}
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    for colour, keyed, turn in itertools.product(names, (False, True), TURNS):
        for depth in depths[colour] if not (keyed and colour > 3) else ():
            peak = (1 << depth) - 1
            bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
            stored = np.rint(scene(bands) * peak).astype(np.uint16)
            chunks = []
            right = stored / peak * 255
            if colour == 3:
                palette = np.random.default_rng(1).integers(0, 256, (peak + 1, 3), np.uint8)
                chunks.append((b"PLTE", palette.tobytes()))
                right = palette[stored[..., 0]].astype(float)
            if keyed:
                if colour == 3:
                    chunks.append((b"tRNS", b"\0"))
                    clear = stored[..., :1] == 0
                else:
                    key = stored[3, 3]
                    chunks.append((b"tRNS", key.astype(">u2").tobytes()))
                    clear = (stored == key).all(-1, keepdims=True)
                right = np.concatenate([right, 255.0 * ~clear], 2)
            alpha = "one level" if keyed else "yes" if colour > 3 else ""
            data = png(stored, depth, colour, turn, *chunks)
            yield Cell("a.png", ("PNG", f"{depth}", names[colour], alpha), turn, data, right)


def tiffs() -> Iterator[Cell]:
    """By tifffile: photometric kinds, sample types, extra bands, planes; by Pillow: packings."""
    kinds = [
        *(("minisblack", 1, ()), ("miniswhite", 1, ()), ("minisblack", 1, ("unassalpha",))),
        *(("rgb", 3, ()), ("rgb", 3, ("unassalpha",)), ("rgb", 3, ("assocalpha",))),
        *(("rgb", 3, ("unspecified",)), ("separated", 4, ())),
    ]
    for dtype, (photometric, colours, extra), planar, turn in itertools.product(
        ("u1", "u2", "u4", "i2", "f2", "f4", "f8"), kinds, ("contig", "separate"), (1, 6)
    ):
        bands = colours + len(extra)
        if planar == "separate" and bands == 1:
            continue
        values = scene(bands)
        if extra == ("assocalpha",):
            values[..., :-1] *= values[..., -1:]
        peak = 1 if dtype[0] == "f" else np.iinfo(dtype).max
        values = (values * peak).astype(dtype)
        file = io.BytesIO()
        tifffile.imwrite(
            file, np.squeeze(np.moveaxis(values, -1, 0) if planar == "separate" else values),
            photometric=photometric, extrasamples=extra or None, metadata=None,
            planarconfig=planar if bands > 1 else None, extratags=[(274, 3, 1, turn, True)],
        )  # fmt: skip
        right = values.astype(float) / peak
        if photometric == "miniswhite":
            right = 1 - right
        if extra == ("assocalpha",):
            straight = right[..., :-1] / np.maximum(right[..., -1:], 1e-9)
            right = np.concatenate([np.clip(straight, 0, 1), right[..., -1:]], 2)
        if extra == ("unspecified",):
            right = right[..., :-1]
        if photometric == "separated":
            right = np.stack([(1 - right[..., i]) * (1 - right[..., 3]) for i in range(3)], -1)
        kind = {"u": "", "i": " signed", "f": " float"}[dtype[0]]
        colour = {"minisblack": "grey", "miniswhite": "grey, white is 0", "separated": "CMYK"}
        name = colour.get(photometric, "RGB") + ", bands apart" * (planar == "separate")
        depth = f"{8 * int(dtype[1])}{kind}"
        alpha = {"unassalpha": "yes", "assocalpha": "multiplied", "unspecified": "a 4th band"}
        yield Cell(
            "a.tif", ("TIFF", depth, name, alpha.get("".join(extra), "")), turn, file.getvalue(),
            right * 255,
        )  # fmt: skip
    for packing, mode in itertools.product(("tiff_lzw", "packbits", "lzma", "group4"), "1LP"):
        if (packing == "group4") <= (mode == "1"):
            image = picture(3).convert(mode) if mode != "P" else picture(3).quantize(16)
            data = encoded(image, "TIFF", compression=packing)
            depth = "1" if mode == "1" else "8"
            name = f"{'palette' if mode == 'P' else 'grey'}, {packing.removeprefix('tiff_')}"
            yield Cell("a.tif", ("TIFF", depth, name, ""), 1, data, pixels(image))


def picture(channels: int) -> Image.Image:
    """The scene as Pillow's L, LA, RGB or RGBA."""
    return Image.fromarray(np.squeeze(np.rint(scene(channels) * 255).astype(np.uint8)))


def pixels(image: Image.Image) -> np.ndarray:
    """(H, W, C) floats of what Pillow holds."""
    image = image.convert("RGB") if image.mode == "P" else image
    found = np.asarray(image.convert("L") if image.mode == "1" else image).astype(float)
    return found[..., None] if found.ndim == 2 else found


def encoded(image: Image.Image, kind: str, turn: int = 1, **options) -> bytes:
    """A file by Pillow."""
    if turn != 1:
        exif = Image.Exif()
        exif[274] = turn
        options["exif"] = exif
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def others() -> Iterator[Cell]:
    """What is left: lossy formats by OpenCV's decoder, simple ones by their definition."""
    for n, way, turn in itertools.product((1, 3), ("baseline", "progressive"), range(1, 9)):
        data = encoded(picture(n), "JPEG", turn, progressive=way == "progressive", quality=90)
        kind = ("JPEG", "8", f"{_colour(n)}, {way}", "")
        yield Cell("a.jpg", kind, turn, data, by_opencv(data))
    for turn in TURNS:
        data = encoded(picture(3).convert("CMYK"), "JPEG", turn, quality=100, subsampling=0)
        yield Cell("a.jpg", ("JPEG", "8", "CMYK", ""), turn, data, pixels(picture(3)))
        for n, lossless in itertools.product((3, 4), (True, False)):
            data = encoded(picture(n), "WEBP", turn, lossless=lossless, exact=True)
            kind = ("WebP", "8", f"RGB, {'lossless' if lossless else 'lossy'}", "yes" * (n == 4))
            right = pixels(picture(n)) if lossless else by_opencv(data)
            yield Cell("a.webp", kind, turn, data, right)
    for suffix, kind, channels in (
        *((".bmp", "BMP", (1, 3)), (".dib", "DIB", (3,)), (".gif", "GIF", (1,))),
        *((".pcx", "PCX", (3,)), (".tga", "TGA", (1, 3, 4)), (".jp2", "JPEG2000", (1, 2, 3, 4))),
        *((".ico", "ICO", (4,)), (".ppm", "PPM", (1, 3)), (".avif", "AVIF", (3, 4))),
    ):
        for n in channels:
            options = {"ICO": {"sizes": [SIZE[::-1]]}, "AVIF": {"quality": 100}}.get(kind, {})
            data = encoded(picture(n), kind, **options)
            right = by_opencv(data) if kind == "AVIF" else pixels(picture(n))
            words = (kind, "8", _colour(n), "yes" * (n in (2, 4)))
            yield Cell(f"a{suffix}", words, 1, data, right)
    deep = np.rint(scene(3) * 65535).astype(np.uint16).repeat(8, 0).repeat(8, 1)
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    data = cv2.imencode(".jp2", deep[..., ::-1], options)[1].tobytes()
    yield Cell("a.jp2", ("JPEG2000", "16", "RGB", ""), 1, data, deep / 257)
    for suffix, head in (
        *(("heic", b"\0\0\0\x18ftypheic"), ("jxl", b"\xff\x0a"), ("exr", b"v/1\1")),
        *(("hdr", b"#?RADIANCE\n"), ("psd", b"8BPS\0\1"), ("cr3", b"\0\0\0\x18ftypcrx ")),
        *(("raf", b"FUJIFILMCCD-RAW "), ("pfm", b"PF\n")),
    ):
        yield Cell(f"a.{suffix}", (suffix.upper(), "", "", ""), 1, head + bytes(99), None)


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
        words = f"{_colour(n)}{', as text' * plain}, white is {peak}"
        depth = "16" if peak > 255 else "8" if peak > 1 else "1"
        data = head.encode() + body
        yield Cell("a.pnm", ("PNM", depth, words, ""), 1, data, stored / peak * 255)


def _colour(channels: int) -> str:
    return "grey" if channels < 3 else "RGB"


def by_opencv(data: bytes) -> np.ndarray:
    """(H, W, C) floats, RGB order."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(float)
    return image[..., None] if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]


def as_rgb(right: np.ndarray) -> np.ndarray:
    """Without alpha, three channels."""
    colours = right[..., : 1 if right.shape[2] < 3 else 3]
    return np.repeat(colours, 3, 2) if colours.shape[2] == 1 else colours


class Repeating:
    """Each pixel four times: a network whose result is known."""

    scale, receptive_radius, device, name, bytes_per_pixel = 2, 1, "cpu", "repeating", 64.0
    in_channels = 3
    notes: tuple[str, ...] = ()

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) to (N, C, 2 h, 2 w)."""
        return x.repeat(2, 2).repeat(2, 3)


def upscaled(path: Path, cell: Cell) -> str:
    """What `superres upscale` makes of it, as PNG."""
    from superres.errors import UserError
    from superres.imaging.io import read_picture
    from superres.upscaling.enlarge import Enlarger
    from superres.upscaling.writing import save, turned

    out = path.with_name("result.png")
    try:
        source = read_picture(path)
        lost = save(out, Enlarger(Repeating()), source, "png")
    except UserError as error:
        return _refused(error, path)
    with Image.open(out) as image:
        deep = image.mode.startswith("I") or ";16" in str(image.tile)
        found = by_opencv(out.read_bytes()) if deep or image.mode != "P" else pixels(image)
    found = found / (257 if deep else 1)
    right = cell.right if cell.kind[0] == "PNG" else turned(cell.right, cell.orientation)
    if right.shape[2] == 2:
        right = right[..., [0, 0, 0, 1]]
    told = source.notes + lost
    return _judged(found, right.repeat(2, 0).repeat(2, 1), told)


def trained(path: Path, cell: Cell) -> str:
    """What a training reads."""
    from superres.datasets.storage import ImageFolder
    from superres.datasets.storage.folder import changes
    from superres.errors import UserError
    from superres.imaging.io import image_header

    try:
        store = ImageFolder(path.parent)
        found = store.read_at(0).astype(float)
        return _judged(found, as_rgb(cell.right), changes(image_header(path)))
    except UserError as error:
        return _refused(error, path)


def scored(cells: list[Cell], root: Path) -> list[str]:
    """What `superres score` says of each against what is right, as a PNG: equal within a level."""
    from superres.cli.main import main as superres

    for side in ("sr", "hr"):
        (root / side).mkdir()
    for index, cell in enumerate(cells):
        (root / f"sr/{index:04d}{Path(cell.name).suffix}").write_bytes(cell.data)
        right = np.zeros((*SIZE, 3)) if cell.right is None else cell.right
        right = right[..., : 1 if right.shape[2] < 3 and "palette" not in cell.kind[2] else 3]
        right = np.array(as_rgb(right) if cell.kind[2] == "palette" or cell.kind[3] else right)
        right[9, 9] += np.where(right[9, 9] > 128, -8, 8)  # else infinite
        deep = cell.kind[1].split(" ")[0] in ("16", "32", "64")
        found = np.rint(right * 257 if deep else right).astype(np.uint16 if deep else np.uint8)
        cv2.imwrite(str(root / f"hr/{index:04d}.png"), np.ascontiguousarray(found[..., ::-1]))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        superres(["score", str(root / "sr"), str(root / "hr"), "--scale", "1", "--protocol",
                  "mmediting-rgb", "--out", str(root / "out")])  # fmt: skip
    record = json.loads((root / "out/results.json").read_text(encoding="utf-8"))
    images = {image["name"]: image for image in record["results"][0]["images"]}
    found = []
    for index in range(len(cells)):
        image = images.get(f"{index:04d}", {})
        psnr = image.get("psnr")
        if psnr is None:
            why = str(image.get("error", "")).partition(": ")[2] or "left out, and named"
            found.append(f"refused: {why.rstrip('.')}")
        else:
            found.append("right" if float(psnr) > 47 else f"SILENT: {psnr:.1f} dB")
    return found


def _judged(found: np.ndarray, right: np.ndarray, notes: list[str]) -> str:
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


def _refused(error: Exception, path: Path) -> str:
    return "refused: " + str(error).replace(f"{path}: ", "").replace(f"{path.parent}: ", "").rstrip(
        "."
    )


def main() -> int:
    """Write the page; 1 where a cell is wrong."""
    cells = [*pngs(), *tiffs(), *others(), *pnms()]
    rows: dict[tuple, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scores = scored(cells, root)
        for index, cell in enumerate(cells):
            path = root / f"{index}/in" / cell.name
            path.parent.mkdir(parents=True)
            path.write_bytes(cell.data)
            states = upscaled(path, cell), trained(path, cell), scores[index]
            rows.setdefault((*cell.kind, *states), []).append(cell.orientation)
    silent = sum(len(v) for key, v in rows.items() if any("SILENT" in s for s in key[4:]))
    lines = [
        "# Kinds of images",
        "",
        "Made by `python tools/maintain/formats.py`: each kind of file through `superres upscale`,",
        "a training's reader and `superres score`, against the samples that were written or an",
        "independent decoder (tifffile, OpenCV). *right*: within a level of 255.",
        "",
        f"{len(cells)} cells (format, depth, colour, alpha, orientation); {silent} silently wrong.",
        "",
        "| format | bits | colour | alpha | orientations | upscale | training | score |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (*kind, up, train, score), turns in rows.items():
        states = [up, *("the same" if state == up else state for state in (train, score))]
        lines.append(f"| {' | '.join([*kind, ', '.join(map(str, turns)), *states])} |")
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(lines[6])
    return int(silent > 0)


if __name__ == "__main__":
    sys.exit(main())
