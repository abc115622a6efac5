"""Memory and open files of long work: a folder of images, a huge image, a loader's reads."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._watch import Curve, watch
from benchmarks.harness import environment, report, row
from superres.errors import UserError

if TYPE_CHECKING:
    import numpy as np

RUNS = ("folder", "picture", "reads")
MODEL, SCALE = "edsr-s_x2", 2
LIMIT = 1536  # MiB that the huge image may take
CONSTANT = 16.0  # MiB; what is called constant may drift by so much in a run
GROWTHS = {"growth of own memory, MiB": "MiB", "growth of open files": "files"}
_CROPS, _SIDE = 12, 64  # of the huge result, compared with upscaling these places alone
_BATCH = 16
_COMMAND = "import sys; from superres.cli.main import main; sys.exit(main(sys.argv[1:]))"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is run, and how much of it."""
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help=f"{', '.join(RUNS)}; default: all of them")
    add("--pictures", type=int, default=10_000, help="in the folder (10000)")
    add("--size", default="30000x20000", metavar="WxH", help="of the huge result (30000x20000)")
    add("--formats", nargs="+", default=["png", "tif"], help="of the huge result (png tif)")
    # An hour of a training at 20 iterations of 16 a second.
    add("--samples", type=int, default=3600 * 20 * 16, help="that the loader reads (1152000)")
    add("--workers", type=int, default=8, help="of the loader (8)")
    add("--dir", type=Path, help="an existing folder for what is made (the system's for such)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The runs that are asked for; others that the file of ``--json`` has stay as they are."""
    unknown = [name for name in args.runs if name not in RUNS]
    if unknown:
        raise UserError(f"benchmark load: no run {unknown[0]!r}; there are {', '.join(RUNS)}")
    width, height = _size(args.size)
    if min(args.pictures, args.samples, args.workers) < 1:
        raise UserError("benchmark load: --pictures, --samples and --workers must be at least 1")
    kept = _earlier(args.json)
    work: dict[str, Callable[[Path], dict[str, Any]]] = {
        "folder": lambda root: folder(root, args.pictures),
        "picture": lambda root: picture(root, width, height, args.formats),
        "reads": lambda root: reads(root, args.samples, args.workers),
    }
    for name in args.runs or RUNS:
        with tempfile.TemporaryDirectory(prefix="superres-load-", dir=args.dir) as where:
            kept[name] = work[name](Path(where))
    found = {title: one for name in RUNS for title, one in kept.get(name, {}).items()}
    rows = [row(f"{title}: peak", [one["peak, MiB"]], "MiB") for title, one in found.items()]
    for key, unit in GROWTHS.items():
        name = key.partition(",")[0]
        rows += [row(f"{t}: {name}", [o[key]], unit) for t, o in found.items() if key in o]
    result = report("load", rows, {f"{t}: holds": float(o["holds"]) for t, o in found.items()})
    return {**result, "runs": kept}


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 256):
        raise UserError(f"--size {text}: WIDTHxHEIGHT, such as 30000x20000, of at least 256 px")
    return int(width), int(height)


def _earlier(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--json {path}: is there, and no result of this benchmark") from error


def folder(root: Path, count: int) -> dict[str, dict[str, Any]]:
    """``count`` small images through ``upscale``, again with nothing to do, and ``score``.

    LR sides are of 24 to 64 px.
    """
    import numpy as np

    from superres.imaging.io import write_image
    from superres.imaging.resize import imresize

    for name in ("gt", "lq"):
        (root / name).mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        gt = photograph(rng, *(2 * rng.integers(24, 65, 2)).tolist())
        write_image(root / "gt" / f"{i:06d}.png", gt)
        write_image(root / "lq" / f"{i:06d}.png", imresize(gt, 0.5))
    upscale = ["upscale", "lq", "-o", "sr", "--model", MODEL]
    score = ["score", "sr", "gt", "--scale", str(SCALE), "--out", "scores"]
    done = _watched(root, upscale)
    made = sum(1 for _ in (root / "sr").iterdir())
    again = _watched(root, upscale)
    scored = _watched(root, score)
    record = json.loads((root / "scores/results.json").read_text(encoding="utf-8"))
    good = sum(image["psnr"] is not None for image in record["results"][0]["images"])
    return {
        "upscale a folder": _constant(upscale, done, count, results=made),
        "upscale it again": _told(upscale, again, items=count),
        "score a folder": _constant(score, scored, count, results=good),
    }


def photograph(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: areas of one colour with hard edges, shading, noise as a camera's."""
    import numpy as np

    areas = rng.uniform(20, 220, (-(-height // 32), -(-width // 32), 3)).astype(np.float32)
    image = areas.repeat(32, 0).repeat(32, 1)[:height, :width]
    image += 20 * np.sin(np.arange(width, dtype=np.float32) / 40)[None, :, None]
    image += rng.standard_normal((height, width, 1), np.float32) * 4
    return np.clip(image, 0, 255).astype(np.uint8)


def picture(root: Path, width: int, height: int, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """One image whose result is ``width`` x ``height``, from disk to disk, in each format."""
    import numpy as np

    from superres.imaging.io import write_image

    source, size = root / "huge.png", (height // SCALE, width // SCALE, 3)
    parts = [
        photograph(np.random.default_rng(start), min(250, size[0] - start), size[1])
        for start in range(0, size[0], 250)
    ]
    write_image(source, np.concatenate(parts))
    del parts
    runs = {}
    for kind in kinds:
        command = ["upscale", "huge.png", "-o", f"large.{kind}", "--model", MODEL]
        curve = _watched(root, command)
        result = root / f"large.{kind}"
        found = {"result": f"{width}x{height}", "bytes": result.stat().st_size, "limit": LIMIT}
        run = _told(command, curve, **found, **_compared(source, result, (height, width)))
        result.unlink()
        run["holds"] = run["holds"] and curve.peak <= LIMIT and run["largest difference"] <= 1
        runs[f"{width}x{height} {kind}"] = run
    return runs


def _compared(source: Path, result: Path, size: tuple[int, int]) -> dict[str, Any]:
    """How places of the result, corners among them, differ from upscaling these places alone."""
    import numpy as np

    from superres.imaging.io import read_image
    from superres.upscaling.networks import choose_network

    lq, sr = (read_image(path, max_pixels=size[0] * size[1]) for path in (source, result))
    if sr.shape != (*size, 3):
        return {"largest difference": 255, "why": f"its shape is {sr.shape}"}
    chosen = choose_network(MODEL)
    enlarger, _ = chosen.enlarger()
    reach = int(chosen.module.receptive_radius)
    rng = np.random.default_rng(0)
    rows, columns = lq.shape[0] - _SIDE, lq.shape[1] - _SIDE
    places = [(0, 0), (0, columns), (rows, 0), (rows, columns)]
    places += [(int(rng.integers(rows)), int(rng.integers(columns))) for _ in range(_CROPS - 4)]
    differences = []
    for top, left in places:
        high, west = max(0, top - reach), max(0, left - reach)
        part = lq[high : top + _SIDE + reach, west : left + _SIDE + reach]
        alone = enlarger.picture(np.ascontiguousarray(part))
        alone = alone[(top - high) * SCALE :, (left - west) * SCALE :]
        there = sr[top * SCALE :, left * SCALE :]
        a, b = (x[: _SIDE * SCALE, : _SIDE * SCALE].astype(int) for x in (alone, there))
        differences.append(np.abs(a - b))
    return {
        "places compared": len(places),
        "largest difference": int(np.max(differences)),
        "samples that differ": float((np.stack(differences) > 0).mean()),
    }


def reads(root: Path, samples: int, workers: int) -> dict[str, dict[str, Any]]:
    """Batches from workers that all read one LMDB, and that of its LR, as for a training."""
    import numpy as np

    from superres.datasets.pack import pack_images

    rng = np.random.default_rng(0)
    for name, side in (("gt", 512), ("lq", 256)):
        loaders = (
            (f"{i:04d}", lambda s=side: rng.integers(0, 256, (s, s, 3), np.uint8))
            for i in range(256)
        )
        pack_images(loaders, root / f"{name}.lmdb", num_workers=0)
    code = "import sys; from benchmarks.load import take; take(*map(int, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(samples), str(workers)]
    curve = watch(command, root, environment())
    shown = [f"{workers} workers", f"{samples:,} samples"]
    return {"read an LMDB": _constant(shown, curve, samples, processes=curve.processes)}


def take(samples: int, workers: int) -> None:
    """A training's reading without the training: takes batches of the packs, and drops them."""
    from superres.datasets.loader import shut_down, train_loader
    from superres.datasets.paired import PairedDataset
    from superres.datasets.sampler import IterationSampler

    crop = {"type": "PairedRandomCrop", "lq_patch_size": 48}
    pipeline = [crop, {"type": "RandomFlip"}, {"type": "PackInputs"}]
    dataset = PairedDataset(gt="gt.lmdb", lq="lq.lmdb", scale=2, pipeline=pipeline)
    sampler = IterationSampler(len(dataset), _BATCH, seed=0, stop=samples // _BATCH)
    batches = iter(train_loader(dataset, sampler, workers))
    done = 0
    for batch in batches:
        if not done:
            print("the first batch is here", flush=True)
        done += len(batch["inputs"])
    shut_down(batches)
    if done != samples // _BATCH * _BATCH:
        sys.exit(f"{done} samples came instead of {samples}")


def _watched(root: Path, arguments: Sequence[str]) -> Curve:
    return watch([sys.executable, "-c", _COMMAND, *arguments], root, environment())


def _constant(command: Sequence[str], curve: Curve, items: int, **found: Any) -> dict[str, Any]:
    """A run whose memory and open files must not grow with what it has done."""
    own, files = curve.growth("own"), curve.growth("files")
    growth = {"bytes per item": own * 2**20 / items, **dict(zip(GROWTHS, (own, files)))}
    run = _told(command, curve, items=items, **found, **growth)
    whole = found.get("results", items) == items
    run["holds"] = run["holds"] and whole and own <= CONSTANT and files < 1
    return run


def _told(command: Sequence[str], curve: Curve, **found: Any) -> dict[str, Any]:
    return {
        "command": " ".join(command),
        "exit code": curve.exit_code,
        "seconds": curve.samples[-1]["seconds"],
        "seconds to the first word": curve.first_word,
        "peak, MiB": curve.peak,
        "most open files": max(s["files"] for s in curve.samples),
        **found,
        "holds": curve.exit_code == 0,
        "curve": curve.thinned(),
    }
