"""What one GPU makes of the training step: checks and timings in stages, each with a time limit.

    python tools/benchmarks/gpu.py --photos BUNDLE/photos --out RESULTS

runs the stages ``pack ladder checks loop train``, or those that are named, without a network.
docs/scaling.md says how to bring what the machine with the GPU lacks. Each stage writes
``RESULTS/STAGE.json`` after every check, so that whatever ends it, the results up to there stay.
Each check runs in a process of its own: one that dies or hangs costs only itself. ``--rehearse``
runs everything on a CPU, with small numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import numpy as np
import torch

from benchmarks._training import config_for, trainer_for
from benchmarks.harness import Row, Variant, measure, ratios, report, row
from maintain import ROOT, photographs
from superres.datasets.loader import train_loader
from superres.datasets.prepare.prepare_set import prepare
from superres.datasets.prepare.recipes import Options
from superres.datasets.sampler import IterationSampler
from superres.engine.run_log import RunLog
from superres.engine.test.evaluate import Evaluation
from superres.engine.test.subject import network
from superres.engine.train.speed import torch_settings
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.files import write_text

CONFIG = "edsr_x4c64b16_g1_300k_div2k"
SMALL = ["model.backbone.channels=8", "model.backbone.num_blocks=2", "lq_patch_size=12",
         "global_batch_size=4"]  # fmt: skip
PARTS = ("channels_last", "fused", "autotune", "tf32", "bf16", "compile", "cuda_graph")
OF_A_GPU = {"autotune", "tf32", "cuda_graph"}
TOLERANCE = 1e-3  # of losses, relative
LARGE = 1356 * 2040  # pixels of a usual image of DIV2K
VALIDATION = "validation, an image of DIV2K"
CACHED = "train_dataloader.dataset.cache=device"
WORKERS = f"num_workers={max(1, min(12, (os.cpu_count() or 3) - 2))}"
EAGER = "speed=dict(preset='off',fused=True)"
MAX = "speed=dict(preset='max',compile=False)"
# What a check gives: whether it is as it should be, and in words.
Found = tuple[bool, str]


class Rig:
    """What a check works with.

    Args:
        args: of the command line.
        path: the stage's results.
        ends: when the check must be over, as ``time.time()``.
    """

    def __init__(self, args: argparse.Namespace, path: Path, ends: float) -> None:
        self.args, self.path, self.ends = args, path, ends
        self.work, self.data = args.work, args.work / "data"

    @cached_property
    def device(self) -> torch.device:
        """Asked for by checks alone: a process that has used CUDA cannot be forked."""
        gpu = torch.cuda.is_available() and not self.args.rehearse
        return torch.device("cuda", 0) if gpu else torch.device("cpu")

    def add(self, *rows: Row, pairs: Iterable[tuple[str, str]] = (), **check: Any) -> None:
        """Print variants or a check, and add them to the stage's results on disk."""
        results = json.loads(self.path.read_text())
        if torch.cuda.is_initialized():
            results["device"] = torch.cuda.get_device_name(0)
        results["variants"] += rows
        results["ratios"] |= ratios(rows, *pairs)
        results["checks"] += [check] * bool(check)
        write_text(self.path, json.dumps(results, indent=1))
        for line in rows:
            print(f"           {line['name']:60} {line['median']:12.4g} {line['unit']}")
        if check:
            print(f"  {check['outcome']:8} {check['name']}: {check['text']}", flush=True)

    def make(self, name: str, work: Callable[[Rig], Found], needs_gpu: bool = False) -> None:
        """Make a check, in a process of its own, and add how it went."""
        os.setpgid(0, 0)  # so that what it starts can be ended with it
        self.name, started = name, time.perf_counter()
        if needs_gpu and self.device.type == "cpu":
            outcome, text = "skipped", "needs a CUDA device"
        else:
            try:
                fine, text = work(self)
                outcome = "ok" if fine else "differs"
            except Exception as error:
                outcome, text = "failed", f"{type(error).__name__}: {str(error).strip()[-300:]}"
        self.add(name=name, outcome=outcome, text=text, seconds=time.perf_counter() - started)

    def number(self, real: int, rehearsed: int) -> int:
        """A count, which is small in a rehearsal."""
        return rehearsed if self.args.rehearse else real

    def options(self, *options: str) -> list[str]:
        """``--cfg-options`` of a training of the packed photographs."""
        return [*(SMALL if self.args.rehearse else []), "num_workers=0", *options]

    def trainer(self, *options: str) -> Any:
        """A trainer of the published x4 network that saves nothing; what it says: ``log.lines``."""
        cfg = config_for(CONFIG, self.data, self.options(*options))
        log, lines = RunLog(rank=1), []
        log.lines, log.say = lines, lambda text, *_, **__: lines.append(text)
        return trainer_for(cfg, self.device, self.work, log)

    def train(self, config: str, name: str, *options: str) -> list[dict[str, Any]]:
        """The log of a training in a process of its own, which is ended when it is time.

        It lies in ``work/name``; the log is kept with the results.
        """
        own = [f"data_root={self.data}", "train_set=train", "test_sets=[]", "tensorboard=False"]
        program = [sys.executable, str(ROOT / "tools/train.py"), config, "--work-dir"]
        words = [str(self.work / name), "--cfg-options", *self.options(*own, *options)]
        with subprocess.Popen([*program, *words]) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.ends - time.time() - 20)  # enough to save
            process.terminate()
        if process.returncode not in (0, 128 + signal.SIGTERM):
            raise RuntimeError(f"exit code {process.returncode}")
        log = shutil.copyfile(self.work / name / "log.jsonl", self.args.out / f"{name}.jsonl")
        return [json.loads(line) for line in log.read_text().splitlines()]

    def batches(self, trainer: Any, count: int) -> list[dict[str, Any]]:
        """The first batches of a training, on the device."""
        dataset, size = trainer.train_dataset, trainer.cfg.global_batch_size
        sampler = IterationSampler(len(dataset), size, trainer.seed, stop=count)
        return [
            {k: v.clone().to(self.device) if torch.is_tensor(v) else v for k, v in batch.items()}
            for batch in train_loader(dataset, sampler)
        ]

    def losses(self, trainer: Any, batches: list[dict[str, Any]]) -> list[float]:
        """The losses of an update with each batch."""
        with torch_settings(trainer.fast, False, self.device):
            found = [trainer.step(b, i)["loss"] for i, b in enumerate(batches)]
        return [float(loss) for loss in found]


def worst(found: list[float], wanted: list[float]) -> float:
    """The largest relative difference."""
    return max(abs(f - w) / abs(w) for f, w in zip(found, wanted))


def pack(rig: Rig) -> Found:
    """Photographs to train and to validate with, as databases for x2 and x4."""
    photographs(rig.work / "photographs", "skimage")
    train = rig.args.photos or rig.work / "photographs/train"
    for name, folder in {"train": train, "valid": rig.work / "photographs/holdout"}.items():
        prepare("folder", Options(folder, rig.data, (2, 4), name=name, verify=False))
    return True, f"trained on {train}"


def ladder(rig: Rig, variants: list[tuple[str, ...]]) -> Found:
    """Losses of 8 updates of each variant beside eager float32's, and times of all in turn."""
    plain = rig.trainer("speed=dict(preset='off',tf32=False)")
    batches, timed, count = rig.batches(plain, 8), [], rig.number(50, 1)
    wanted = rig.losses(plain, batches)
    turns = [batches[i % len(batches)] for i in range(count)]

    def rung(name: str, parts: tuple[str, ...], rig: Rig) -> Found:
        chosen = ",".join(["preset='off'", *(f"{part}=True" for part in parts if part != "bf16")])
        half = "amp='bfloat16'" if "bf16" in parts else "amp=False"
        trainer = rig.trainer(f"speed=dict({chosen})", half)
        difference = worst(rig.losses(trainer, batches), wanted)
        if said := [line for line in trainer.log.lines if line.startswith("speed.")]:
            raise RuntimeError("; ".join(said))
        call = partial(rig.losses, trainer, turns)
        timed.append(Variant(name, call, count, "ms/iteration"))
        return difference <= TOLERANCE, f"losses within {difference:.1e} of eager float32"

    for parts in [(), *variants]:
        name = ", ".join(parts) or "off"
        rig.make(name, partial(rung, name, parts), bool(OF_A_GPU & {*parts}))
    rig.add(*measure(timed), pairs=[(timed[0].name, other.name) for other in timed[1:]])
    return True, f"{len(timed)} measured of {len(variants) + 1}"


def device_cache(rig: Rig) -> Found:
    """The cache's batches are those of the LMDB, bit for bit."""
    count, sources = rig.number(200, 20), []
    for name, cache in (("the cache on the device", "device"), ("the LMDB, one process", None)):
        trainer, started = rig.trainer(f"train_dataloader.dataset.cache={cache}"), time.time()
        sources.append(rig.batches(trainer, count))
        sources[-1][-1]["gt"].cpu()  # waits for the device
        rig.add(row(f"a batch from {name}", [(time.time() - started) / count * 1e3], "ms"))
    same = sum(
        a["meta"] == b["meta"] and all(torch.equal(a[k], b[k]) for k in ("inputs", "gt"))
        for a, b in zip(*sources)
    )
    return same == count, f"{same} of {count} equal to those of the LMDB"


def validation(rig: Rig) -> Found:
    """One validation: the scores of a CPU, and the time of an image as large as DIV2K's."""
    trainer, found = rig.trainer("val_sets=[valid]"), []
    scoring = Evaluation(trainer.eval_sets, ExtraMetrics([]))
    for device in (torch.device("cpu"), rig.device):
        method = network(trainer.module.to(device), device)
        scoring.score(method)  # algorithms, memory
        started = time.perf_counter()
        found.append(scoring.score(method).entries[0]["psnr"])
        elapsed = time.perf_counter() - started
    stores = [s.dataset.gt for s in trainer.eval_sets]
    pixels = sum(int(np.prod(g.shape_at(i)[:2])) for g in stores for i in range(len(g)))
    rig.add(row(VALIDATION, [elapsed / pixels * LARGE], "s"))
    difference = abs(found[1] - found[0])
    return difference < 1e-2, f"PSNR within {difference:.1e} dB of the CPU's"


def loop(rig: Rig, options: tuple[str, ...]) -> Found:
    """Rates of a training by the config, and what 300,000 iterations would take by them."""
    name, began = rig.name, time.time()
    count, every = rig.number(5000, 20), rig.number(250, 5)
    own = ["val_sets=[]", "checkpoint_interval=None", f"max_iters={count}", f"log_interval={every}"]
    log = rig.train(CONFIG, f"loop-{time.time_ns()}", *own, *options)
    logged = [x for x in log if x["mode"] == "train"]
    rate = row(name, [x["it_per_s"] for x in logged[1:] or logged], "it/s")
    start = logged[0]["time"] - began - logged[0]["iter"] / rate["median"]
    known = {v["name"]: v["median"] for v in json.loads(rig.path.read_text())["variants"]}
    minutes = (300_000 / rate["median"] + start + 60 * 100 * known.get(VALIDATION, 0)) / 60
    whole = row(f"{name}: 300,000 iterations, 60 validations on DIV2K", [minutes], "min")
    rig.add(rate, row(f"{name}: start", [start], "s"), whole)
    said = [x["text"] for x in log if x.get("text", "").startswith(("speed.", "warning"))]
    last = logged[-1]
    text = f"{last['iter']} iterations, loss {last['loss']:.4f}, {last['data_wait']:.1%} waiting"
    return not any("failed" in s for s in said), "; ".join([f"{text} for data", *said])


def train(rig: Rig) -> Found:
    """EDSR 16x64 x2 until the time is over; the best weights stay in the results."""
    every = rig.number(2000, 20)
    own = ["val_sets=[valid]", CACHED, MAX, "resume=True", "max_keep_checkpoints=1",
           f"val_interval={every}", f"checkpoint_interval={every}",
           f"log_interval={rig.number(250, 10)}",
           *["max_iters=40"] * rig.args.rehearse]  # fmt: skip
    log = rig.train("edsr-fast_x2c64b16_g1_60k_div2k", "train", *own)
    with contextlib.suppress(FileNotFoundError):  # nothing was validated
        shutil.copyfile(rig.work / "train/best.pth", rig.args.out / "best.pth")
    logged = [x for x in log if x["mode"] == "train"]
    scores = [(x["iter"], x["results"][0]["psnr"]) for x in log if x["mode"] == "val"]
    rig.add(row("training", [x["it_per_s"] for x in logged[1:] or logged], "it/s"))
    told = ", ".join(f"{psnr:.3f} dB at {i}" for i, psnr in scores[-3:]) or "not validated yet"
    return True, f"to iteration {logged[-1]['iter']}; {told}"


ALONE_AND_TOGETHER = [(p,) for p in PARTS[:5]] + [PARTS[:n] for n in range(2, 6)]
COMPILED = [("compile",), PARTS[:6], PARTS]
# The arguments of `Rig.make` for each check of a stage.
STAGES: dict[str, list[tuple]] = {
    "pack": [("pack", pack)],
    "ladder": [
        ("steps", partial(ladder, variants=ALONE_AND_TOGETHER)),
        ("compiled steps", partial(ladder, variants=COMPILED)),
    ],
    "checks": [("batches of the cache on the device", device_cache)],
    "loop": [
        ("validation", validation),
        ("max without compile, cache on the device", partial(loop, options=(MAX, CACHED))),
        (f"max without compile, {WORKERS}", partial(loop, options=(MAX, WORKERS))),
        ("auto, cache on the device", partial(loop, options=("speed='auto'", CACHED))),
        ("max, cache on the device", partial(loop, options=("speed='max'", CACHED)), True),
    ],
    "train": [("training", train)],
}  # fmt: skip


def run_stage(stage: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Make the checks of a stage within its time; returns how they went.

    Each runs in a fork of this process, which has imported everything and used no device: whatever
    a check does to its process or to CUDA's state, the next one begins afresh.
    """
    until, path, checks = time.time() + args.limit, args.out / f"{stage}.json", STAGES[stage]
    setup = {"config": CONFIG, "rehearsal": args.rehearse, "cpus": os.cpu_count()}
    empty = report(f"gpu {stage}", [], {}, None, setup) | {"checks": []}
    write_text(path, json.dumps(empty))
    print(f"== {stage}, at most {args.limit:.0f} s", flush=True)
    for check in checks:
        # One that hangs leaves time for those behind it.
        share = max(until - time.time(), 0) * (1 if check is checks[-1] else 0.6)
        rig = Rig(args, path, time.time() + share)
        process = multiprocessing.get_context("fork").Process(target=rig.make, args=check)
        process.start()
        try:
            process.join(share + 1)
        finally:  # whatever it has started ends with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        if code := process.exitcode:
            what = "did not end in time" if code == -signal.SIGKILL else f"ended with {code}"
            rig.add(name=check[0], outcome="failed", text=what)
    return json.loads(path.read_text())["checks"]


def main(argv: list[str] | None = None) -> int:
    """Run the stages; returns 1 where a check failed, 2 for a mistake in the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    option = parser.add_argument
    option("stages", nargs="*", default="all", choices=[*STAGES, "all"])
    option("--work", type=Path, help="for data and trainings (work_dirs/gpu)")
    option("--out", type=Path, help="for the results (WORK/out)")
    option("--photos", type=Path, help="training photographs; else scikit-image's")
    option("--limit", type=float, default=240, help="seconds of a stage (%(default)s)")
    option("--rehearse", action="store_true", help="on a CPU, with small numbers")
    args = parser.parse_args(argv)
    args.work = args.work or Path(f"work_dirs/gpu{'-rehearsal' * args.rehearse}")
    args.out = args.out or args.work / "out"
    if args.photos and not args.photos.is_dir():
        parser.error(f"no such folder: {args.photos}")
    os.environ |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}  # of what is started
    args.out.mkdir(parents=True, exist_ok=True)
    stages = dict.fromkeys(["pack", *(STAGES if "all" in args.stages else args.stages)])
    made = [check for stage in stages for check in run_stage(stage, args)]
    return int(any(check["outcome"] in ("differs", "failed") for check in made))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end what was started
    sys.exit(main())
