"""Whether two commits train, score and upscale alike, and how their speeds compare.

    python tools/maintain/yardstick.py OLD NEW [--only traces,scores,images,benchmarks]

Each commit is checked out into a worktree of its own and runs with an environment of its own: this
one where the requirements are equal, else one that the commit's ``tools/make_env.sh`` makes. With
seed 0, on the CPU, the traces and the last weights of four trainings must be equal, the scores of
the shipped networks to six decimals, and the pixels of one image of each kind but for one level in
one of 100,000 samples. Speeds are ratios of medians, the commits' rounds interleaved. A speed has
changed where the slowest round of one commit is faster than the fastest of the other and the
medians lie more than 5 % apart: a few rounds show no less.

Exit code 1 where something differs, a tool of a commit fails or a speed has changed; 2 where
nothing can be compared. What is not committed is not compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT
from superres.cli.main import exit_code
from superres.cli.quickstart import PHOTOGRAPHS
from superres.errors import UserError, some
from superres.imaging.photographs import photograph
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
    """One commit, checked out into ``root/tree``; its results go to ``root/out``.

    Args:
        name: OLD or NEW, and as given.
    """

    name: str
    root: Path
    python: str = sys.executable

    def __post_init__(self) -> None:
        self.tree, self.out = self.root / "tree", self.root / "out"
        self.out.mkdir(parents=True)

    def run(self, tool: str, *arguments: object, launcher: tuple[str, ...] = ()) -> None:
        """Run one of the commit's own tools.

        Raises:
            UserError: it failed; the end of its output is shown.
        """
        start = launcher or (self.python, f"tools/{tool}.py")
        path = f"{Path(self.python).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PYTHONPATH": str(self.tree), "PYTHON": self.python, "PATH": path}
        own |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        run_to_end(f"{self.name}: {tool}", [*start, *map(str, arguments)], self.tree, **own)


def run_to_end(label: str, command: list[str], folder: Path = ROOT, **env: str) -> str:
    """What a command printed.

    Raises:
        UserError: it failed; the end of its output is shown.
    """
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, text=True, capture_output=True
    )
    if done.returncode:
        end = (done.stdout + done.stderr)[-3000:].rstrip()
        raise UserError(f"{label} ended with {done.returncode}: {' '.join(command)}\n{end}")
    return done.stdout


@contextlib.contextmanager
def checked_out(side: str, name: str, root: Path) -> Iterator[Commit]:
    """A commit in a worktree below ``root``, removed afterwards.

    Raises:
        UserError: the repository has no such commit, or it needs what cannot be installed.
    """
    made, git = Commit(f"{side} {name}", root / side), ["git", "worktree"]
    try:
        run_to_end(made.name, [*git, "add", "--quiet", "--detach", str(made.tree), name])
        print(made.name, run_to_end("git", ["git", "rev-parse", "HEAD"], made.tree), end="")
        if requirements(made.tree) != requirements(ROOT):
            print(f"{made.name}: other requirements; making an environment", file=sys.stderr)
            make = ["bash", "-c", 'source tools/make_env.sh; superres_make_env "$PWD" tests']
            env = {"SUPERRES_VENV": f"{made.root}/venv", "SUPERRES_PYTHON": made.python}
            run_to_end(f"{made.name}: its environment", make, made.tree, **env)
            made.python = f"{made.root}/venv/bin/python"
        yield made
    finally:
        remove = [*git, "remove", "--force", str(made.tree)]
        subprocess.run(remove, cwd=ROOT, check=False, capture_output=True)


def requirements(tree: Path) -> list[str]:
    """What a checkout needs, to compare."""
    files = [tree / "requirements" / name for name in ("runtime.txt", "constraints.txt")]
    return [f.read_text(encoding="utf-8") for f in files if f.is_file()]


def photographs(folder: Path) -> None:
    """The quickstart's photographs as files: train/ and holdout/."""
    for package, inside, where in PHOTOGRAPHS:
        part = folder / ("holdout" if where == "holdout" else "train")
        part.mkdir(parents=True, exist_ok=True)
        shutil.copy(photograph(package, inside), part)


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


def train(commit: Commit, data: Path, name: str, iterations: int) -> dict[str, Any]:
    """A training's trace, a line per iteration and rank, and its last weights."""
    config, options, ranks = TRAININGS[name]
    folder = commit.out / name.replace(" ", "_").replace(",", "")
    trace = folder.with_suffix(".jsonl")
    arguments = ["--work-dir", folder, "--seed", 0, "--trace", trace, "--cfg-options"]
    arguments += [f"train_set={data}", f"max_iters={iterations}"]
    arguments += [f"checkpoint_interval={iterations}", *SMALL, *options]
    where = [f"configs/{config}", *([ranks] if ranks > 1 else [])]
    launcher = ("bash", "tools/dist_train.sh") if ranks > 1 else ()
    commit.run("train", *where, *arguments, launcher=launcher)
    rows = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] = {f"iteration {r['iter']} of rank {r['rank']}": r for r in rows}
    content = torch.load(folder / f"iter_{iterations}.pth", weights_only=True)
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


def images(commit: Commit, folder: Path) -> dict[str, np.ndarray]:
    """The results of one image of each kind, by torch in one plan of tiles."""
    out = commit.out / "images"
    options = ["--model", "edsr-s", "--scale", 2, "--backend", "torch", "--tile", 64, "-o", out]
    commit.run("upscale", folder, *options)
    read = {p.name: cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(out.iterdir())}
    if len(read) != len(list(folder.iterdir())) or any(v is None for v in read.values()):
        raise UserError(f"{commit.name}: not every image became a readable one: {sorted(read)}")
    return read


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


def speeds(commits: list[Commit], name: str, rounds: int) -> Iterator[tuple[str, str]]:
    """For each variant of a benchmark its ratio NEW / OLD, and in words if it has changed."""
    measured: list[dict[str, list[float]]] = [{} for _ in commits]
    for number in range(rounds):
        for commit, found in zip(commits, measured):
            file = commit.out / f"{name}{number}.json"
            commit.run("benchmark", name, "--json", file)
            for row in json.loads(file.read_text("utf-8"))["variants"]:
                found.setdefault(row["name"], []).append(row["median"])
    old, new = measured
    for variant in sorted(old | new):
        a, b = old.get(variant), new.get(variant)
        if not (a and b):
            yield f"{name}: {variant}", "in one commit only"
        elif min(a + b) > 0:
            ratio = f"{name}: {variant} x {median(b) / median(a):.3f}"
            changed = not (variant.startswith(PLAIN) or same_speed(a, b))
            yield ratio, f"rounds {sorted(a)} / {sorted(b)}" if changed else ""


def comparisons(
    commits: list[Commit], root: Path, args: argparse.Namespace
) -> Iterator[tuple[str, str]]:
    """What is compared, and what differs; empty where nothing does."""

    def both(measure: Callable[..., dict[str, Any]], *arguments: object) -> str:
        try:
            return compare(*(measure(commit, *arguments) for commit in commits))
        except UserError as error:
            return str(error)
        except (OSError, LookupError) as error:  # a file that a tool no longer writes so
            return repr(error)

    data, holdout = root / "photographs/train", root / "photographs/holdout"
    for name in TRAININGS if "traces" in args.only else ():
        yield f"training: {name}", both(train, data, name, args.iterations)
    if "scores" in args.only:
        yield "scores of edsr-s", both(scores, holdout)
    if "images" in args.only:
        yield "upscaled images", both(images, root / "kinds")
    for name in BENCHMARKS if "benchmarks" in args.only else ():
        try:
            yield from speeds(commits, name, args.rounds)
        except UserError as error:
            yield f"benchmark {name}", str(error)


def main(argv: list[str] | None = None) -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--iterations", type=whole(1), default=200)
    parser.add_argument("--rounds", type=whole(1), default=3, help="of each benchmark and commit")
    args = parser.parse_args(argv)
    args.only = args.only.split(",")
    if not set(args.only) <= set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}")
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode:
        print(f"note: changes in {ROOT} that are not committed are not compared", file=sys.stderr)
    folder = tempfile.TemporaryDirectory(prefix="yardstick-")
    with folder as name, contextlib.ExitStack() as stack:
        root, differing = Path(name).resolve(), 0
        sides = {"OLD": args.old, "NEW": args.new}.items()
        commits = [stack.enter_context(checked_out(side, name, root)) for side, name in sides]
        photographs(root / "photographs")
        kinds(root / "kinds")
        for what, fault in comparisons(commits, root, args):
            print(f"{what:<28} {fault or 'equal'}", flush=True)
            differing += bool(fault)
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(exit_code(main))
