"""Training steps of a config: plain as others run them, and ours part by part."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from superres.benchmarks.harness import Variant, measure, processor_name, ratio, report
from superres.errors import UserError

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
FLOAT32 = "large matrix product, float32"
BFLOAT16 = "large matrix product, bfloat16"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")
    parser.add_argument("--threads", type=int, help="of the CPU (torch's choice)")
    parser.add_argument("--iterations", type=int, help="updates per timing (1; on a GPU 50)")
    parser.add_argument("--compile", action="store_true", help="also with a compiled backbone")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count what one thread computes instead of elapsed time: for a busy machine",
    )
    parser.add_argument("--no-bfloat16", action="store_true", help="without the steps in bfloat16")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time all variants in turn; the plain one's losses are asserted equal to ours before."""
    import torch

    from superres.benchmarks import _training as tools
    from superres.engine.config.values import scales_of

    if args.cpu_time and torch.cuda.is_available():
        raise UserError("benchmark train: --cpu-time tells nothing about a GPU")
    if args.cpu_time:
        args.threads = 1
    if args.threads is not None:
        if args.threads < 1:
            raise UserError("benchmark train: --threads must be at least 1")
        torch.set_num_threads(args.threads)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    gpu = device.type == "cuda"
    count = args.iterations or (50 if gpu else 1)
    ladder = dict(LADDER)
    if args.no_bfloat16:
        ladder.popitem()
    if args.compile or gpu:
        ladder |= COMPILED
    if gpu:
        ladder |= GPU
    with tempfile.TemporaryDirectory(prefix="superres-train-") as folder:
        root = Path(folder)
        tools.write_pictures(root)
        configs = {n: tools.config_for(args.config, root, [*args.cfg_options, *o])
                   for n, o in ladder.items()}  # fmt: skip
        cfg = configs[OFF]
        scale = scales_of(cfg)[0]
        batch = tools.random_batch(cfg, scale, device)
        trainers = {n: tools.trainer_for(c, device, root) for n, c in configs.items()}
        for trainer in trainers.values():
            trainer.model.train()
        plain = _plain(tools, cfg, trainers[OFF], batch, device)
        _assert_equal(plain, trainers, batch)
        operations = _operations(trainers[OFF], batch)
        memory = {n: _memory(t, batch, device) for n, t in trainers.items()}

        def ours(trainer: Any) -> Any:
            def call() -> None:
                for i in range(count):
                    trainer.step(batch, i)
                _wait(gpu)

            return call

        def others() -> None:
            for _ in range(count):
                plain()
            _wait(gpu)

        variants = [Variant(PLAIN, others, count, "it/s")]
        variants += [Variant(n, ours(t), count, "it/s") for n, t in trainers.items()]
        products = {}
        for name, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16)):
            if dtype == torch.float32 or not args.no_bfloat16:
                call, products[name] = tools.product_peak(dtype, device, 8192 if gpu else 1536)
                variants.append(Variant(name, _several(call, 4, gpu), 4, "it/s"))
        warmup = 2 if gpu or args.compile else 1
        clock = time.thread_time if args.cpu_time else time.perf_counter
        rows = measure(variants, args.repeats, warmup, clock)
        waiting = _waiting(trainers[DEFAULT], 50 if gpu else 8)
    return _report(args, cfg, device, scale, rows, products, operations, memory, waiting)


def _plain(tools: Any, cfg: Any, trainer: Any, batch: dict, device: Any) -> Any:
    import copy

    import torch

    data = trainer.module.data_preprocessor(batch, training=True)
    inputs, gt = data["inputs"].contiguous(), data["data_samples"]["gt"].contiguous()
    network = copy.deepcopy(trainer.module.backbone)
    if hasattr(network, "set_scale"):
        network.set_scale(gt.shape[-1] // inputs.shape[-1])
    settings = {k: v for k, v in cfg.optim_wrapper["optimizer"].items() if k != "type"}
    optimizer = getattr(torch.optim, cfg.optim_wrapper["optimizer"]["type"])
    weights = [p for p in network.parameters() if p.requires_grad]
    return tools.plain_step(network, optimizer(weights, **settings), inputs, gt)


def _assert_equal(plain: Any, trainers: dict[str, Any], batch: dict) -> None:
    """Two updates by every variant from the same weights give the same losses."""
    wanted = [float(plain()) for _ in range(2)]
    for name, trainer in trainers.items():
        found = [float(trainer.step(batch, i)["loss"]) for i in range(2)]
        tolerance = 2e-2 if trainer.fast.amp else 1e-4
        for w, f in zip(wanted, found):
            if abs(w - f) > tolerance * abs(w):
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

    from superres.inference.memory import LiveBytes

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        trainer.step(batch, 0)
        return torch.cuda.max_memory_allocated(device) / 2**20
    if trainer.fast.compile:
        return float("nan")  # compiled code makes tensors that nobody sees
    with LiveBytes() as live:
        trainer.step(batch, 0)
    return live.peak / 2**20


def _waiting(trainer: Any, iterations: int) -> float:
    """Share of the loop's time that it waits for data, with the config's workers."""
    trainer.max_iters = trainer.iter + iterations + 4
    started = [0.0, 0.0]
    step = trainer.step

    def counted(batch: Any, seed: int) -> Any:
        if trainer.max_iters - trainer.iter == iterations:  # the workers have started
            started[:] = time.perf_counter(), trainer.data_wait
        return step(batch, seed)

    trainer.step = counted
    trainer.train()
    return (trainer.data_wait - started[1]) / (time.perf_counter() - started[0])


def _several(call: Any, count: int, gpu: bool) -> Any:
    def calls() -> None:
        for _ in range(count):
            call()
        _wait(gpu)

    return calls


def _wait(gpu: bool) -> None:
    if gpu:
        import torch

        torch.cuda.synchronize()


def _report(
    args: Any, cfg: Any, device: Any, scale: int, rows: list, products: dict[str, float],
    operations: float, memory: dict[str, float], waiting: float,
) -> dict[str, Any]:  # fmt: skip
    import torch

    speed = {r["name"]: r["median"] for r in rows}
    steps = [name for name in speed if name not in products]
    peaks = {name: speed[name] * products[name] / 1e12 for name in products}
    more: list[dict[str, Any]] = []
    ratios = {f"{n} / {PLAIN}": ratio(rows, n, PLAIN) for n in steps if n != PLAIN}

    def add(name: str, value: float, unit: str) -> None:
        more.append({"name": name, "median": value, "unit": unit, "repeats": args.repeats})

    for name in steps:
        add(name, speed[name] * cfg.global_batch_size, "images/s")
        add(name, speed[name] * operations / 1e12, "TFLOP/s")
        # Steps in bfloat16 are held against the product in bfloat16.
        half = "bfloat16" in name or name.startswith(("+ compile", "+ cuda"))
        peak = peaks.get(BFLOAT16 if half else FLOAT32) or peaks[FLOAT32]
        ratios[f"{name}: share of the matrix product's rate"] = (
            speed[name] * operations / 1e12 / peak
        )
    for name, value in memory.items():
        if value == value:
            add(name, value, "MiB at the peak")
    for name, value in peaks.items():
        add(name, value, "TFLOP/s")
    ratios[f"{DEFAULT}: share of time waiting for data"] = waiting
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    setup = {
        "config": args.config,
        "options": " ".join(args.cfg_options) or "none",
        "scale": scale,
        "batch": cfg.global_batch_size,
        "patch": cfg.lq_patch_size,
        "threads": torch.get_num_threads(),
        "time": "CPU time of one thread" if args.cpu_time else "elapsed",
        "workers": cfg.num_workers,
        "TFLOP per iteration": operations / 1e12,
    }
    rows = [r for r in rows if r["name"] in steps]
    return report("train", rows + more, ratios, device=name, setup=setup)
