"""What one GPU makes of the training step: checks and timings in stages, each with a time limit.

Where the network is, ``python tools/benchmarks/gpu.py bundle --photos DIR --to BUNDLE`` collects
what the machine with the GPU lacks: wheels and training photographs. There, with Python 3.12,
torch and scikit-image, and no network,

    python tools/benchmarks/gpu.py --wheels BUNDLE/wheels --photos BUNDLE/photos --out RESULTS

runs the stages ``pack ladder checks loop train``, or those that are named. Each writes
``RESULTS/STAGE.json`` after every check, so that whatever ends it, the results up to there stay.
Each check runs in a process of its own: one that dies or hangs costs only itself. ``--rehearse``
runs everything on a CPU, with small numbers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("pack", "ladder", "checks", "loop", "train")
WRONG = ("differs", "failed")
MB = 10**6
WHOLE_INPUT, PHOTOS = 60 * MB, 45 * MB  # of checkout, wheels and photographs; of these alone
NEEDED = """torch numpy cv2 PIL skimage yaml rich matplotlib safetensors jinja2 mmengine mmcv lmdb
    addict yapf termcolor platformdirs""".split()  # noqa: SIM905
WHEELS = ("mmengine", "mmcv-lite", "lmdb", "addict", "yapf", "termcolor", "platformdirs")
PLATFORMS = [*(f"manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17)), "manylinux2014_x86_64"]
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = made.add_argument
    add("stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)} (all) or bundle")
    add("--work", type=Path, help="for data and trainings (work_dirs/gpu)")
    add("--out", type=Path, help="for the results (WORK/out)")
    add("--photos", type=Path, action="append", default=[], help="folder; else scikit-image's")
    add("--wheels", type=Path, help="folder of wheels, installed where they are missing")
    add("--limit", type=float, default=240, help="seconds of a stage (%(default)s)")
    add("--minutes", type=float, default=4, help="of the stage train (%(default)s)")
    add("--resume-from", type=Path, help="results of a visit whose training goes on")
    add("--cfg-options", nargs="+", action="extend", default=[], help="for the stage train")
    add("--rehearse", action="store_true", help="on a CPU, with small numbers")
    add("--to", type=Path, help="what the stage bundle writes (WORK/bundle)")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the stages; returns 1 where a check failed, 2 for a mistake in the arguments."""
    args = parser().parse_args(argv)
    args.work = args.work or Path(f"work_dirs/gpu{'-rehearsal' * args.rehearse}")
    args.out = args.out or args.work / "out"
    stages = args.stages or [*STAGES]
    wrong = [f"no such stage: {s}" for s in stages if s not in (*STAGES, "bundle")]
    folders = (*args.photos, args.wheels, args.resume_from)
    wrong += [f"no such folder: {f}" for f in folders if f and not f.is_dir()]
    if not wrong and stages == ["bundle"]:
        bundle(args.to or args.work / "bundle", args.photos)
        return 0
    if not wrong:
        install(args.wheels, args.work / "site-packages")
        lacking = [module for module in NEEDED if not importlib.util.find_spec(module)]
        wrong = [f"not installed here: {', '.join(lacking)}; give --wheels"] if lacking else []
    if wrong:
        parser().error(wrong[0])
    from benchmarks._gpu_run import run_stage

    if not (args.work / "data" / "pack.json").is_file():
        stages = ["pack", *(s for s in stages if s != "pack")]
    args.out.mkdir(parents=True, exist_ok=True)
    if args.rehearse:
        shutil.rmtree(args.work / "train", ignore_errors=True)
    results = [(s, run_stage(s, args)) for s in stages]
    if args.rehearse and "train" in stages:
        print("-- a second visit: the training goes on from its resume file")
        shutil.rmtree(args.work / "train")
        args.resume_from = args.out
        results.append(("train", run_stage("train", args)))
    return summary(results)


def install(wheels: Path | None, target: Path) -> None:
    """Install the wheels of packages that are not here into a folder, and import from there."""
    path = [str(target.resolve()), str(ROOT)]
    sys.path[:0] = path
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}
    names = (d.metadata["Name"] or "" for d in importlib.metadata.distributions())
    found = {name.lower().replace("-", "_") for name in names}
    wheels = sorted(wheels.glob("*.whl")) if wheels else []
    wanted = [str(w) for w in wheels if w.name.split("-")[0].lower() not in found]
    if wanted:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--target", str(target), *wanted], check=True)
        importlib.invalidate_caches()
        print(f"installed {len(wanted)} wheels into {target}")


def summary(results: list[tuple[str, dict[str, Any]]]) -> int:
    """Print how many checks went how, and those that went wrong; returns the exit code."""
    found = [(c["outcome"], s, c) for s, record in results for c in record["checks"]]
    counts = Counter(outcome for outcome, *_ in found)
    print("\n" + ", ".join(f"{counts[word]} {word}" for word in ("ok", "skipped", *WRONG)))
    for outcome, stage, check in found:
        if outcome in WRONG:
            print(f"  {stage}: {check['name']}: {outcome}: {check['text']}")
    return int(any(counts[word] for word in WRONG))


def bundle(target: Path, folders: list[Path]) -> None:
    """Write ``target/wheels`` and ``target/photos``, with the checkout below the limit."""
    shutil.rmtree(target, ignore_errors=True)
    for folder in ("wheels", "photos"):
        (target / folder).mkdir(parents=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    files = [ROOT / name for name in tracked.stdout.decode().split("\0") if name]
    download(target / "wheels")
    files += (target / "wheels").iterdir()
    used = sum(file.stat().st_size for file in files if file.is_file())
    photos = [p for folder in folders or [None] for p in photographs(folder)]
    count, size = copy_all(photos, target / "photos", min(PHOTOS, WHOLE_INPUT - used))
    print(f"{target}: {count} of {len(photos)} photographs, {size / MB:.1f} MB; with checkout and "
          f"wheels {(used + size) / MB:.1f} MB")  # fmt: skip


def download(target: Path) -> None:
    """The wheels of WHEELS for Python 3.12 on x86-64 Linux, in the pinned versions."""
    pins = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    found = [re.search(rf"^{name}==.*$", pins, re.M)[0] for name in WHEELS]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.12",
               "--implementation", "cp", "--dest", str(target)]  # fmt: skip
    options += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *found], check=True)


def photographs(folder: Path | None) -> list[Path]:
    """The image files of a folder; without one, photographs inside scikit-image."""
    if folder is not None:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)
    inside = Path(importlib.util.find_spec("skimage").origin).parent / "data"
    names = ("astronaut.png", "motorcycle_left.png", "rocket.jpg", "hubble_deep_field.jpg")
    return [inside / name for name in names]


def copy_all(photos: list[Path], target: Path, room: int) -> tuple[int, int]:
    """Copy as many photographs as fit into ``room`` bytes; returns how many, and their bytes."""
    size = 0
    for number, path in enumerate(photos):
        if size + path.stat().st_size > room:
            return number, size
        size += path.stat().st_size
        shutil.copyfile(path, target / f"{number:04d}_{path.name}")
    return len(photos), size


if __name__ == "__main__":
    sys.path[0] = str(ROOT / "tools")  # not this folder, whose files have everyday names
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end what was started
    sys.exit(main())
