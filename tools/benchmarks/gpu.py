"""What one GPU makes of the training step: checks and timings in stages, each with a time limit.

Where the network is, ``python tools/benchmarks/gpu.py bundle --photos DIR --to BUNDLE`` collects
what the machine with the GPU lacks: wheels and training photographs. There, with Python 3.12,
torch and scikit-image, and no network,

    python tools/benchmarks/gpu.py --wheels BUNDLE/wheels --photos BUNDLE/photos --out RESULTS

runs the stages ``pack ladder checks loop train``, or those that are named. Each writes
``RESULTS/STAGE.json`` after every check, so that whatever ends it, the results up to there stay. A
stage runs in a process of its own; where a check kills that process or hangs, another process
goes on with the next check. ``--rehearse`` runs everything on a CPU, with small numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("pack", "ladder", "checks", "loop", "train")
MB = 10**6
WHOLE_INPUT = 60 * MB  # checkout, wheels, photographs, and the training to go on with
RESUME_ROOM = 24 * MB
LEAST = 216  # pixels of a side that are kept: patches have 192
NEEDED = """torch numpy cv2 PIL skimage yaml rich matplotlib safetensors jinja2 mmengine mmcv lmdb
    addict yapf termcolor platformdirs""".split()  # noqa: SIM905
WHEELS = ("mmengine", "mmcv-lite", "lmdb", "addict", "yapf", "termcolor", "platformdirs")
PLATFORMS = [*(f"manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17)), "manylinux2014_x86_64"]
JPEG, LOSSLESS = (".jpg", ".jpeg"), (".png", ".bmp", ".tif", ".tiff", ".webp")


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
    add("--megabytes", type=float, default=45, help="of photographs in the bundle (%(default)s)")
    add("--visits", type=int, default=1, help="from 2 on a bundle leaves room for a resume file")
    add("--child", choices=STAGES, help=argparse.SUPPRESS)
    add("--until", type=float, help=argparse.SUPPRESS)
    add("--results", type=Path, help=argparse.SUPPRESS)
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the stages; gives 1 where a check failed, 2 for a mistake in the arguments."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    args.work = args.work or Path(f"work_dirs/gpu{'-rehearsal' * args.rehearse}")
    args.out, args.to = args.out or args.work / "out", args.to or args.work / "bundle"
    if args.child:
        from benchmarks._gpu_run import run_stage

        return run_stage(args)
    stages = args.stages or [*["bundle"] * args.rehearse, *STAGES]
    wrong = [f"no such stage: {s}" for s in stages if s not in (*STAGES, "bundle")]
    folders = (*args.photos, args.wheels, args.resume_from)
    wrong += [f"no such folder: {f}" for f in folders if f and not f.is_dir()]
    if not wrong and "bundle" in stages:
        bundle(args)
        argv = [*argv, "--photos", str(args.to / "photos")]
    stages = [s for s in stages if s != "bundle"]
    if not wrong and stages:
        path = install(args.wheels, args.work / "site-packages")
        lacking = [module for module in NEEDED if not importlib.util.find_spec(module)]
        wrong = [f"not installed here: {', '.join(lacking)}; give --wheels"] if lacking else []
    if wrong:
        parser().error(wrong[0])
    if not stages:
        return 0
    if not (args.work / "data" / "pack.json").is_file():
        stages = ["pack", *(s for s in stages if s != "pack")]
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}
    if args.rehearse:
        shutil.rmtree(args.work / "train", ignore_errors=True)
    results = [(s, supervise(s, argv, args)) for s in stages]
    if args.rehearse and "train" in stages:
        print("-- a second visit: the training goes on from its resume file")
        shutil.rmtree(args.work / "train")
        argv = [*argv, "--resume-from", str(args.out)]
        results.append(("train", supervise("train", argv, args)))
    return summary(results)


def install(wheels: Path | None, target: Path) -> list[str]:
    """Install the wheels of packages that are not here into a folder; gives the import path."""
    path = [str(target.resolve()), str(ROOT)]
    sys.path[:0] = path
    names = (d.metadata["Name"] or "" for d in importlib.metadata.distributions())
    found = {name.lower().replace("-", "_") for name in names}
    wheels = sorted(wheels.glob("*.whl")) if wheels else []
    wanted = [str(w) for w in wheels if w.name.split("-")[0].lower() not in found]
    if wanted:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--target", str(target), *wanted], check=True)
        importlib.invalidate_caches()
        print(f"installed {len(wanted)} wheels into {target}")
    return path


def supervise(stage: str, argv: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Run a stage to its end or to its time limit; gives its results.

    A process that ends before all checks are through is followed by another, which goes on with
    the check after the one that ended it.
    """
    limit = args.minutes * 60 if stage == "train" else args.limit
    until = time.time() + limit
    # Results are the files that somebody takes along: what packing said is not among them.
    results = (args.work if stage == "pack" else args.out) / f"{stage}.json"
    record: dict[str, Any] = {"checks": []}
    results.unlink(missing_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"== {stage}, at most {limit:.0f} s", flush=True)
    command = [sys.executable, str(Path(__file__).resolve()), *argv, "--child", stage]
    command += ["--results", str(results), "--until", str(until)]
    while True:
        before, code = len(record["checks"]), None
        process = subprocess.Popen(command, start_new_session=True)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(max(until - time.time(), 0) + 15)
        finally:  # whatever it has started ends with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if results.is_file():
            record = json.loads(results.read_text(encoding="utf-8"))
        running = record.pop("running", None)
        if running or not record["checks"]:
            name, ends = running or ("start", until)
            late = time.time() > ends
            text = "it did not end in time" if late else f"its process ended with {code}"
            record["checks"].append({"name": name, "outcome": "failed", "text": text})
            print(f"  failed   {name}: {text}", flush=True)
            results.write_text(json.dumps(record, indent=1), encoding="utf-8")
        if code == 0 or len(record["checks"]) == before or time.time() > until:
            return record


def summary(results: list[tuple[str, dict[str, Any]]]) -> int:
    """Print how many checks went how, and those that went wrong; gives the exit code."""
    found = [(stage, check) for stage, record in results for check in record["checks"]]
    outcomes = [check["outcome"] for _, check in found]
    words = ("ok", "skipped", "differs", "failed")
    print("\n" + ", ".join(f"{outcomes.count(word)} {word}" for word in words))
    wrong = [(s, c) for s, c in found if c["outcome"] in ("differs", "failed")]
    for stage, check in wrong:
        print(f"  {stage}: {check['name']}: {check['outcome']}: {check['text']}")
    return int(bool(wrong))


def bundle(args: argparse.Namespace) -> None:
    """Write ``TO/wheels``, ``TO/photos`` and ``TO/bundle.json``, together below the limit."""
    for folder in ("wheels", "photos"):
        shutil.rmtree(args.to / folder, ignore_errors=True)
        (args.to / folder).mkdir(parents=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    files = [ROOT / name for name in tracked.stdout.decode().split("\0") if name]
    if args.rehearse:
        print("== bundle: its wheels need a network; left out of the rehearsal")
    else:
        download(args.to / "wheels")
    sizes = {"checkout": sum(f.stat().st_size for f in files if f.is_file()),
             "wheels": sum(f.stat().st_size for f in (args.to / "wheels").iterdir()),
             "room for a resume file": RESUME_ROOM * (args.visits > 1)}  # fmt: skip
    room = int(min(args.megabytes * MB, WHOLE_INPUT - sum(sizes.values())))
    sources = [p for folder in args.photos or [None] for p in photographs(folder)]
    side, sizes["photos"] = encode_all(sources, args.to / "photos", room)
    facts = {
        "photos": len(sources),
        "side kept": side,
        "bytes": sizes,
        "whole": sum(sizes.values()),
    }
    (args.to / "bundle.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    told = ", ".join(f"{name} {size / MB:.1f} MB" for name, size in sizes.items())
    print(f"== bundle {args.to}: {len(sources)} photographs, lossless ones cut to {side:.0%} of "
          f"their sides; {told}; together {facts['whole'] / MB:.1f} MB")  # fmt: skip


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
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in LOSSLESS + JPEG)
    inside = Path(importlib.util.find_spec("skimage").origin).parent / "data"
    names = ("astronaut.png", "motorcycle_left.png", "rocket.jpg", "hubble_deep_field.jpg")
    return [inside / name for name in names]


def encode_all(sources: list[Path], target: Path, room: int) -> tuple[float, int]:
    """Write photographs in ``room`` bytes: JPEG files as they are, others as lossless WebP.

    Where they do not fit, the lossless ones are cut to their middle; gives the share of their
    sides that is kept, and the bytes of all.
    """
    from PIL import Image

    def encode(path: Path) -> bytes:
        if path.suffix.lower() in JPEG:
            return path.read_bytes()
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        width, height = (max(int(n * side), min(n, LEAST)) // 12 * 12 for n in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        buffer, part = io.BytesIO(), image.crop((left, top, left + width, top + height))
        part.save(buffer, "WEBP", lossless=True, method=4)
        return buffer.getvalue()

    side = 1.0
    jpeg = sum(p.stat().st_size for p in sources if p.suffix.lower() in JPEG)
    while True:
        with ThreadPoolExecutor() as pool:
            encoded = list(pool.map(encode, sources))
        if (size := sum(map(len, encoded))) <= room:
            break
        if jpeg > room or side < 0.2:
            sys.exit(f"error: {len(sources)} photographs do not fit into {room / MB:.1f} MB")
        side *= 0.99 * ((room - jpeg) / (size - jpeg)) ** 0.5
    for number, (path, data) in enumerate(zip(sources, encoded)):
        suffix = path.suffix.lower() if path.suffix.lower() in JPEG else ".webp"
        (target / f"{number:04d}_{path.stem}{suffix}").write_bytes(data)
    return side, size


if __name__ == "__main__":
    sys.path[0] = str(ROOT / "tools")  # not this folder, whose files have everyday names
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end what was started
    sys.exit(main())
