"""The load runs: the real commands on much work, watched from outside."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import superres
from superres.benchmarks import _load_inputs as inputs
from superres.benchmarks._watch import Curve, watch

_COMMAND = "import sys; from superres.cli.main import main; sys.exit(main(sys.argv[1:]))"
MODEL, SCALE = "edsr-s_x2", 2
LIMIT = 1536  # MiB that the huge picture may take
CONSTANT = 16.0  # MiB; what is called constant may drift by so much in a run
_CROPS, _SIDE = 12, 64  # of the huge result, compared with upscaling these places alone


def folder(root: Path, count: int) -> dict[str, dict[str, Any]]:
    """``count`` small pictures through ``upscale``, again with nothing to do, and ``score``."""
    inputs.small_pictures(root, count)
    upscale = ["upscale", "lq", "-o", "sr", "--model", MODEL]
    score = ["score", "sr", "gt", "--scale", str(SCALE), "--out", "scores"]
    done = _watched(root, upscale)
    made = sum(1 for _ in (root / "sr").iterdir())
    again = _watched(root, upscale)
    scored = _watched(root, score)
    record = json.loads((root / "scores/results.json").read_text(encoding="utf-8"))
    images = record["results"][0]["images"]
    good = sum(image["psnr"] is not None for image in images)
    return {
        "upscale a folder": _constant(upscale, done, count, {"results": made}),
        "upscale it again": _told(upscale, again, {"items": count}),
        "score a folder": _constant(score, scored, count, {"results": good}),
    }


def picture(
    root: Path,
    width: int,
    height: int,
    kinds: Sequence[str],
    options: Sequence[str] = (),
    limit: int = LIMIT,
) -> dict[str, dict[str, Any]]:
    """One picture whose result is ``width`` x ``height``, from disk to disk, in each format."""
    source = root / "huge.png"
    inputs.huge_picture(source, height // SCALE, width // SCALE)
    runs = {}
    for kind in kinds:
        command = ["upscale", "huge.png", "-o", f"large.{kind}", "--model", MODEL, *options]
        curve = _watched(root, command)
        result = root / f"large.{kind}"
        found = {"result": f"{width}x{height}", "bytes": result.stat().st_size, "limit": limit}
        found |= _compared(source, result, (height, width))
        result.unlink()
        run = _told(command, curve, found)
        run["holds"] = run["holds"] and curve.peak <= limit and found["largest difference"] <= 1
        runs[f"{width}x{height} {kind}"] = run
    return runs


def reads(root: Path, samples: int, workers: int) -> dict[str, dict[str, Any]]:
    """Batches of 16 from workers that all read one LMDB, and that of its LR, as for a training."""
    gt, lq = inputs.packs(root, 256, 512)
    job = {"gt": gt, "lq": lq, "samples": samples, "workers": workers}
    code = "from superres.benchmarks._load_reader import main; main()"
    command = [sys.executable, "-c", code, json.dumps(job)]
    curve = watch(command, root, _environment())
    shown = [f"{workers} workers", f"{samples:,} samples"]
    return {"read an LMDB": _constant(shown, curve, samples, {"processes": curve.processes})}


def _watched(root: Path, arguments: Sequence[str]) -> Curve:
    return watch([sys.executable, "-c", _COMMAND, *arguments], root, _environment())


def _environment() -> dict[str, str]:
    """Ours, with this very package first on the path."""
    package = str(Path(superres.__file__).parents[1])
    rest = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, *([rest] if rest else [])])}


def _constant(
    command: Sequence[str], curve: Curve, items: int, found: dict[str, Any]
) -> dict[str, Any]:
    """A run whose memory and open files must not grow with what it has done."""
    own, files = curve.growth("own"), curve.growth("files")
    found = {
        "items": items,
        **found,
        "growth of own memory, MiB": own,
        "bytes per item": own * 2**20 / items,
        "growth of open files": files,
    }
    run = _told(command, curve, found)
    whole = found.get("results", items) == items
    run["holds"] = run["holds"] and whole and own <= CONSTANT and files < 1
    return run


def _told(command: Sequence[str], curve: Curve, found: dict[str, Any]) -> dict[str, Any]:
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


def _compared(source: Path, result: Path, size: tuple[int, int]) -> dict[str, Any]:
    """How places of the result, corners among them, differ from upscaling these places alone."""
    from superres.imaging.io import read_image
    from superres.upscaling.networks import choose_network

    many = size[0] * size[1]
    lq = read_image(source, max_pixels=many)
    sr = read_image(result, max_pixels=many)
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
        high, low = max(0, top - reach), min(lq.shape[0], top + _SIDE + reach)
        west, east = max(0, left - reach), min(lq.shape[1], left + _SIDE + reach)
        alone = enlarger.picture(np.ascontiguousarray(lq[high:low, west:east]))
        alone = alone[(top - high) * SCALE :, (left - west) * SCALE :]
        alone = alone[: _SIDE * SCALE, : _SIDE * SCALE]
        there = sr[top * SCALE :, left * SCALE :][: _SIDE * SCALE, : _SIDE * SCALE]
        differences.append(np.abs(there.astype(int) - alone))
    differences = np.stack(differences)
    return {
        "places compared": len(places),
        "largest difference": int(differences.max()),
        "samples that differ": float((differences > 0).mean()),
    }
