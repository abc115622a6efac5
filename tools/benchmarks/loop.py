"""CPU time of the training loop outside forward, backward and optimiser."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import config_arguments, row

LIMIT = 0.25
TAKING = "taking a batch from the workers"
ITERATIONS = 600  # the start, 15 ms for memory and mappings, counts among them


add_arguments = config_arguments


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the real loop with the config's network made small, and add up what is not arithmetic.

    Counted is the time that this thread computes, so other processes do not matter.
    """
    import torch

    from benchmarks._training import config_for, trainer_for, write_images

    torch.set_num_threads(1)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    write_images(folder, 4, 128)
    # What is counted does not depend on the sizes, but waiting for them would take long.
    small = ["lq_patch_size=8", "model.backbone.channels=4", "num_workers=2"]
    cfg = config_for(args.config, folder, [*small, *args.cfg_options, f"max_iters={ITERATIONS}"])
    costs = [cost(trainer_for(cfg, device, folder)) for _ in range(args.repeats)]
    rows = [row(part, [c[part] for c in costs], "ms/iteration") for part in costs[0]]
    options = " ".join(args.cfg_options) or "none"
    setup = {"config": args.config, "options": options, "iterations": ITERATIONS, "workers": 2}
    setup["time"] = "CPU time of the main thread"
    ratio = {f"loop / {LIMIT} ms (below 1)": rows[0]["median"] / LIMIT}
    return {"rows": rows, "ratios": ratio, "setup": setup}


def cost(trainer: Any) -> dict[str, float]:
    """Milliseconds per iteration: of the loop, and of what is left out."""
    spent = dict.fromkeys(("whole", TAKING, "forward", "backward", "optimiser"), 0.0)

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                spent[part] += time.thread_time() - started

        return measured

    step, wrapper, iterate = trainer.step, trainer.optim_wrapper, trainer.iterate
    for part in (step.model, step.module.data_preprocessor):
        part.forward = timed("forward", part.forward)
    backward = wrapper.backward

    def backward_and_release(loss: Any) -> None:
        """With the end of its graph, which like it is as long as the network is."""
        backward(loss)
        loss.detach_()

    wrapper.backward = timed("backward", backward_and_release)
    for name in ("step", "zero_grad"):
        setattr(wrapper, name, timed("optimiser", getattr(wrapper, name)))
    whole = timed("whole", lambda batches: iterate(iter(timed(TAKING, batches.__next__), None)))
    trainer.iterate = whole
    trainer.train()
    parts = {name: 1e3 * seconds / trainer.iter for name, seconds in spent.items()}
    rest = parts.pop("whole") - sum(parts.values())
    return {"loop": rest + parts[TAKING], f"of it, all but {TAKING}": rest, **parts}
