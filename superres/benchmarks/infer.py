"""Enlarging a picture with EDSR-baseline: plain eager PyTorch against our back ends, and memory."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from superres.benchmarks.harness import Variant, measure, ratio, report, row
from superres.errors import UserError
from superres.options import whole_scale

if TYPE_CHECKING:
    import torch
    from torch import nn

CHANNELS, BLOCKS = 64, 16
PRODUCT = 3072
"""Side of the square matrices whose product gives the peak."""
TOLERANCE = 1e-4
HALF_TOLERANCE = 4 / 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale", type=whole_scale, nargs="+", default=[2, 4], metavar="S", help="(2 4)"
    )
    parser.add_argument("--height", type=int, default=339, help="of the input (339)")
    parser.add_argument("--width", type=int, default=510, help="of the input (510)")
    parser.add_argument("--tile", type=int, default=96, help="side of the tiles (96)")
    parser.add_argument("--threads", type=int, help="default: what PyTorch takes")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--no-memory", action="store_true", help="measure time only")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time all variants in turn, then take each one's peak memory in a process of its own."""
    if min(args.height, args.width, args.tile) < 1 or (args.threads or 1) < 1:
        raise UserError("benchmark infer: sizes and threads must be positive")
    import torch

    from superres.checkpoints import pick_device

    if args.threads:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for scale in args.scale:
        _time(args, scale, device, rows, ratios)
        if device.type == "cpu" and not args.no_memory:
            _memory(args, scale, rows, ratios)
    setup = {
        "network": f"EDSR {BLOCKS}x{CHANNELS}, random weights",
        "input": f"{args.width}x{args.height} px",
        "threads": torch.get_num_threads(),
        "precision": "float32 unless named otherwise",
        "peak": f"product of {PRODUCT}x{PRODUCT} float32 matrices",
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return report("infer", rows, ratios, device=name, setup=setup)


def network(scale: int) -> nn.Module:
    """EDSR-baseline with random weights, always the same."""
    import torch

    from superres.registry import MODELS

    torch.manual_seed(0)
    config = {"type": "EDSR", "channels": CHANNELS, "num_blocks": BLOCKS, "scale": scale}
    return MODELS.build(config).eval()


def _time(
    args: argparse.Namespace,
    scale: int,
    device: torch.device,
    rows: list[dict[str, Any]],
    ratios: dict[str, float],
) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    net = network(scale)
    x = torch.rand((1, 3, args.height, args.width), generator=torch.Generator().manual_seed(0))
    x = x.to(device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.to("meta")(x.to("meta"))
    flops = counter.get_total_flops()
    calls = _calls(network(scale), scale, x, device)

    def timed(call: Callable[[], Any]) -> Callable[[], Any]:
        def once() -> None:
            with torch.no_grad():
                call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return once

    a = torch.rand((PRODUCT, PRODUCT), device=device)
    peak = f"x{scale} matrix product"
    calls[peak] = lambda: a @ a
    new = measure([Variant(k, timed(c)) for k, c in calls.items()], args.repeats)
    rows += new
    base = f"x{scale} eager PyTorch"
    for line in new:
        if line["name"] not in (base, peak):
            ratios[f"{base} / {line['name'].partition(' ')[2]}"] = ratio(new, base, line["name"])
    per_flop = next(r["median"] for r in new if r["name"] == peak) / (2 * PRODUCT**3)
    for line in new:
        if line["name"] != peak:
            ratios[f"{line['name']}, share of the peak"] = flops * per_flop / line["median"]


def _calls(
    net: nn.Module, scale: int, x: torch.Tensor, device: torch.device
) -> dict[str, Callable[[], Any]]:
    """Variant -> call; their results are compared first."""
    import torch

    from superres.benchmarks._infer_baseline import with_weights_of
    from superres.inference.backends import best, installed

    plain = with_weights_of(net, CHANNELS, BLOCKS, scale).to(device)
    nets: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"eager PyTorch": plain}
    if device.type == "cpu":
        nets |= {f"superres {name}": best(net, device, name) for name in reversed(installed())}
    else:
        nets |= {
            f"superres torch {dtype}{' compiled' * compiled}": best(
                net, device, dtype=dtype, compile=compiled
            )
            for dtype in ("fp32", "fp16", "bf16")
            for compiled in (False, True)
        }
    with torch.no_grad():
        wanted = plain(x)
        for name, other in nets.items():
            worst = float((other(x) - wanted).abs().max())
            if worst > (TOLERANCE if "16" not in name else HALF_TOLERANCE):
                raise AssertionError(f"{name} differs from {'eager PyTorch'} by {worst:.2g}")
    return {f"x{scale} {name}": lambda call=call: call(x) for name, call in nets.items()}


def _memory(
    args: argparse.Namespace, scale: int, rows: list[dict[str, Any]], ratios: dict[str, float]
) -> None:
    import torch

    from superres.benchmarks._infer_memory import peak_megabytes
    from superres.inference.backends import installed

    names = ["eager", *reversed(installed())]
    megabytes = {}
    for name in names:
        for tile in ("off", args.tile) if name != "eager" else ("off",):
            job = {
                "scale": scale,
                "height": args.height,
                "width": args.width,
                "backend": name,
                "tile": tile,
                "threads": torch.get_num_threads(),
            }
            where = "whole" if tile == "off" else "tiles"
            title = "eager PyTorch" if name == "eager" else f"superres {name}"
            megabytes[name, where] = peak_megabytes(job)
            rows.append(row(f"x{scale} {title}, {where}", [megabytes[name, where]], "MB"))
    for name in names[1:]:
        for base in dict.fromkeys(("eager", name)):
            words = "eager PyTorch" if base == "eager" else f"superres {name}"
            ratios[f"x{scale} peak memory, {words} whole / superres {name} tiles"] = (
                megabytes[base, "whole"] / megabytes[name, "tiles"]
            )
