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
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from superres.cli.main import exit_code
from superres.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("traces", "scores", "images", "benchmarks")
SCALES = (2, 3, 4)
SEEN = 1.05  # medians closer than this are equal: machines drift by as much from minute to minute
# Variants without a line of superres: where they change, the machine did; they are shown only.
PLAIN = ("cv2", "python", "crop copy", "whole PNG", "480x480", "PSNR-Y plain", "SSIM-Y plain")
PLAIN += ("import torch",)

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
        name: OLD or NEW, and as given.
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
            UserError: it failed; the end of its output is shown.
        """
        words = [str(a) for a in arguments]
        for newer, spelt, older in SPELLINGS:
            if not (self.tree / newer).exists():
                words = [older if word == spelt else word for word in words]
        start = launcher or (self.python, f"tools/{tool}.py")
        path = f"{Path(self.python).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PYTHONPATH": str(self.tree), "PYTHON": self.python, "PATH": path}
        own |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return run_to_end(f"{self.name}: {tool}", [*start, *words], self.tree, own)


def run_to_end(label: str, command: list[str], folder: Path, env: dict[str, str]) -> str:
    """What a command printed.

    It has a session of its own: Ctrl-C reaches it once, as a SIGTERM that it has time to heed.
    torchrun, killed or told twice, would leave its ranks behind.

    Raises:
        UserError: it failed; the end of its output is shown.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **env}, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
    ) as process:  # fmt: skip
        try:
            printed, told = process.communicate()
        except BaseException:
            process.terminate()
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    if process.returncode:
        end = (printed + told)[-3000:]
        raise UserError(
            f"{label} ended with {process.returncode}: {' '.join(command)}\n{end}".rstrip()
        )
    return printed


def commit_hash(name: str) -> str:
    """The commit that a name stands for.

    Raises:
        UserError: there is none.
    """
    git = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--end-of-options"]
    done = subprocess.run([*git, f"{name}^{{commit}}"], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{name}: {ROOT} has no such commit; name a branch, a tag or a hash")
    return done.stdout.strip()


@contextlib.contextmanager
def checked_out(name: str, commit: str, root: Path) -> Iterator[Commit]:
    """A commit in a worktree below ``root``, removed afterwards."""
    tree, out, python = root / "tree", root / "out", sys.executable
    out.mkdir(parents=True)
    git = ["git", "worktree"]
    try:
        run_to_end(name, [*git, "add", "--quiet", "--detach", str(tree), commit], ROOT, {})
        if requirements(tree) != requirements(ROOT):
            print(f"{name}: other requirements; making an environment", file=sys.stderr)
            make = 'source tools/make_env.sh; superres_make_env "$PWD" tests'
            env = {"SUPERRES_VENV": str(root / "venv"), "SUPERRES_PYTHON": python}
            run_to_end(f"{name}: its environment", ["bash", "-c", make], tree, env)
            python = str(root / "venv/bin/python")
        made = Commit(name, tree, python, out)
        where = made.run("", "-c", "import superres; print(superres.__file__)", launcher=(python,))
        if not where.startswith(str(tree)):
            raise UserError(f"{name}: the environment imports {where.strip()}, not {tree}")
        yield made
    finally:
        remove = [*git, "remove", "--force", str(tree)]
        subprocess.run(remove, cwd=ROOT, check=False, capture_output=True)


def requirements(tree: Path) -> str:
    """What a checkout needs, to compare."""
    files = [tree / "requirements" / name for name in ("runtime.txt", "constraints.txt")]
    return "".join(f"{f.name}\n{f.read_text(encoding='utf-8')}" for f in files if f.is_file())


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
    if not all((*old, *new)):
        return "a trace or the weights are empty"
    for i, (a, b) in enumerate(zip(old[0], new[0])):
        if a != b:
            return f"line {i + 1} of the traces differs: {a[:120]} / {b[:120]}"
    if len(old[0]) != len(new[0]):
        return f"{len(old[0])} and {len(new[0])} lines of trace"
    if old[1].keys() != new[1].keys():
        return f"weights: {sorted(old[1].keys() ^ new[1].keys())[:3]}"
    differing = [
        k for k, v in old[1].items() if v.dtype != new[1][k].dtype or not torch.equal(v, new[1][k])
    ]
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


def compare_scores(old: dict[str, float], new: dict[str, float]) -> str:
    """What differs in the sixth decimal or before."""
    if not old or old.keys() != new.keys():
        return f"other scores: {sorted(old.keys() ^ new.keys())}"
    off = [k for k in old if round(old[k], 6) != round(new[k], 6)]
    return "; ".join(f"{k} {old[k]:.6f} / {new[k]:.6f}" for k in off)


def images(commit: Commit, folder: Path) -> dict[str, np.ndarray]:
    """The results of one image of each kind, by torch in one plan of tiles."""
    out = commit.out / "images"
    options = ["--model", "edsr-s", "--scale", 2, "--backend", "torch", "--tile", 64, "-o", out]
    commit.run("upscale", folder, *options)
    read = {p.name: cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(out.iterdir())}
    if len(read) != len(list(folder.iterdir())) or any(v is None for v in read.values()):
        raise UserError(f"{commit.name}: not every image became a readable one: {sorted(read)}")
    return read


def compare_images(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> str:
    """What differs; one level in one of 100,000 samples is allowed."""
    if old.keys() != new.keys():
        return f"other files: {sorted(old.keys() ^ new.keys())}"
    faults = []
    for name, image in old.items():
        if image.shape != new[name].shape or image.dtype != new[name].dtype:
            other = new[name]
            faults.append(f"{name}: {image.shape} {image.dtype} / {other.shape} {other.dtype}")
            continue
        difference = np.abs(image.astype(np.int64) - new[name])
        if difference.max() > 1 or (difference > 0).mean() > 1e-5:
            count = np.count_nonzero(difference)
            faults.append(
                f"{name}: {count} of {image.size} samples, up to {difference.max()} levels"
            )
    return "; ".join(faults)


def same_speed(old: list[float], new: list[float]) -> bool:
    """Whether two commits' rounds overlap, or their medians lie closer than ``SEEN``."""
    overlap = min(old) <= max(new) and min(new) <= max(old)
    return overlap or 1 / SEEN <= median(new) / median(old) <= SEEN


def benchmark(
    commits: list[Commit], name: str, rounds: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Ratio NEW / OLD of each variant, the rounds of both, and whether no change is seen.

    Also the variants that only one of the commits has.
    """
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
    return sorted(rows, key=lambda row: row["variant"]), sorted(old.keys() ^ new.keys())


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
    if min(args.iterations, args.rounds) < 1:
        parser.error("--iterations and --rounds are at least 1")
    if args.json and (args.json.is_dir() or not os.access(args.json.absolute().parent, os.W_OK)):
        raise UserError(f"--json: {args.json} cannot be written; give a file in an existing folder")
    given = {"OLD": args.old, "NEW": args.new}
    hashes = {side: commit_hash(name) for side, name in given.items()}
    for side, name in given.items():
        print(f"{side} {name}: {hashes[side]}", flush=True)
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode:
        print(f"note: changes in {ROOT} that are not committed are not compared", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    speeds: list[dict[str, Any]] = []

    def note(what: str, compare: Callable[[], str]) -> None:
        try:
            fault = compare()
        except UserError as error:
            fault = str(error)
        except (OSError, LookupError) as error:  # a file that a tool no longer writes so
            fault = repr(error)
        rows.append({"what": what, "equal": not fault, "fault": fault})
        print(f"{what:<28} {fault or 'equal'}", flush=True)

    def show_speeds(name: str) -> str:
        found, odd = benchmark(commits, name, args.rounds)
        for row in found:
            speeds.append(row)
            rounds = "  ".join(
                f"{side} {min(row[side]):.4g}..{max(row[side]):.4g}" for side in ("old", "new")
            )
            verdict = "" if row["within"] else "  CHANGED"
            print(
                f"{name + ': ' + row['variant']:<60} x {row['ratio']:.3f}  {rounds}{verdict}",
                flush=True,
            )
        return f"in one commit only: {', '.join(odd)}" if odd else ""

    with (
        tempfile.TemporaryDirectory(prefix="yardstick-") as folder,
        contextlib.ExitStack() as stack,
    ):
        root = Path(folder).resolve()
        photographs(root / "photographs")
        kinds(root / "kinds")
        commits = [
            stack.enter_context(checked_out(f"{side} {name}", hashes[side], root / side))
            for side, name in given.items()
        ]

        def each(measure: Callable[..., Any], *arguments: object) -> list[Any]:
            return [measure(commit, *arguments) for commit in commits]

        data, holdout = root / "photographs/train", root / "photographs/holdout"
        for name in TRAININGS if "traces" in parts else ():
            pair = partial(each, train, data, name, args.iterations)
            note(f"training: {name}", lambda pair=pair: compare_trainings(*pair()))
        if "scores" in parts:
            note("scores of edsr-s", lambda: compare_scores(*each(scores, holdout)))
        if "images" in parts:
            note("upscaled images", lambda: compare_images(*each(images, root / "kinds")))
        for name in BENCHMARKS if "benchmarks" in parts else ():
            note(f"variants of {name}", partial(show_speeds, name))
    if args.json:
        result = {"schema": 1, **{k.lower(): v for k, v in hashes.items()}}
        args.json.write_text(
            json.dumps({**result, "equal": rows, "speeds": speeds}, indent=2) + "\n"
        )
    return int(not all([*(r["equal"] for r in rows), *(s["within"] for s in speeds)]))


if __name__ == "__main__":
    sys.exit(exit_code(main))
