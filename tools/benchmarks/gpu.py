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
import copy
import functools
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import numpy as np
import torch

from benchmarks._training import config_for, trainer_for
from benchmarks.harness import Row, Variant, measure, ratios, report, row
from maintain import ROOT
from superres.datasets.loader import train_loader
from superres.datasets.prepare.plan import Options
from superres.datasets.prepare.prepare_set import prepare
from superres.datasets.sampler import IterationSampler
from superres.engine.run_log import RunLog
from superres.engine.test.evaluate import Evaluation
from superres.engine.test.subject import network
from superres.engine.train.speed.options import torch_settings
from superres.engine.train.trainer import Trainer
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.files import write_text
from superres.imaging.photographs import photograph

CONFIG = "edsr_x4c64b16_g1_300k_div2k"
TRAINING = "edsr-fast_x2c64b16_g1_60k_div2k"
SMALL = ["model.backbone.channels=8", "model.backbone.num_blocks=2", "lq_patch_size=12",
         "global_batch_size=4"]  # fmt: skip
PARTS = ("channels_last", "fused", "autotune", "tf32", "bf16", "cuda_graph", "compile")
OF_A_GPU = {"autotune", "tf32", "cuda_graph"}
TOLERANCE = 1e-3  # of losses, relative
EQUAL = 1e-5  # of weights, where sums were made in another order
LARGE = 1356 * 2040  # pixels of a usual image of DIV2K
PHOTOGRAPHS = {
    "train": ("astronaut.png", "motorcycle_left.png", "rocket.jpg", "hubble_deep_field.jpg"),
    "valid": ("coffee.png", "chelsea.png"),
}
VALIDATION = "validation, an image of DIV2K"
CACHED = "train_dataloader.dataset.cache=device"
EAGER = "speed=dict(preset='off',fused=True)"
GRAPH = "speed=dict(preset='off',fused=True,cuda_graph=True)"
MAX = "speed=dict(preset='max',compile=False)"
WRONG = ("differs", "failed")
Found = tuple[bool, str, dict[str, Any]]
"""What a check gives: whether it is as it should be, in words, in numbers."""


class Check(NamedTuple):
    """Something that is measured or compared, in a process of its own."""

    name: str
    work: Callable[[Rig], Found]
    needs_gpu: bool = False


class Lines(RunLog):
    """Keeps what a training says, and prints nothing."""

    def __init__(self) -> None:
        super().__init__(rank=1)
        self.lines: list[str] = []

    def say(self, text: str, *_: Any) -> None:
        """Keep a line."""
        self.lines.append(text)


class Rig:
    """What a check works with; and its stage's results, which are written after every change.

    Args:
        args: of the command line.
        path: the stage's results.
        ends: when the check must be over.
    """

    def __init__(self, args: argparse.Namespace, path: Path, ends: float) -> None:
        self.args, self.path, self.ends = args, path, ends
        self.work, self.data = args.work, args.work / "data"
        self.gpu = torch.cuda.is_available() and not args.rehearse
        self.device = torch.device("cuda", 0) if self.gpu else torch.device("cpu")
        self.results = json.loads(path.read_text())
        if self.gpu:
            self.results["device"] = torch.cuda.get_device_name(0)

    def rows(self, *rows: Row, pairs: Iterable[tuple[str, str]] = ()) -> None:
        """Add variants, and ratios of pairs of them, to the results, and print them."""
        for line in rows:
            print(f"           {line['name']:60} {line['median']:12.4g} {line['unit']}")
        self.results["variants"] += rows
        self.results["ratios"] |= ratios(rows, *pairs)
        write_text(self.path, json.dumps(self.results, indent=1))

    def make(self, check: Check) -> None:
        """Make a check, add how it went to the results, and print it."""
        started, values = time.perf_counter(), {}
        if check.needs_gpu and not self.gpu:
            outcome, text = "skipped", "needs a CUDA device"
        elif self.left() < 20:
            outcome, text = "skipped", "the stage's time is over"
        else:
            try:
                fine, text, values = check.work(self)
                outcome = "ok" if fine else "differs"
            except Exception as error:
                outcome, text = "failed", last_line(error)
            values = {"seconds": time.perf_counter() - started, **values}
        add(self.path, self.results, check.name, outcome, text, **values)

    def left(self) -> float:
        """Seconds that the check under way still has."""
        return self.ends - time.time()

    def number(self, real: int, rehearsed: int) -> int:
        """A count, which is small in a rehearsal."""
        return rehearsed if self.args.rehearse else real

    def options(self, *options: str) -> list[str]:
        """``--cfg-options`` of a training of the packed photographs."""
        return [*(SMALL if self.args.rehearse else []), "num_workers=0", *options]

    def trainer(self, *options: str) -> Trainer:
        """A trainer of the published x4 network that saves and prints nothing."""
        cfg = config_for(CONFIG, self.data, self.options(*options))
        return trainer_for(cfg, self.device, self.work, Lines())

    def command(self, config: str, folder: Path, *options: str) -> list[str]:
        """A training of the packed photographs in a process of its own."""
        own = [f"data_root={self.data}", "train_set=train", "test_sets=[]", "tensorboard=False"]
        program = [sys.executable, str(ROOT / "tools/train.py"), config, "--work-dir", str(folder)]
        return [*program, "--cfg-options", *self.options(*own, *options)]

    def train(self, config: str, folder: Path, *options: str) -> list[dict[str, Any]]:
        """The log of such a training, which is ended when it is time."""
        with subprocess.Popen(self.command(config, folder, *options)) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.left() - 20)  # enough to save
            process.terminate()
        if process.returncode not in (0, 128 + signal.SIGTERM):
            raise RuntimeError(f"exit code {process.returncode}")
        return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]

    def loader(self, trainer: Trainer, count: int) -> Any:
        """The first batches of a training, from where its dataset makes them."""
        dataset, size = trainer.train_dataset, trainer.cfg.global_batch_size
        skip = dataset.too_small()
        sampler = IterationSampler(len(dataset), size, trainer.seed, stop=count, skip=skip)
        return train_loader(dataset, sampler)

    def batches(self, trainer: Trainer, count: int) -> list[dict[str, Any]]:
        """The same on the device."""
        return [
            {k: v.clone().to(self.device) if torch.is_tensor(v) else v for k, v in batch.items()}
            for batch in self.loader(trainer, count)
        ]

    def losses(self, trainer: Trainer, batches: list[dict[str, Any]]) -> list[float]:
        """The losses of an update with each batch."""
        with torch_settings(trainer.fast, False, self.device):
            found = [trainer.step(b, i)["loss"] for i, b in enumerate(batches)]
        return [float(loss) for loss in found]

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.gpu:
            torch.cuda.synchronize()


def add(path: Path, results: dict, name: str, outcome: str, text: str, **values: Any) -> None:
    """Add a check that was made to a stage's results, write them, and print it."""
    print(f"  {outcome:8} {name}: {text}", flush=True)
    results["checks"].append({"name": name, "outcome": outcome, "text": text, **values})
    write_text(path, json.dumps(results, indent=1))


def last_line(error: Exception) -> str:
    """The last line of an error's traceback."""
    return f"{type(error).__name__}: {([*str(error).strip().splitlines()] or [''])[-1][:300]}"


def worst(found: list[float], wanted: list[float]) -> float:
    """The largest relative difference."""
    return max(abs(f - w) / abs(w) for f, w in zip(found, wanted))


def pack(rig: Rig) -> Found:
    """The training photographs and two to validate with, as databases for x2 and x4."""
    packed = []
    for name, files in PHOTOGRAPHS.items():
        folder = rig.work / "photographs" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(photograph("skimage", f"data/{file}"), folder)
        if name == "train" and rig.args.photos:
            folder = rig.args.photos
        prepare("folder", Options(folder, rig.data, (2, 4), name=name, verify=False))
        packed.append(f"{name}: photographs of {folder}")
    return True, "; ".join(packed), {}


def ladder(rig: Rig, group: str, variants: list[tuple[str, ...]]) -> Found:
    """Losses of 8 updates of each variant beside eager float32's, and times of all in turn."""
    plain = rig.trainer("speed=dict(preset='off',tf32=False)")
    batches, timed = rig.batches(plain, 8), []
    wanted, count = rig.losses(plain, batches), rig.number(50, 1)

    def updates(trainer: Trainer) -> None:
        with torch_settings(trainer.fast, False, rig.device):
            for i in range(count):
                trainer.step(batches[i % len(batches)], i)
            rig.wait()

    def rung(name: str, parts: tuple[str, ...], rig: Rig) -> Found:
        chosen = ",".join(["preset='off'", *(f"{part}=True" for part in parts if part != "bf16")])
        half = "amp='bfloat16'" if "bf16" in parts else "amp=False"
        trainer = rig.trainer(f"speed=dict({chosen})", half)
        difference = worst(rig.losses(trainer, batches), wanted)
        if said := [line for line in trainer.log.lines if line.startswith("speed.")]:
            raise RuntimeError("; ".join(said))
        call = functools.partial(updates, trainer)
        timed.append(Variant(name, call, count, "ms/iteration"))
        text = f"losses within {difference:.1e} of eager float32"
        return difference <= TOLERANCE, text, {"difference": difference}

    for parts in [(), *variants]:
        name = f"{group}{', '.join(parts) or 'off'}"
        work = functools.partial(rung, name, parts)
        rig.make(Check(name, work, needs_gpu=bool(OF_A_GPU & {*parts})))
    rig.rows(*measure(timed), pairs=[(timed[0].name, other.name) for other in timed[1:]])
    return True, f"{len(timed)} measured of {len(variants) + 1}", {}


def device_cache(rig: Rig) -> Found:
    """The cache's batches are those of the LMDB, bit for bit."""
    count, sources = rig.number(200, 20), {}
    for name, cache in (("the cache on the device", "device"), ("the LMDB, one process", None)):
        loader = rig.loader(rig.trainer(f"train_dataloader.dataset.cache={cache}"), count)
        started = time.perf_counter()
        sources[name] = list(loader)
        rig.wait()
        taken = (time.perf_counter() - started) / count * 1e3
        rig.rows(row(f"a batch from {name}", [taken], "ms"))
    same = sum(
        a["meta"] == b["meta"] and all(torch.equal(a[k].cpu(), b[k]) for k in ("inputs", "gt"))
        for a, b in zip(*sources.values())
    )
    return same == count, f"{same} of {count} equal to those of the LMDB", {}


def resume(rig: Rig, fast: str) -> Found:
    """A deterministic training that is killed and goes on ends in the weights of another."""
    folder = rig.work / f"resume-{time.time_ns()}"
    count, kill_at = rig.number(1000, 100), rig.number(130, 8)
    options = ["deterministic=True", "val_sets=[]", f"num_workers={rig.number(2, 0)}",
               f"max_iters={count}", f"log_interval={rig.number(5, 1)}", "resume=True",
               f"checkpoint_interval={rig.number(100, 5)}", fast]  # fmt: skip

    def start(name: str) -> subprocess.Popen:
        command = rig.command(CONFIG, folder / name, *options)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, **pipes)

    killed, whole = start("killed"), start("whole")
    for line in killed.stdout:
        if (at := re.match(r"iter (\d+)/", line)) and int(at[1]) >= kill_at:
            killed.kill()
            break
    killed.wait()
    resumed = start("killed")
    outputs = [process.communicate()[0] for process in (whole, resumed)]
    codes = [process.returncode for process in (killed, whole, resumed)]
    if codes != [-9, 0, 0]:
        raise RuntimeError(f"exit codes {codes} of killed, whole, resumed: {outputs}")
    one, other = (
        torch.load(folder / name / f"iter_{count}.pth", weights_only=True)["state_dict"].values()
        for name in ("whole", "killed")
    )
    difference = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, other))
    equal = f"within {difference:.1e} (allowed: {EQUAL:g})" if difference else "equal"
    text = f"killed after iteration {at[1]}; weights after {count} {equal}"
    return difference <= EQUAL, text, {"difference": difference}


def changed_numbers(rig: Rig) -> Found:
    """Which numbers of the optimiser, changed after the recording, reach the weights."""

    def numbers(trainer: Any, **values: Any) -> None:
        for group in trainer.optim_wrapper.optimizer.param_groups:
            group.update(values)

    def clip(trainer: Any) -> None:
        trainer.optim_wrapper.clip_grad_kwargs = {"max_norm": 1e-6}

    def freeze(trainer: Any) -> None:
        trainer.module.backbone.requires_grad_(False)
        next(trainer.module.backbone.parameters()).requires_grad_(True)

    values = {"lr": 1e-3, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 1.0}
    changes = {key: functools.partial(numbers, **{key: value}) for key, value in values.items()}
    changes |= {"clip_grad": clip, "requires_grad": freeze}
    data = rig.batches(rig.trainer(EAGER), 9)

    def weights(fast: str, change: Callable[[Any], None]) -> torch.Tensor:
        trainer = rig.trainer(fast, "optim_wrapper.clip_grad=dict(max_norm=1e6)")
        rig.losses(trainer, data[:6])
        if fast == GRAPH and not trainer.step.graph.recorded:
            raise RuntimeError(f"nothing was recorded: {trainer.log.lines}")
        change(trainer)
        rig.losses(trainer, data[6:])
        return torch.cat([p.detach().flatten() for p in trainer.module.parameters()])

    unchanged, outcome = weights(EAGER, lambda _: None), {}
    for name, change in changes.items():
        wanted = weights(EAGER, change)
        try:
            missed = (weights(GRAPH, change) - wanted).norm() / (unchanged - wanted).norm()
            outcome[name] = "reached" if missed < 0.1 else "ignored"
        except Exception as error:
            outcome[name] = f"refused ({last_line(error)})"
    text = ", ".join(f"{name} {what}" for name, what in outcome.items())
    return "ignored" not in outcome.values(), text, {"numbers": outcome}


def failed_recording(rig: Rig) -> Found:
    """A training whose recording fails goes on as if none had been tried; the next records."""
    trainer, plain = rig.trainer(GRAPH), rig.trainer(EAGER)
    wrapper, update = trainer.optim_wrapper, trainer.optim_wrapper.step

    def refuse() -> None:
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize()  # which a recording forbids
        update()

    wrapper.step = refuse
    batches = rig.batches(plain, 8)
    difference = worst(rig.losses(trainer, batches), rig.losses(plain, batches))
    rig.losses(again := rig.trainer(GRAPH), batches)
    recorded = bool(again.step.graph.recorded)
    text = f"losses of 8 updates within {difference:.1e} of eager ones; {trainer.log.lines}"
    text += f"; another recording after it: {recorded}"
    return difference < TOLERANCE and recorded, text, {"difference": difference}


def pinning(rig: Rig) -> Found:
    """Record while a thread pins memory all the time."""
    stop, pinned, said = threading.Event(), [], []

    def pin() -> None:
        try:
            while not stop.is_set():
                torch.empty(random.randrange(1, 1 << 22), dtype=torch.uint8).pin_memory()
                pinned.append(1)
        except Exception as error:
            said.append(last_line(error))

    thread = threading.Thread(target=pin, daemon=True)
    thread.start()
    for _ in range(5):
        trainer = rig.trainer(GRAPH)
        rig.losses(trainer, rig.batches(trainer, 6))
        if not trainer.step.graph.recorded:
            said += trainer.log.lines
    stop.set()
    thread.join(10)
    return not said, "; ".join([f"{len(pinned)} pinned during 5 recordings", *{*said}]), {}


def validation(rig: Rig) -> Found:
    """One validation: the scores of a CPU, and the time of an image as large as DIV2K's."""
    trainer, found = rig.trainer("val_sets=[valid]"), []
    scoring = Evaluation(trainer.eval_sets, ExtraMetrics([]))
    for device in (torch.device("cpu"), rig.device):
        method = network(copy.deepcopy(trainer.module).to(device), device)
        scoring.score(method)  # algorithms, memory
        started = time.perf_counter()
        found.append(scoring.score(method).entries[0]["psnr"])
        elapsed = time.perf_counter() - started
    stores = [s.dataset.gt for s in trainer.eval_sets]
    pixels = sum(int(np.prod(g.shape_at(i)[:2])) for g in stores for i in range(len(g)))
    rig.rows(row(VALIDATION, [elapsed / pixels * LARGE], "s"))
    difference = abs(found[1] - found[0])
    return difference < 1e-2, f"PSNR within {difference:.1e} dB of the CPU's", {}


def loop(rig: Rig, name: str, options: tuple[str, ...]) -> Found:
    """Rates of a training by the config, and what 300,000 iterations would take by them."""
    count, every, began = rig.number(5000, 20), rig.number(250, 5), time.time()
    own = ["val_sets=[]", "checkpoint_interval=None", f"max_iters={count}", f"log_interval={every}"]
    log = rig.train(CONFIG, rig.work / f"loop-{time.time_ns()}", *own, *options)
    logged = [x for x in log if x["mode"] == "train"]
    rate = row(name, [x["it_per_s"] for x in logged[1:] or logged], "it/s")
    start = logged[0]["time"] - began - logged[0]["iter"] / rate["median"]
    image = {v["name"]: v["median"] for v in rig.results["variants"]}.get(VALIDATION, 0)
    minutes = (300_000 / rate["median"] + start + 60 * 100 * image) / 60
    whole = row(f"{name}: 300,000 iterations, 60 validations on DIV2K", [minutes], "min")
    rig.rows(rate, row(f"{name}: start", [start], "s"), whole)
    said = [x["text"] for x in log if x.get("text", "").startswith(("speed.", "warning"))]
    text = (
        f"{logged[-1]['iter']} iterations, loss {logged[-1]['loss']:.4f}, "
        f"{logged[-1]['data_wait']:.1%} of the time waiting for data"
    )
    return not any("failed" in s for s in said), "; ".join([text, *said]), {"logged": logged}


def train(rig: Rig) -> Found:
    """EDSR 16x64 x2 until the time is over; the best weights stay in the results."""
    folder, every = rig.work / "train", rig.number(2000, 20)
    own = ["val_sets=[valid]", CACHED, MAX, "resume=True", "max_keep_checkpoints=1",
           f"val_interval={every}", f"checkpoint_interval={every}",
           f"log_interval={rig.number(250, 10)}",
           *["max_iters=40"] * rig.args.rehearse]  # fmt: skip
    log = rig.train(TRAINING, folder, *own, *rig.args.cfg_options)
    with contextlib.suppress(FileNotFoundError):  # nothing was validated
        shutil.copyfile(folder / "best.pth", rig.args.out / "best.pth")
    logged = [x for x in log if x["mode"] == "train"]
    scores = [(x["iter"], x["results"][0]["psnr"]) for x in log if x["mode"] == "val"]
    rig.rows(row("training", [x["it_per_s"] for x in logged[1:] or logged], "it/s"))
    told = ", ".join(f"{psnr:.3f} dB at {i}" for i, psnr in scores[-3:]) or "not validated yet"
    text = f"to iteration {logged[-1]['iter']}; {told}"
    return True, text, {"scores": scores, "logged": logged}


_ALONE_AND_TOGETHER = [(p,) for p in PARTS[:-1]] + [PARTS[:n] for n in range(2, len(PARTS))]
_COMPILED = [("compile",), (*PARTS[:5], "compile"), PARTS]
_WORKERS = f"num_workers={max(1, min(12, (os.cpu_count() or 3) - 2))}"
_LOOPS = {
    "max without compile, cache on the device": (MAX, CACHED),
    f"max without compile, {_WORKERS}": (MAX, _WORKERS),
    "auto, cache on the device": ("speed='auto'", CACHED),
    "max, cache on the device": ("speed='max'", CACHED),
}
STAGES: dict[str, list[Check]] = {
    "pack": [Check("pack", pack)],
    "ladder": [
        Check("steps", functools.partial(ladder, group="", variants=_ALONE_AND_TOGETHER)),
        Check("compiled steps", functools.partial(ladder, group="compiled: ", variants=_COMPILED)),
    ],
    "checks": [  # last those that may leave CUDA unusable
        Check("batches of the cache on the device", device_cache),
        Check("kill -9 and resume", functools.partial(resume, fast="speed='auto'")),
        Check("kill -9 and resume in a CUDA graph", functools.partial(resume, fast=MAX), True),
        Check("numbers of the optimiser reach a recorded update", changed_numbers, True),
        Check("a failed recording", failed_recording, True),
        Check("recording while a thread pins memory", pinning, True),
    ],
    "loop": [Check("validation", validation)]
    + [
        Check(n, functools.partial(loop, name=n, options=o), n.startswith("max, "))
        for n, o in _LOOPS.items()
    ],
    "train": [Check("training", train)],
}


def run_stage(stage: str, args: argparse.Namespace) -> dict[str, Any]:
    """Make the checks of a stage within its time; returns its results.

    Each runs in a fork of this process, which has imported everything and used no device: whatever
    a check does to its process or to CUDA's state, the next one begins afresh.
    """
    until, path, todo = time.time() + args.limit, args.out / f"{stage}.json", STAGES[stage]
    setup = {"config": CONFIG, "rehearsal": args.rehearse, "cpus": os.cpu_count()}
    empty = report(f"gpu {stage}", [], {}, None, setup) | {"checks": []}
    write_text(path, json.dumps(empty, indent=1))
    print(f"== {stage}, at most {args.limit:.0f} s", flush=True)
    for check in todo:
        # One that hangs leaves time for those behind it.
        ends = time.time() + (until - time.time()) * (1 if check is todo[-1] else 0.6)
        process = multiprocessing.get_context("fork").Process(
            target=alone, args=(args, path, ends, check)
        )
        process.start()
        try:
            process.join(max(ends - time.time(), 0) + 1)
            code = process.exitcode
        finally:  # whatever it has started ends with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        results = json.loads(path.read_text())
        if check.name not in [made["name"] for made in results["checks"]]:
            what = "did not end in time" if code is None else f"its process ended with {code}"
            add(path, results, check.name, "failed", what)
    return results


def alone(args: argparse.Namespace, path: Path, ends: float, check: Check) -> None:
    """Make a check in a process group of its own."""
    os.setpgid(0, 0)
    Rig(args, path, ends).make(check)


def summary(results: dict[str, dict[str, Any]]) -> int:
    """Print how many checks went how, and those that went wrong; returns the exit code."""
    found = [(c["outcome"], s, c) for s, record in results.items() for c in record["checks"]]
    counts = Counter(outcome for outcome, *_ in found)
    print("\n" + ", ".join(f"{counts[word]} {word}" for word in ("ok", "skipped", *WRONG)))
    for outcome, stage, check in found:
        if outcome in WRONG:
            print(f"  {stage}: {check['name']}: {outcome}: {check['text']}")
    return int(any(counts[word] for word in WRONG))


def main(argv: list[str] | None = None) -> int:
    """Run the stages; returns 1 where a check failed, 2 for a mistake in the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    option = parser.add_argument
    option("stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)} (all)")
    option("--work", type=Path, help="for data and trainings (work_dirs/gpu)")
    option("--out", type=Path, help="for the results (WORK/out)")
    option("--photos", type=Path, help="training photographs; else scikit-image's")
    option("--limit", type=float, default=240, help="seconds of a stage (%(default)s)")
    option("--cfg-options", nargs="+", action="extend", default=[], help="for the stage train")
    option("--rehearse", action="store_true", help="on a CPU, with small numbers")
    args = parser.parse_args(argv)
    args.work = args.work or Path(f"work_dirs/gpu{'-rehearsal' * args.rehearse}")
    args.out = args.out or args.work / "out"
    stages = args.stages or [*STAGES]
    if wrong := {*stages} - {*STAGES}:
        parser.error(f"no such stage: {', '.join(wrong)}")
    if args.photos and not args.photos.is_dir():
        parser.error(f"no such folder: {args.photos}")
    os.environ |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}  # of what is started
    args.out.mkdir(parents=True, exist_ok=True)
    return summary({s: run_stage(s, args) for s in dict.fromkeys(["pack", *stages])})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end what was started
    sys.exit(main())
