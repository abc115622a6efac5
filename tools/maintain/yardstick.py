"""Whether two commits train, score and upscale alike, and how their speeds compare.

    python tools/maintain/yardstick.py OLD NEW [--only traces scores images benchmarks]

Each commit is unpacked into a folder of its own; both run in this environment, whatever they
require. With seed 0, on the CPU, the traces and the last weights of four trainings must be equal,
the scores of the shipped networks to six decimals, and the pixels of one image of each kind but for
one level in one of 100,000 samples. Speeds are ratios of medians, the commits' rounds interleaved.
A speed has changed where the slowest round of one commit is faster than the fastest of the other
and the medians lie more than 5 % apart: a few rounds show no less.

Exit code 1 where something differs, a tool of a commit fails or a speed has changed; 2 where
nothing can be compared. What is not committed is not compared.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, photographs
from superres.cli.main import exit_code
from superres.errors import UserError, some
from superres.options import whole

PARTS = ("traces", "scores", "images", "benchmarks")
SEEN = 1.05  # medians closer than this are equal: machines drift by as much from minute to minute
# Variants without a line of superres: where they change, the machine did; they are shown only.
PLAIN = ("cv2", "python", "crop copy", "whole PNG", "480x480", "PSNR-Y plain", "SSIM-Y plain")
PLAIN += ("import torch",)

SMALL = """global_batch_size=4 lq_patch_size=24 val_sets=[] test_sets=[] log_interval=50
    tensorboard=False fast=off model.backbone.channels=16 model.backbone.num_blocks=2""".split()  # noqa: SIM905
_EDSR = "edsr/edsr_x2c64b16_g1_300k_div2k.py"
# Name -> config, options, ranks.
TRAININGS = {
    "plain": (_EDSR, ["num_workers=0"], 1),
    "MDSR": ("mdsr/mdsr_x2x3x4c64b16_g1_650k_div2k.py", ["num_workers=0"], 1),
    "EMA, 2 workers": (_EDSR, ["num_workers=2", "ema=0.99"], 1),
    "2 ranks": (_EDSR, ["num_workers=0"], 2),
}
BENCHMARKS = ("resize", "metrics", "loop", "data", "startup")


@dataclass
class Commit:
    """One commit, in ``root/tree``; its results go to ``root/out``.

    Args:
        name: OLD or NEW, and as given.
        root: a new folder.
    """

    name: str
    root: Path

    def __post_init__(self) -> None:
        self.tree, self.out = self.root / "tree", self.root / "out"
        self.out.mkdir(parents=True)

    def run(self, tool: str, *arguments: object, start: tuple[str, ...] = ()) -> None:
        """Run one of the commit's own tools, by Python or as ``start`` has it.

        Raises:
            UserError: it failed; the end of its output is shown.
        """
        command = [*(start or (sys.executable, f"tools/{tool}.py")), *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": str(self.tree), "PYTHON": sys.executable}
        env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, cwd=self.tree, env=env, text=True, capture_output=True)
        if done.returncode:
            end = (done.stdout + done.stderr)[-3000:].rstrip()
            raise UserError(f"{self.name}: {tool} ended with {done.returncode}: {command}\n{end}")


def unpacked(side: str, name: str, root: Path) -> Commit:
    """A commit, below ``root``.

    Raises:
        UserError: the repository has no such commit.
    """
    made = Commit(f"{side} {name}", root / side)
    done = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True)
    if done.returncode:
        raise UserError(f"{made.name}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(made.tree, filter="data")
    return made


def train(commit: Commit, data: Path, name: str, count: int) -> dict[str, Any]:
    """A training's trace, a line per iteration and rank, and its last weights."""
    config, options, ranks = TRAININGS[name]
    folder = commit.out / name.replace(" ", "_").replace(",", "")
    trace = folder.with_suffix(".jsonl")
    arguments = ["--work-dir", folder, "--seed", 0, "--trace", trace, "--cfg-options"]
    arguments += [f"train_set={data}", f"max_iters={count}"]
    arguments += [f"checkpoint_interval={count}", *SMALL, *options]
    where = [f"configs/{config}", *([ranks] if ranks > 1 else [])]
    start = ("bash", "tools/dist_train.sh") if ranks > 1 else ()
    commit.run("train", *where, *arguments, start=start)
    rows = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] = {f"iteration {r['iter']} of rank {r['rank']}": r for r in rows}
    content = torch.load(folder / f"iter_{count}.pth", weights_only=True)
    for part in ("state_dict", "ema_state_dict"):
        found |= {f"{part}.{key}": value for key, value in content.get(part, {}).items()}
    return found


def scores(commit: Commit, holdout: Path) -> dict[str, float]:
    """PSNR and SSIM of the three shipped networks."""
    found = {}
    for scale, config in zip((2, 3, 4), ("2c32b8_g1_24k", "3c32b8_g1_12k", "4c32b8_g1_12k")):
        out = commit.out / f"scores{scale}"
        weights = commit.tree / f"superres/weights/edsr-s_x{scale}.safetensors"
        commit.run("test", f"edsr-s_x{config}_291", weights, "--sets", holdout, "--out", out)
        for entry in json.loads((out / "results.json").read_text("utf-8"))["results"]:
            for metric in ("psnr", "ssim"):
                found[f"x{scale} {entry['protocol']} {metric}"] = entry[metric]
    return found


def images(commit: Commit, folder: Path) -> dict[str, Any]:
    """The results of one image of each kind, by torch in one plan of tiles."""
    folder.mkdir(exist_ok=True)
    wide = cv2.resize(np.random.default_rng(0).integers(0, 65536, (12, 16, 4), "u2"), (96, 80))
    smooth, deep = (wide // 257).astype(np.uint8), wide[..., :3]
    kinds = {"grey.png": smooth[..., 0], "alpha.png": smooth, "deep.png": deep, "deep.tif": deep}
    alike = ("a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.ppm")
    for name, image in (kinds | dict.fromkeys(alike, smooth[..., :3])).items():
        cv2.imwrite(str(folder / name), image)
    out, fixed = commit.out / "images", ("--model", "edsr-s", "--backend", "torch", "--tile", 64)
    commit.run("upscale", folder, "--scale", 2, *fixed, "-o", out)
    return {p.name: cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in out.iterdir()}


def compare(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What differs between two sides of a comparison; empty where nothing does."""
    if not old:
        return "nothing to compare"
    pairs = ((key, difference(old.get(key), new.get(key))) for key in old | new)
    return some((f"{key}: {fault}" for key, fault in pairs if fault), 3)


def difference(a: Any, b: Any) -> str:
    """How two values differ: weights and texts in anything, scores in the sixth decimal.

    Images may differ by one level in one of 100,000 samples.
    """
    if a is None or b is None:
        return "in one commit only"
    if isinstance(a, torch.Tensor):
        return "" if a.dtype == b.dtype and torch.equal(a, b) else "differs"
    if isinstance(a, np.ndarray):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"{a.shape} {a.dtype} / {b.shape} {b.dtype}"
        off = np.abs(a.astype(np.int64) - b)
        few = off.max() <= 1 and (off > 0).mean() <= 1e-5
        return "" if few else f"{(off > 0).sum()} samples differ, by up to {off.max()} levels"
    if isinstance(a, float):
        a, b = round(a, 6), round(b, 6)
    return "" if a == b else f"{str(a)[:120]} / {str(b)[:120]}"


def same_speed(old: list[float], new: list[float]) -> bool:
    """Whether two commits' rounds overlap, or their medians lie closer than ``SEEN``."""
    overlap = min(old) <= max(new) and min(new) <= max(old)
    return overlap or 1 / SEEN <= median(new) / median(old) <= SEEN


def speeds(commits: list[Commit], name: str, rounds: int) -> dict[str, str]:
    """For each variant of a benchmark and its ratio NEW / OLD, in words if it has changed."""
    measured: list[dict[str, list[float]]] = [{} for _ in commits]
    for number in range(rounds):
        for commit, found in zip(commits, measured):
            file = commit.out / f"{name}{number}.json"
            commit.run("benchmark", name, "--json", file)
            for row in json.loads(file.read_text("utf-8"))["variants"]:
                found.setdefault(row["name"], []).append(row["median"])
    old, new = measured
    told = dict.fromkeys(
        (f"{name}: {variant}" for variant in old.keys() ^ new.keys()), "in one commit only"
    )
    for variant, a in old.items():
        if min(a + (b := new.get(variant, [0]))) > 0:
            changed = not (variant.startswith(PLAIN) or same_speed(a, b))
            fault = f"rounds {sorted(a)} / {sorted(b)}" if changed else ""
            told[f"{name}: {variant} x {median(b) / median(a):.3f}"] = fault
    return told


def main(argv: list[str] | None = None) -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--iterations", type=whole(1), default=200)
    parser.add_argument("--rounds", type=whole(1), default=3, help="of each benchmark and commit")
    args = parser.parse_args(argv)
    differing = 0
    with tempfile.TemporaryDirectory(prefix="yardstick-") as folder:
        root = Path(folder).resolve()
        commits = [unpacked(*side, root) for side in (("OLD", args.old), ("NEW", args.new))]
        photographs(root / "photographs", "skimage", "sklearn", "matplotlib")
        data, holdout = root / "photographs/train", root / "photographs/holdout"
        tasks = [("traces", f"training: {n}", train, data, n, args.iterations) for n in TRAININGS]
        tasks += [("scores", "scores of edsr-s", scores, holdout)]
        tasks += [("images", "upscaled images", images, root / "kinds")]
        tasks += [("benchmarks", f"benchmark {n}", speeds, n, args.rounds) for n in BENCHMARKS]
        for _, what, measure, *given in (task for task in tasks if task[0] in args.only):
            try:
                if measure is speeds:
                    found = speeds(commits, *given)
                else:
                    found = {what: compare(*(measure(commit, *given) for commit in commits))}
            except (UserError, OSError, LookupError) as error:  # a tool that writes otherwise
                found = {what: f"{type(error).__name__}: {error}"}
            for name, fault in found.items():
                print(f"{name:<28} {fault or 'equal'}", flush=True)
                differing += bool(fault)
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(exit_code(main))
