"""Training steps of a config: plain as others run them, and ours part by part."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, measure, ratio, report, row

PLAIN = "contiguous float32 eager"
OFF = "superres, fast='off'"
DEFAULT = "superres, default"
LADDER = {
    OFF: ["fast='off'", "amp=False"],
    "+ channels_last": ["fast=dict(preset='off',channels_last=True)", "amp=False"],
    DEFAULT: ["fast='auto'", "amp=False"],
    "+ bfloat16": ["fast='auto'", "amp='bfloat16'"],
}
COMPILED = {"+ compile": ["fast=dict(compile=True)", "amp='bfloat16'"]}
GPU = {"+ cuda_graph (fast='max')": ["fast='max'", "amp='bfloat16'"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")
    parser.add_argument("--compile", action="store_true", help="also with a compiled backbone")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time all variants in turn; the plain one's losses are asserted equal to ours before."""
    import torch

    from benchmarks import _training as tools
    from superres.engine.config.values import scales_of

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if gpu else torch.device("cpu")
    count = 50 if gpu else 1
    ladder = LADDER | (COMPILED if args.compile or gpu else {}) | (GPU if gpu else {})
    with tempfile.TemporaryDirectory(prefix="superres-train-") as folder:
        root = Path(folder)
        tools.write_images(root)
        configs = {n: tools.config_for(args.config, root, [*args.cfg_options, *o])
                   for n, o in ladder.items()}  # fmt: skip
        cfg = configs[OFF]
        scale = scales_of(cfg)[0]
        batch = _batch(cfg, scale, device)
        trainers = {n: tools.trainer_for(c, device, root) for n, c in configs.items()}
        for trainer in trainers.values():
            trainer.model.train()
        plain = _plain(tools, cfg, trainers[OFF], batch)
        _assert_equal(plain, trainers, batch)
        operations = _operations(trainers[OFF], batch)
        memory = {n: _memory(t, batch, device) for n, t in trainers.items()}

        def updates(call: Any) -> None:
            for i in range(count):
                call(i)
            if gpu:
                torch.cuda.synchronize()

        calls = {PLAIN: lambda _: plain()}
        calls |= {n: lambda i, t=t: t.step(batch, i) for n, t in trainers.items()}
        variants = [Variant(n, partial(updates, c), count, "it/s") for n, c in calls.items()]
        rows = measure(variants, args.repeats, warmup=2 if gpu or args.compile else 1)
    ratios = {f"{n} / {PLAIN}": ratio(rows, n, PLAIN) for n in trainers}
    for name, rate in [(r["name"], r["median"]) for r in rows]:
        rates = {"images/s": rate * cfg.global_batch_size, "TFLOP/s": rate * operations / 1e12}
        rows += [row(name, [value] * args.repeats, unit) for unit, value in rates.items()]
    # Compiled code makes tensors that nobody sees.
    rows += [row(n, [m], "MiB at the peak") for n, m in memory.items() if gpu or "compile" not in n]
    setup = {
        "config": args.config,
        "options": " ".join(args.cfg_options) or "none",
        "scale": scale,
        "batch": cfg.global_batch_size,
        "patch": cfg.lq_patch_size,
        "threads": torch.get_num_threads(),
        "workers": cfg.num_workers,
        "TFLOP per iteration": operations / 1e12,
    }
    name = torch.cuda.get_device_name(device) if gpu else None
    return report("train", rows, ratios, device=name, setup=setup)


def _batch(cfg: Any, scale: int, device: Any) -> dict[str, Any]:
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


def _plain(tools: Any, cfg: Any, trainer: Any, batch: dict) -> Any:
    import copy

    import torch

    data = trainer.module.data_preprocessor(batch, training=True)
    inputs, gt = data["inputs"].contiguous(), data["data_samples"]["gt"].contiguous()
    network = copy.deepcopy(trainer.module.backbone)
    if hasattr(network, "set_scale"):
        network.set_scale(gt.shape[-1] // inputs.shape[-1])
    settings = dict(cfg.optim_wrapper["optimizer"])
    optimizer = getattr(torch.optim, settings.pop("type"))
    weights = [p for p in network.parameters() if p.requires_grad]
    return tools.plain_step(network, optimizer(weights, **settings), inputs, gt)


def _assert_equal(plain: Any, trainers: dict[str, Any], batch: dict) -> None:
    """Two updates by every variant from the same weights give the same losses."""
    wanted = [float(plain()) for _ in range(2)]
    for name, trainer in trainers.items():
        found = [float(trainer.step(batch, i)["loss"]) for i in range(2)]
        tolerance = 2e-2 if trainer.fast.amp else 1e-4
        if any(abs(w - f) > tolerance * abs(w) for w, f in zip(wanted, found)):
            raise AssertionError(f"{name}: losses {found} instead of {wanted}")


def _operations(trainer: Any, batch: dict) -> float:
    """Floating-point operations of an update's products and convolutions, both passes."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        trainer.step(batch, 0)
    return float(counter.get_total_flops())


def _memory(trainer: Any, batch: dict, device: Any) -> float:
    """MiB at the peak of an update: on a CPU of its new tensors, on a GPU of everything."""
    import torch

    from superres.inference.backends.pytorch import LiveBytes

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        trainer.step(batch, 0)
        return torch.cuda.max_memory_allocated(device) / 2**20
    with LiveBytes() as live:
        trainer.step(batch, 0)
    return live.peak / 2**20
