"""Training steps of a config: plain as others run them, and ours part by part."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, measure, ratios, row

PLAIN = "contiguous float32 eager"
OFF = "superres, fast='off'"
LADDER = {
    OFF: ["fast='off'", "amp=False"],
    "+ channels_last": ["fast=dict(preset='off',channels_last=True)", "amp=False"],
    "superres, default": ["fast='auto'", "amp=False"],
    "+ bfloat16": ["fast='auto'", "amp='bfloat16'"],
}
COMPILED = {"+ compile": ["fast=dict(compile=True)", "amp='bfloat16'"]}
GPU = {"+ cuda_graph (fast='max')": ["fast='max'", "amp='bfloat16'"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")
    parser.add_argument("--compile", action="store_true", help="also with a compiled backbone")


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time all variants in turn; the plain one's losses are asserted equal to ours before."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks._training import config_for, trainer_for, write_images
    from superres.engine.config.values import scales_of

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if gpu else torch.device("cpu")
    count = 50 if gpu else 1
    ladder = LADDER | (COMPILED if args.compile or gpu else {}) | (GPU if gpu else {})
    write_images(folder)
    configs = {name: config_for(args.config, folder, [*args.cfg_options, *options])
               for name, options in ladder.items()}  # fmt: skip
    cfg = configs[OFF]
    scale = scales_of(cfg)[0]
    batch = random_batch(cfg, scale, device)
    trainers = {name: trainer_for(c, device, folder) for name, c in configs.items()}
    plain = plain_step(cfg, trainers[OFF], batch)
    assert_equal(plain, trainers, batch)
    with FlopCounterMode(display=False) as counter:
        trainers[OFF].step(batch, 0)

    def updates(call: Callable[[int], Any]) -> None:
        for i in range(count):
            call(i)
        if gpu:
            torch.cuda.synchronize()

    calls = {PLAIN: lambda _: plain()}
    calls |= {n: lambda i, t=t: t.step(batch, i) for n, t in trainers.items()}
    rows = measure(
        [Variant(n, partial(updates, c), count, "it/s") for n, c in calls.items()],
        args.repeats,
        warmup=2 if gpu or args.compile else 1,
    )
    found = ratios(rows, *((name, PLAIN) for name in trainers))
    for name, trainer in trainers.items():
        if gpu or "compile" not in name:  # compiled code makes tensors that nobody sees
            peak = peak_memory(lambda t=trainer: t.step(batch, 0), device)
            rows.append(row(name, [peak], "MiB at the peak"))
    setup = {
        "config": args.config,
        "options": " ".join(args.cfg_options) or "none",
        "scale": scale,
        "batch": cfg.global_batch_size,
        "patch": cfg.lq_patch_size,
        "threads": torch.get_num_threads(),
        "TFLOP per iteration": float(counter.get_total_flops()) / 1e12,
    }
    name = torch.cuda.get_device_name(device) if gpu else None
    return {"rows": rows, "ratios": found, "device": name, "setup": setup}


def random_batch(cfg: Any, scale: int, device: Any) -> dict[str, Any]:
    """A batch of the config's size as a loader gives it: (N, H, W, C) uint8."""
    import torch

    generator = torch.Generator().manual_seed(0)
    patch, size = cfg.lq_patch_size, cfg.global_batch_size
    channels = cfg.model["backbone"].get("in_channels", 3)
    lq, gt = (
        torch.randint(0, 256, (size, side, side, channels), generator=generator, dtype=torch.uint8)
        for side in (patch, patch * scale)
    )
    return {"inputs": lq.to(device), "gt": gt.to(device), "meta": [{"scale": scale}] * size}


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


def peak_memory(call: Callable[[], Any], device: Any) -> float:
    """MiB at the peak of a call: on a CPU of its new tensors, on a GPU of everything."""
    import torch

    from superres.inference.backends.pytorch import LiveBytes

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) / 2**20
    with LiveBytes() as live:
        call()
    return live.peak / 2**20
