"""Training steps of a config on the CPU: plain as others run them, and ours part by part.

For a GPU there is ``tools/benchmarks/gpu.py``.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, config_arguments, measure, ratios

PLAIN = "contiguous float32 eager"
OFF = "superres, speed='off'"
LADDER = {
    OFF: ["speed='off'", "amp=False"],
    "+ channels_last": ["speed=dict(preset='off',channels_last=True)", "amp=False"],
    "superres, default": ["speed='auto'", "amp=False"],
    "+ bfloat16": ["speed='auto'", "amp='bfloat16'"],
}


add_arguments = config_arguments


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time all variants in turn; the plain one's losses are asserted equal to ours before."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks._training import config_for, trainer_for, write_images
    from superres.engine.config.values import scales_of

    write_images(folder)
    configs = {name: config_for(args.config, folder, [*args.cfg_options, *options])
               for name, options in LADDER.items()}  # fmt: skip
    cfg, device = configs[OFF], torch.device("cpu")
    trainers = {name: trainer_for(c, device, folder) for name, c in configs.items()}
    scale, patch, size = scales_of(cfg)[0], cfg.lq_patch_size, cfg.global_batch_size
    channels, generator = cfg.model.backbone.get("in_channels", 3), torch.Generator().manual_seed(0)
    lq, gt = (  # as a loader gives them
        torch.randint(0, 256, (size, side, side, channels), generator=generator, dtype=torch.uint8)
        for side in (patch, patch * scale)
    )
    batch = {"inputs": lq, "gt": gt, "meta": [{"scale": scale}] * size}
    plain = plain_step(cfg, trainers[OFF], batch)
    assert_equal(plain, trainers, batch)
    with FlopCounterMode(display=False) as counter:
        trainers[OFF].step(batch, 0)
    calls = {PLAIN: plain} | {n: partial(t.step, batch, 0) for n, t in trainers.items()}
    rows = measure([Variant(n, call, 1, "it/s") for n, call in calls.items()], args.repeats)
    found = ratios(rows, *((name, PLAIN) for name in trainers))
    setup = {"config": args.config, "options": " ".join(args.cfg_options) or "none"}
    setup |= {"scale": scale, "batch": size, "patch": patch, "threads": torch.get_num_threads()}
    setup["TFLOP per iteration"] = float(counter.get_total_flops()) / 1e12
    return {"rows": rows, "ratios": found, "setup": setup}


def plain_step(cfg: Any, trainer: Any, batch: dict) -> Callable[[], Any]:
    """An update as the other toolboxes write it: contiguous float32 tensors, L1, eager."""
    import torch

    data = trainer.module.data_preprocessor(batch, training=True)
    lq, gt = data["inputs"].contiguous(), data["data_samples"]["gt"].contiguous()
    network = copy.deepcopy(trainer.module.backbone)
    if hasattr(network, "set_scale"):
        network.set_scale(gt.shape[-1] // lq.shape[-1])
    settings = dict(cfg.optim_wrapper["optimizer"])
    optimizer = getattr(torch.optim, settings.pop("type"))(
        [p for p in network.parameters() if p.requires_grad], **settings
    )
    loss_function = torch.nn.L1Loss()

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_function(network(lq), gt)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def assert_equal(plain: Callable[[], Any], trainers: dict[str, Any], batch: dict) -> None:
    """Two updates by every variant from the same weights give the same losses."""
    wanted = [float(plain()) for _ in range(2)]
    for name, trainer in trainers.items():
        found = [float(trainer.step(batch, i)["loss"]) for i in range(2)]
        tolerance = 2e-2 if trainer.fast.amp else 1e-4
        if any(abs(w - f) > tolerance * abs(w) for w, f in zip(wanted, found)):
            raise AssertionError(f"{name}: losses {found} instead of {wanted}")
