"""The stages of gpu.py in the process that measures: data, ladder, loop and training."""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.hooks import Hook

from benchmarks._training import config_for, trainer_for
from benchmarks.harness import Row, Variant, measure, ratios, report, row
from superres.datasets.loader import train_loader
from superres.datasets.sampler import IterationSampler
from superres.engine.hooks.evaluation import EvaluationHook
from superres.engine.run_log import RunLog
from superres.engine.test.evaluate import Evaluation
from superres.engine.test.subject import network
from superres.engine.train.speed.options import torch_settings
from superres.engine.train.step import step_seed
from superres.engine.train.trainer import Trainer
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.files import write_text
from superres.imaging.io import read_image
from superres.imaging.listing import list_images
from superres.imaging.photographs import photograph
from superres.imaging.resize import imresize, modcrop

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "edsr_x4c64b16_g1_300k_div2k"
TRAINING = "edsr-fast_x2c64b16_g1_60k_div2k"
SMALL = ["model.backbone.channels=8", "model.backbone.num_blocks=2", "lq_patch_size=12",
         "global_batch_size=4"]  # fmt: skip
PARTS = ("channels_last", "fused", "autotune", "tf32", "bf16", "cuda_graph", "compile")
OF_A_GPU = {"autotune", "tf32", "cuda_graph"}
TOLERANCE = 1e-3
LARGE = (1356, 2040)  # pixels of a usual image of DIV2K
Found = tuple[bool, str, dict[str, Any]]
"""What a check gives: whether it is as it should be, in words, in numbers."""


class Check(NamedTuple):
    """Something that is measured or compared, in a process of its own."""

    name: str
    work: Callable[[Rig], Found]
    needs_gpu: bool = False


class Lines(RunLog):
    """Keeps what a training says and logs, and prints nothing."""

    def __init__(self) -> None:
        super().__init__(rank=1)
        self.lines: list[str] = []
        self.logged: list[dict[str, Any]] = []

    def say(self, text: str, *_: Any) -> None:
        """Keep a line."""
        self.lines.append(text)

    def training(self, record: dict[str, Any], total: int) -> None:
        """Keep an interval's figures."""
        self.logged.append(record)


class StopAt(Hook):
    """Lets a training end regularly at a time."""

    def __init__(self, until: float) -> None:
        self.until = until

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        """Make this iteration the last one if it is time."""
        if time.time() > self.until:
            runner.max_iters = runner.iter + 1


class Rig:
    """What a check works with; and its stage's results, which are written after every change.

    Args:
        args: of the command line.
        stage: whose check it is.
        ends: when the check must be over.
    """

    def __init__(self, args: argparse.Namespace, stage: str, ends: float) -> None:
        self.args, self.rehearse, self.ends = args, args.rehearse, ends
        self.work, self.out, self.data = args.work, args.out, args.work / "data"
        self.gpu = torch.cuda.is_available() and not args.rehearse
        self.device = torch.device("cuda", 0) if self.gpu else torch.device("cpu")
        self.path = args.out / f"{stage}.json"
        if self.path.is_file():
            self.results = json.loads(self.path.read_text())
            return
        packed = self.data / "pack.json"
        setup = json.loads(packed.read_text()) if packed.is_file() else {}
        setup |= {"config": CONFIG, "rehearsal": args.rehearse, "cpus": os.cpu_count()}
        name = torch.cuda.get_device_name(0) if self.gpu else None
        self.results = report(f"gpu {stage}", [], {}, name, setup) | {"checks": []}

    def rows(self, *rows: Row, pairs: Iterable[tuple[str, str]] = ()) -> None:
        """Add variants, and ratios of pairs of them, to the results, and print them."""
        for line in rows:
            print(f"           {line['name']:60} {line['median']:12.4g} {line['unit']}")
        self.results["variants"] += rows
        self.results["ratios"] |= ratios(rows, *pairs)
        write_text(self.path, json.dumps(self.results, indent=1))

    def add(self, name: str, outcome: str, text: str, **values: Any) -> None:
        """Add a check that has been made to the results, and print it."""
        print(f"  {outcome:8} {name}: {text}", flush=True)
        self.results["checks"].append({"name": name, "outcome": outcome, "text": text, **values})
        write_text(self.path, json.dumps(self.results, indent=1))

    def left(self) -> float:
        """Seconds that the check under way still has."""
        return self.ends - time.time()

    def number(self, real: int, rehearsed: int) -> int:
        """A count, which is small in a rehearsal."""
        return rehearsed if self.rehearse else real

    def options(self, *options: str) -> list[str]:
        """``--cfg-options`` of a training of the packed photographs."""
        return [*(SMALL if self.rehearse else []), "num_workers=0", *options]

    def trainer(self, *options: str, hooks: Iterable[Hook] = ()) -> Trainer:
        """A trainer of the published x4 network that saves and prints nothing."""
        cfg = config_for(CONFIG, self.data, self.options(*options))
        return trainer_for(cfg, self.device, self.work, Lines(), hooks)

    def command(self, config: str, folder: Path, *options: str) -> list[str]:
        """A training of the packed photographs in a process of its own."""
        own = [f"data_root={self.data}", "train_set=train", "test_sets=[]", "tensorboard=False"]
        program = [sys.executable, str(ROOT / "tools/train.py"), config, "--work-dir", str(folder)]
        return [*program, "--cfg-options", *self.options(*own, *options)]

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
            found = [trainer.step(b, step_seed(0, i, 0))["loss"] for i, b in enumerate(batches)]
        return [float(loss) for loss in found]

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.gpu:
            torch.cuda.synchronize()


def run_stage(stage: str, args: argparse.Namespace) -> dict[str, Any]:
    """Make the checks of a stage within its time; returns its results.

    Each runs in a fork of this process, which has imported everything and used no device: whatever
    a check does to its process or to CUDA's state, the next one begins afresh.
    """
    limit = args.minutes * 60 if stage == "train" else args.limit
    until, path, todo = time.time() + limit, args.out / f"{stage}.json", stages()[stage]
    path.unlink(missing_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"== {stage}, at most {limit:.0f} s", flush=True)
    for made in todo:
        # One that hangs leaves time for those behind it.
        ends = time.time() + (until - time.time()) * (1 if made is todo[-1] else 0.6)
        process = multiprocessing.get_context("fork").Process(
            target=make, args=(args, stage, ends, made)
        )
        process.start()
        try:
            process.join(max(ends - time.time(), 0) + 1)
            code = process.exitcode
        finally:  # whatever it has started ends with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        record = json.loads(path.read_text()) if path.is_file() else {"checks": []}
        if made.name not in [check["name"] for check in record["checks"]]:
            what = "did not end in time" if code is None else f"its process ended with {code}"
            print(f"  failed   {made.name}: {what}", flush=True)
            record["checks"].append({"name": made.name, "outcome": "failed", "text": what})
            write_text(path, json.dumps(record, indent=1))
    return record


def stages() -> dict[str, list[Check]]:
    """The checks of each stage."""
    from benchmarks._gpu_checks import checks

    return {"pack": [Check("pack", pack)], "ladder": LADDER, "checks": checks(), "loop": loop(),
            "train": [Check("training", train)]}  # fmt: skip


def make(args: argparse.Namespace, stage: str, ends: float, check: Check) -> None:
    """Make a check, in a process group of its own, and add it to the stage's results."""
    os.setpgid(0, 0)
    rig, started = Rig(args, stage, ends), time.perf_counter()
    if check.needs_gpu and not rig.gpu:
        rig.add(check.name, "skipped", "needs a CUDA device")
    elif rig.left() < 20:
        rig.add(check.name, "skipped", "the stage's time is over")
    else:
        values: dict[str, Any] = {}
        try:
            fine, text, values = check.work(rig)
            outcome = "ok" if fine else "differs"
        except Exception as error:
            outcome, text = "failed", last_line(error)
        rig.add(check.name, outcome, text, seconds=time.perf_counter() - started, **values)


def last_line(error: Exception) -> str:
    """The last line of an error's traceback."""
    return f"{type(error).__name__}: {([*str(error).strip().splitlines()] or [''])[-1][:300]}"


def worst(found: list[float], wanted: list[float]) -> float:
    """The largest relative difference."""
    return max(abs(f - w) / abs(w) for f, w in zip(found, wanted))


# -- data ---------------------------------------------------------------------------------------


def pack(rig: Rig) -> Found:
    """The training photographs and two to validate with, as databases for x2 and x4."""
    from superres.datasets.pack import pack_images

    names = ("astronaut.png", "motorcycle_left.png", "rocket.jpg", "hubble_deep_field.jpg")
    photos = [photograph("skimage", f"data/{name}") for name in names]
    photos = list_images(rig.args.photos) if rig.args.photos else photos
    held_out = [photograph("skimage", f"data/{name}.png") for name in ("coffee", "chelsea")]

    def image(path: Path, scale: int) -> np.ndarray:
        hr = modcrop(read_image(path), 4)
        if path == held_out[0] and not rig.rehearse:  # a mosaic of it, as large as DIV2K's images
            hr = np.ascontiguousarray(np.tile(hr, (4, 4, 1))[: LARGE[0], : LARGE[1]])
        return hr if scale == 1 else imresize(hr, scale=1 / scale)

    for name, paths in {"train": photos, "valid": held_out}.items():
        (rig.data / name).mkdir(parents=True, exist_ok=True)
        for kind, scale in (("HR", 1), ("LR_bicubic_X2", 2), ("LR_bicubic_X4", 4)):
            images = [(f"{i:04d}_{p.stem}", functools.partial(image, p, scale))
                      for i, p in enumerate(paths)]  # fmt: skip
            pack_images(images, rig.data / name / f"{kind}.lmdb", overwrite=True)
    (rig.data / "pack.json").write_text(json.dumps({"photographs": len(photos)}))
    return True, f"{len(photos)} photographs", {}


# -- the ladder ---------------------------------------------------------------------------------


def rungs(rig: Rig, group: str, variants: list[tuple[str, ...]]) -> Found:
    """Losses of 8 updates of each variant beside eager float32's, and times of all in turn."""
    plain = rig.trainer("speed=dict(preset='off',tf32=False)")
    batches, timed, wrong = rig.batches(plain, 8), [], 0
    wanted, count = rig.losses(plain, batches), rig.number(50, 1)

    def updates(trainer: Trainer) -> None:
        with torch_settings(trainer.fast, False, rig.device):
            for i in range(count):
                trainer.step(batches[i % len(batches)], i)
            rig.wait()

    for parts in [(), *variants]:
        name = f"{group}{', '.join(parts) or 'off'}"
        lacks = "needs a CUDA device" if not rig.gpu and set(parts) & OF_A_GPU else ""
        if lacks or rig.left() < 30:
            rig.add(name, "skipped", lacks or "the stage's time is over")
            continue
        chosen = ",".join(["preset='off'", *(f"{part}=True" for part in parts if part != "bf16")])
        half = "amp='bfloat16'" if "bf16" in parts else "amp=False"
        try:
            trainer = rig.trainer(f"speed=dict({chosen})", half)
            difference = worst(rig.losses(trainer, batches), wanted)
        except Exception as error:
            rig.add(name, "failed", last_line(error))
            wrong += 1
            continue
        call = functools.partial(updates, trainer)
        timed.append(Variant(name, call, count, "ms/iteration"))
        said = [line for line in trainer.log.lines if line.startswith("speed.")]
        outcome = "failed" if said else "ok" if difference <= TOLERANCE else "differs"
        wrong += outcome != "ok"
        text = "; ".join([f"losses within {difference:.1e} of eager float32", *said])
        rig.add(name, outcome, text, difference=difference)
    rows = measure(timed)
    rig.rows(*rows, pairs=[(timed[0].name, other.name) for other in timed[1:]])
    text = f"{wrong} wrong, {len(timed)} measured of {len(variants) + 1}"
    return not wrong and bool(timed), text, {}


EAGER = [(part,) for part in PARTS[:-1]] + [PARTS[:n] for n in range(2, len(PARTS))]
COMPILED = [("compile",), (*PARTS[:5], "compile"), PARTS]
LADDER: list[Check] = [
    Check("steps", functools.partial(rungs, group="", variants=EAGER)),
    Check("compiled steps", functools.partial(rungs, group="compiled: ", variants=COMPILED)),
]
"""The training step with each part alone and with one more at a time."""


# -- the loop -----------------------------------------------------------------------------------


def loop() -> list[Check]:
    """A validation, 5,000 iterations of real trainings, and what 300,000 would take by them."""
    workers = f"num_workers={max(1, min(12, (os.cpu_count() or 3) - 2))}"
    cached, eager = (
        "train_dataloader.dataset.cache=device",
        "speed=dict(preset='max',compile=False)",
    )
    made = [Check("validation", validation)]
    for name, options in {
        "max without compile, cache on the device": (eager, cached),
        f"max without compile, {workers}": (eager, workers),
        "auto, cache on the device": ("speed='auto'", cached),
        "max, cache on the device": ("speed='max'", cached),
    }.items():
        work = functools.partial(training_loop, name=name, options=options)
        made.append(Check(name, work, needs_gpu=name.startswith("max, ")))
    return made


def validation(rig: Rig) -> Found:
    """One validation: the scores of a CPU, and the time of an image as large as DIV2K's."""
    cpu = torch.device("cpu")
    trainer = rig.trainer("val_sets=[valid]")
    module = copy.deepcopy(trainer.module).to(cpu)
    scoring = Evaluation(trainer.eval_sets[:1], ExtraMetrics([]))
    wanted = scoring.score(network(module, cpu))
    evaluation = next(hook for hook in trainer.hooks if isinstance(hook, EvaluationHook))
    evaluation.validate(trainer)  # algorithms, memory
    started = time.perf_counter()
    evaluation.validate(trainer)
    elapsed = time.perf_counter() - started
    stores = [s.dataset.gt for s in trainer.eval_sets]
    pixels = sum(int(np.prod(g.shape_at(i)[:2])) for g in stores for i in range(len(g)))
    per_pixel = elapsed / pixels
    rig.rows(row("validation, an image of DIV2K", [per_pixel * np.prod(LARGE)], "s"))
    difference = abs(evaluation.results.entries[0]["psnr"] - wanted.entries[0]["psnr"])
    text = f"PSNR within {difference:.1e} dB of the CPU's"
    return difference < 1e-2, text, {"per_pixel": per_pixel}


def training_loop(rig: Rig, name: str, options: tuple[str, ...]) -> Found:
    """Rates of a training by the config, without what its first interval holds of the start."""
    count, every = rig.number(5000, 20), rig.number(250, 5)
    trainer = rig.trainer(*options, f"max_iters={count}", f"log_interval={every}",
                          hooks=[StopAt(rig.ends - 10)])  # fmt: skip
    started = time.perf_counter()
    trainer.train()
    logged = trainer.log.logged
    per_pixel = next((c["per_pixel"] for c in rig.results["checks"] if "per_pixel" in c), 0)
    rate = statistics.median(r["it_per_s"] for r in logged[1:] or logged)
    start = max(0.0, time.perf_counter() - started - trainer.iter / rate)
    minutes = (300_000 / rate + start + 60 * 100 * np.prod(LARGE) * per_pixel) / 60
    whole = row(f"{name}: 300,000 iterations, 60 validations on DIV2K", [minutes], "min")
    rig.rows(row(name, [rate], "it/s"), row(f"{name}: start", [start], "s"), whole)
    said = [line for line in trainer.log.lines if line.startswith(("speed.", "warning"))]
    text = (
        f"{trainer.iter} iterations, loss {logged[-1]['loss']:.4f}, {logged[-1]['data_wait']:.1%} "
        f"of the time waiting for data{'' if per_pixel else ', validation not measured'}"
    )
    return not any("failed" in s for s in said), "; ".join([text, *said]), {"logged": logged}


# -- the training -------------------------------------------------------------------------------


def train(rig: Rig) -> Found:
    """EDSR 16x64 x2 until the time is over; the best weights stay in the results."""
    folder, every = rig.work / "train", rig.number(2000, 20)
    own = ["val_sets=[valid]", "train_dataloader.dataset.cache=device", f"val_interval={every}",
           "speed=dict(preset='max',compile=False)", f"checkpoint_interval={every}",
           f"log_interval={rig.number(250, 10)}", "max_keep_checkpoints=1", "resume=True",
           *["max_iters=40"] * rig.rehearse]  # fmt: skip
    with subprocess.Popen(rig.command(TRAINING, folder, *own, *rig.args.cfg_options)) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rig.left() - 20)  # enough to save
        process.terminate()
    if process.returncode not in (0, 128 + signal.SIGTERM):
        raise RuntimeError(f"exit code {process.returncode}")
    with contextlib.suppress(FileNotFoundError):  # nothing was validated
        shutil.copyfile(folder / "best.pth", rig.out / "best.pth")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    logged = [x for x in lines if x["mode"] == "train"]
    scores = [(x["iter"], x["results"][0]["psnr"]) for x in lines if x["mode"] == "val"]
    rig.rows(row("training", [x["it_per_s"] for x in logged[1:] or logged], "it/s"))
    told = ", ".join(f"{psnr:.3f} dB at {i}" for i, psnr in scores[-3:]) or "not validated yet"
    text = f"to iteration {logged[-1]['iter']}; {told}"
    return True, text, {"finished": process.returncode == 0, "scores": scores, "logged": logged}
