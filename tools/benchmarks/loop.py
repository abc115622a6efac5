"""CPU time of the training loop outside forward, backward and optimiser, early and late."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import report, row

LIMIT = 0.25
TAKING = "taking a batch from the workers"
PLACES = (1, 300_000)  # where in the run to measure
ITERATIONS = 600  # the start, 15 ms for memory and mappings, counts among them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the real loop with the config's network made small, and add up what is not arithmetic.

    Counted is the time that this thread computes, so other processes do not matter.
    """
    import torch

    from benchmarks import _training as tools

    torch.set_num_threads(1)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    found: dict[int, list[dict[str, float]]] = {place: [] for place in PLACES}
    with tempfile.TemporaryDirectory(prefix="superres-loop-") as folder:
        root = Path(folder)
        tools.write_images(root, 4, 128)
        # What is counted does not depend on the sizes, but waiting for them would take long.
        small = ["lq_patch_size=8", "model.backbone.channels=4", "num_workers=2"]
        for _ in range(args.repeats):
            for place in PLACES:
                last = f"max_iters={place - 1 + ITERATIONS}"
                cfg = tools.config_for(args.config, root, [*small, *args.cfg_options, last])
                found[place].append(_cost(tools.trainer_for(cfg, device, root), place - 1))
    rows, ratios = [], {}
    for place, costs in found.items():
        values = {part: [c[part] for c in costs] for part in costs[0]}
        new = [row(f"{p}, from iteration {place:,}", v, "ms/iteration") for p, v in values.items()]
        rows += new
        ratios[f"loop from iteration {place:,} / {LIMIT} ms (below 1)"] = new[0]["median"] / LIMIT
    setup = {
        "config": args.config,
        "options": " ".join(args.cfg_options) or "none",
        "iterations": ITERATIONS,
        "workers": 2,
        "time": "CPU time of the main thread",
    }
    return report("loop", rows, ratios, setup=setup)


def _cost(trainer: Any, start: int) -> dict[str, float]:
    """Milliseconds per iteration: of the loop, and of what is left out."""
    trainer.iter = start
    for scheduler in trainer.param_schedulers:
        scheduler.last_step, scheduler._global_step = start, start + 1
    spent = {TAKING: 0.0, "forward": 0.0, "backward": 0.0, "optimiser": 0.0}
    whole = [0.0]
    step, wrapper = trainer.step, trainer.optim_wrapper
    step.model = _Timed(step.model, spent, "forward")
    prepare = step.module.data_preprocessor
    prepare.forward = _Timed(prepare.forward, spent, "forward")
    wrapper.backward = _Timed(_and_release(wrapper.backward), spent, "backward")
    wrapper.step = _Timed(wrapper.step, spent, "optimiser")
    wrapper.zero_grad = _Timed(wrapper.zero_grad, spent, "optimiser")
    iterate = trainer.iterate

    def timed(batches: Any) -> None:
        taken = iter(_Timed(batches.__next__, spent, TAKING), None)
        started = time.thread_time()
        iterate(taken)
        whole[0] = time.thread_time() - started

    trainer.iterate = timed
    trainer.train()
    done = trainer.iter - start
    parts = {name: 1e3 * seconds / done for name, seconds in spent.items()}
    rest = 1e3 * whole[0] / done - sum(parts.values())
    return {"loop": rest + parts[TAKING], f"of it, all but {TAKING}": rest, **parts}


def _and_release(backward: Callable[[Any], None]) -> Callable[[Any], None]:
    """The backward pass and the end of its graph, which like it is as long as the network is."""

    def call(loss: Any) -> None:
        backward(loss)
        loss.detach_()

    return call


class _Timed:
    """Adds up the time of calls; everything else is the thing's own."""

    def __init__(self, call: Callable[..., Any], spent: dict[str, float], part: str) -> None:
        self.call, self.spent, self.part = call, spent, part

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = time.thread_time()
        try:
            return self.call(*args, **kwargs)
        finally:
            self.spent[self.part] += time.thread_time() - started

    def __getattr__(self, name: str) -> Any:
        return getattr(self.call, name)
