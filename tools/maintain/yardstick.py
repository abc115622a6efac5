"""Whether two commits train, score and upscale alike, and how their speeds compare.

    python tools/maintain/yardstick.py OLD NEW [--only traces,scores,images,benchmarks]

Each commit is checked out into a worktree of its own and runs with an environment of its own: this
one where the requirements are equal, else one that the commit's ``tools/make_env.sh`` makes. With
seed 0 the traces and the last weights of four trainings, the scores of the shipped networks and
the pixels of one image of each kind must be equal. Speeds are ratios of medians, the commits'
rounds interleaved. A speed has changed where the slowest round of one commit is faster than the
fastest of the other and the medians lie more than 5 % apart: a few rounds show no less.

Exit code 1 where something differs or a speed has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("traces", "scores", "images", "benchmarks")
SCALES = (2, 3, 4)
SEEN = 1.05  # medians closer than this are equal: machines drift by as much from minute to minute
# Variants without a line of superres: where they change, the machine did; they are shown only.
PLAIN = ("cv2", "python loop", "crop copy", "whole PNG", "480x480")

# Options whose spelling changed: (a file that only the newer spelling's commits have, the option
# as written below, the older spelling).
SPELLINGS: tuple[tuple[str, str, str], ...] = ()

SMALL = """global_batch_size=4 lq_patch_size=24 val_sets=[] test_sets=[] log_interval=50
    tensorboard=False fast=off""".split()  # noqa: SIM905
_EDSR = "edsr/edsr_x2c64b16_g1_300k_div2k.py"
_TINY = ["model.backbone.channels=16", "model.backbone.num_blocks=2"]
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
    """One commit, checked out.

    Attributes:
        name: as given.
        tree: its worktree.
        python: of its environment.
        out: where its results lie.
    """

    name: str
    tree: Path
    python: str
    out: Path

    def run(self, tool: str, *arguments: object, launcher: tuple[str, ...] = ()) -> str:
        """Run one of the commit's own tools; returns what it printed.

        Raises:
            SystemExit: it failed; the end of its output is shown.
        """
        words = [str(a) for a in arguments]
        for newer, spelt, older in SPELLINGS:
            if not (self.tree / newer).exists():
                words = [older if word == spelt else word for word in words]
        start = launcher or (self.python, f"tools/{tool}.py")
        env = {**os.environ, "PYTHONPATH": str(self.tree), "OMP_NUM_THREADS": "1"}
        env["PATH"] = f"{Path(self.python).parent}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            [*start, *words], cwd=self.tree, env=env, capture_output=True, text=True
        )
        if done.returncode:
            end = (done.stdout + done.stderr)[-3000:]
            raise SystemExit(
                f"{self.name}: {tool} {' '.join(words)} ended with {done.returncode}:\n{end}"
            )
        return done.stdout


@contextlib.contextmanager
def checked_out(name: str, root: Path) -> Iterator[Commit]:
    """A commit in a worktree below ``root``, removed afterwards."""
    tree, out = root / "tree", root / "out"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), name], check=True)
    try:
        out.mkdir()
        python = sys.executable
        if requirements(tree) != requirements(ROOT):
            make = 'source tools/make_env.sh; superres_make_env "$PWD" tests'
            env = {**os.environ, "SUPERRES_VENV": str(root / "venv")}
            subprocess.run(["bash", "-c", make], cwd=tree, env=env, check=True)
            python = str(root / "venv/bin/python")
        commit = Commit(name, tree, python, out)
        where = commit.run(
            "", "-c", "import superres; print(superres.__file__)", launcher=(python,)
        )
        if not where.startswith(str(tree)):
            raise SystemExit(f"{name}: the environment imports {where.strip()}, not {tree}")
        yield commit
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=False)


def requirements(tree: Path) -> str:
    """What a checkout needs, to compare."""
    names = ("runtime.txt", "constraints.txt")
    return "".join((tree / "requirements" / n).read_text(encoding="utf-8") for n in names)


def photographs(folder: Path) -> None:
    """The quickstart's photographs as PNG files: train/ and holdout/."""
    from superres.cli.quickstart import PHOTOGRAPHS
    from superres.imaging.io import read_image, write_image
    from superres.imaging.photographs import photograph
    from superres.imaging.resize import modcrop

    for package, inside, where in PHOTOGRAPHS:
        image = modcrop(read_image(photograph(package, inside)), 12)
        part = folder / ("holdout" if where == "holdout" else "train")
        part.mkdir(parents=True, exist_ok=True)
        # A holdout of small images keeps the scoring short.
        image = image[:240, :240] if where == "holdout" else image
        write_image(part / f"{Path(inside).stem}.png", image)


def kinds(folder: Path) -> None:
    """One small image of each kind that people have."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (12, 16, 4), np.uint8), (96, 80))
    wide = cv2.resize(rng.integers(0, 65536, (12, 16, 3), np.uint16), (96, 80))
    rgb, rest = smooth[..., :3], {"grey.png": smooth[..., 0], "alpha.png": smooth}
    alike = ("rgb.png", "photo.jpg", "scan.tif", "web.webp", "old.bmp", "plain.ppm")
    images = rest | {"deep.png": wide, "deep.tif": wide} | dict.fromkeys(alike, rgb)
    for name, image in images.items():
        cv2.imwrite(str(folder / name), image)


def train(commit: Commit, data: Path, name: str, iterations: int) -> tuple[list[str], dict]:
    """A training's trace, by iteration and rank, and its last weights."""
    config, options, ranks = TRAININGS[name]
    folder = commit.out / name.replace(" ", "_").replace(",", "")
    trace = folder.with_suffix(".jsonl")
    arguments = ["--work-dir", folder, "--seed", 0, "--trace", trace, "--cfg-options"]
    arguments += [f"train_set={data}", f"max_iters={iterations}"]
    arguments += [f"checkpoint_interval={iterations}", *SMALL, *_TINY, *options]
    where = [f"configs/{config}"] if ranks == 1 else [f"configs/{config}", ranks]
    launcher = ("bash", "tools/dist_train.sh") if ranks > 1 else ()
    commit.run("train", *where, *arguments, launcher=launcher)
    lines = trace.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    content = torch.load(folder / f"iter_{iterations}.pth", weights_only=True)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["iter"], rows[i]["rank"]))
    weights = {
        f"{part}.{k}": v
        for part in ("state_dict", "ema_state_dict")
        for k, v in content.get(part, {}).items()
    }
    return [json.dumps(rows[i], sort_keys=True) for i in order], weights


def compare_trainings(old: tuple[list[str], dict], new: tuple[list[str], dict]) -> str:
    """What differs between two trainings; empty where nothing does."""
    for i, (a, b) in enumerate(zip(old[0], new[0])):
        if a != b:
            return f"line {i + 1} of the traces differs: {a[:120]} / {b[:120]}"
    if len(old[0]) != len(new[0]):
        return f"{len(old[0])} and {len(new[0])} lines of trace"
    if old[1].keys() != new[1].keys():
        return f"weights: {sorted(old[1].keys() ^ new[1].keys())[:3]}"
    differing = [k for k in old[1] if not torch.equal(old[1][k], new[1][k])]
    return f"weights differ: {', '.join(differing[:3])}" if differing else ""


def scores(commit: Commit, holdout: Path) -> dict[str, float]:
    """PSNR and SSIM of the three shipped networks."""
    found = {}
    for scale, config in zip(SCALES, ("2c32b8_g1_24k", "3c32b8_g1_12k", "4c32b8_g1_12k")):
        out = commit.out / f"scores{scale}"
        weights = commit.tree / f"superres/weights/edsr-s_x{scale}.safetensors"
        commit.run("test", f"edsr-s_x{config}_291", weights, "--sets", holdout, "--out", out)
        for entry in json.loads((out / "results.json").read_text("utf-8"))["results"]:
            for metric in ("psnr", "ssim"):
                found[f"x{scale} {entry['protocol']} {metric}"] = entry[metric]
    return found


def images(commit: Commit, folder: Path) -> dict[str, np.ndarray]:
    """The results of one image of each kind, by torch in one plan of tiles."""
    out = commit.out / "images"
    options = ["--model", "edsr-s", "--scale", 2, "--backend", "torch", "--tile", 64, "-o", out]
    commit.run("upscale", folder, *options)
    read = {p.name: cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(out.iterdir())}
    return {name: image for name, image in read.items() if image is not None}


def compare_images(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> str:
    """What differs; one level in one of 100,000 samples is allowed."""
    if old.keys() != new.keys():
        return f"other files: {sorted(old.keys() ^ new.keys())}"
    faults = []
    for name, image in old.items():
        if image.shape != new[name].shape or image.dtype != new[name].dtype:
            faults.append(f"{name}: {image.shape} {image.dtype} / {new[name].shape}")
            continue
        difference = np.abs(image.astype(np.int64) - new[name])
        if difference.max() > 1 or (difference > 0).mean() > 1e-5:
            faults.append(
                f"{name}: {(difference > 0).mean():.2%} of samples, up to {difference.max()} levels"
            )
    return "; ".join(faults)


def same_speed(old: list[float], new: list[float]) -> bool:
    """Whether two commits' rounds overlap, or their medians lie closer than ``SEEN``."""
    overlap = min(old) <= max(new) and min(new) <= max(old)
    return overlap or 1 / SEEN <= median(new) / median(old) <= SEEN


def benchmark(commits: list[Commit], name: str, rounds: int) -> list[dict[str, Any]]:
    """Ratio NEW / OLD of each variant, the rounds of both, and whether no change is seen."""
    measured: list[dict[str, list[float]]] = [{} for _ in commits]
    for number in range(rounds):
        for commit, found in zip(commits, measured):
            file = commit.out / f"{name}{number}.json"
            commit.run("benchmark", name, "--json", file)
            for row in json.loads(file.read_text("utf-8"))["variants"]:
                found.setdefault(row["name"], []).append(row["median"])
    old, new = measured
    rows = []
    for variant in old.keys() & new.keys():
        if min(old[variant] + new[variant]) <= 0:
            continue
        a, b = old[variant], new[variant]
        row = {"benchmark": name, "variant": variant, "ratio": median(b) / median(a)}
        rows.append(
            {**row, "old": a, "new": b, "within": variant.startswith(PLAIN) or same_speed(a, b)}
        )
    return sorted(rows, key=lambda row: row["variant"])


def main(argv: list[str] | None = None) -> int:
    """Compare, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="of each benchmark and commit")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    parts = args.only.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}")
    sys.path.insert(0, str(ROOT))
    rows: list[dict[str, Any]] = []

    def note(what: str, fault: str) -> None:
        rows.append({"what": what, "equal": not fault, "fault": fault})
        print(f"{what:<28} {fault or 'equal'}", flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="yardstick-") as folder,
        contextlib.ExitStack() as stack,
    ):
        root = Path(folder)
        photographs(root / "photographs")
        kinds(root / "kinds")
        commits = []
        for name, given in (("old", args.old), ("new", args.new)):
            (root / name).mkdir()
            commits.append(stack.enter_context(checked_out(given, root / name)))
        if "traces" in parts:
            for training in TRAININGS:
                done = [
                    train(c, root / "photographs/train", training, args.iterations) for c in commits
                ]
                note(f"training: {training}", compare_trainings(*done))
        if "scores" in parts:
            old, new = (scores(c, root / "photographs/holdout") for c in commits)
            off = [k for k in old if k not in new or round(old[k], 6) != round(new[k], 6)]
            note("scores of edsr-s", f"differ: {', '.join(off)}" if off or not old else "")
        if "images" in parts:
            note("upscaled images", compare_images(*(images(c, root / "kinds") for c in commits)))
        speeds = []
        for name in BENCHMARKS if "benchmarks" in parts else ():
            for row in benchmark(commits, name, args.rounds):
                speeds.append(row)
                rounds = "  ".join(
                    f"{side} {min(row[side]):.4g}..{max(row[side]):.4g}" for side in ("old", "new")
                )
                verdict = "" if row["within"] else "  CHANGED"
                print(
                    f"{name + ': ' + row['variant']:<60} x {row['ratio']:.3f}  {rounds}{verdict}",
                    flush=True,
                )
    if args.json:
        result = {"schema": 1, "old": args.old, "new": args.new, "equal": rows, "speeds": speeds}
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return int(not all([*(r["equal"] for r in rows), *(s["within"] for s in speeds)]))


if __name__ == "__main__":
    sys.exit(main())
