"""The checks of gpu.py: what can only be known by running it on a GPU, and what must be equal."""

from __future__ import annotations

import functools
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks._gpu_run import CONFIG, Check, Found, Rig, last_line, worst
from benchmarks.harness import row

GRAPH = "speed=dict(preset='off',fused=True,cuda_graph=True)"
EAGER = "speed=dict(preset='off',fused=True)"
EQUAL = 1e-5  # of weights, where sums were made in another order


def checks() -> list[Check]:
    """All of them; last those that may leave CUDA unusable for what follows."""
    kept = functools.partial(resume, fast="preset='auto'")
    recorded = functools.partial(resume, fast="preset='max',compile=False")
    return [
        Check("batches of the cache on the device", device_cache),
        Check("kill -9 and resume", kept),
        Check("kill -9 and resume in a CUDA graph", recorded, needs_gpu=True),
        Check("numbers of the optimiser reach a recorded update", changed_numbers, needs_gpu=True),
        Check("a failed recording", failed_recording, needs_gpu=True),
        Check("recording while a thread pins memory", pinning, needs_gpu=True),
    ]


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
               f"checkpoint_interval={rig.number(100, 5)}", f"speed=dict({fast})"]  # fmt: skip

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
    bits = all(torch.equal(a, b) for a, b in zip(one, other))
    difference = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, other))
    equal = "equal bit for bit" if bits else f"within {difference:.1e} (allowed: {EQUAL:g})"
    text = f"killed after iteration {at[1]}; weights after {count} {equal}"
    return difference <= EQUAL, text, {"bit_equal": bits, "difference": difference}


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

    def weights(fast: str, change: Callable[[Any], None]) -> Tensor:
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
    text = f"losses of 8 updates within {difference:.1e} of eager ones; {trainer.log.lines}"
    text += f"; another recording after it: {bool(again.step.graph.recorded)}"
    return difference < 1e-3 and bool(again.step.graph.recorded), text, {"difference": difference}


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
