"""Enlarging an image with EDSR-baseline: plain eager PyTorch against our back ends, and memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Variant, environment, measure, ratio, report, row
from superres.errors import UserError
from superres.options import whole_scale

if TYPE_CHECKING:
    import torch
    from torch import nn

CHANNELS, BLOCKS = 64, 16
TOLERANCE = 1e-4
HALF_TOLERANCE = 4 / 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scale", type=whole_scale, nargs="+", default=[2, 4], metavar="S", help="(2 4)")
    add("--height", type=int, default=339, help="of the input (339)")
    add("--width", type=int, default=510, help="of the input (510)")
    add("--tile", type=int, default=96, help="side of the tiles (96)")
    add("--threads", type=int, help="default: what PyTorch takes")
    add("--device", default="cpu", help="cpu (default) or cuda")
    add("--no-memory", action="store_true", help="measure time only")


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
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return report("infer", rows, ratios, device=name, setup=setup)


def network(scale: int) -> nn.Module:
    """EDSR-baseline with random weights, always the same."""
    import torch

    from superres.checkpoints.formats.base import full_config
    from superres.registry import MODELS

    torch.manual_seed(0)
    config = {"type": "EDSR", "channels": CHANNELS, "num_blocks": BLOCKS, "scale": scale}
    made = MODELS.build(config).eval()
    made.superres_config = full_config(config)  # as a network from a file
    return made


def _time(args: Any, scale: int, device: torch.device, rows: list, ratios: dict) -> None:
    import torch

    x = torch.rand((1, 3, args.height, args.width), generator=torch.Generator().manual_seed(0))
    calls = _calls(network(scale), scale, x.to(device), device)

    def timed(call: Callable[[], Any]) -> None:
        with torch.no_grad():
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    new = measure([Variant(k, lambda c=c: timed(c)) for k, c in calls.items()], args.repeats)
    rows += new
    base, *others = calls
    ratios |= {f"{base} / {n.partition(' ')[2]}": ratio(new, base, n) for n in others}


def _calls(
    net: nn.Module, scale: int, x: torch.Tensor, device: torch.device
) -> dict[str, Callable[[], Any]]:
    """Variant -> call; their results are compared first."""
    import torch

    from superres.inference.backends import best, installed

    plain = net.to(device)
    nets: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"eager PyTorch": plain}
    if device.type == "cpu":
        nets |= {f"superres {name}": best(net, device, name) for name in reversed(installed())}
        with contextlib.suppress(UserError):  # on a processor without it
            nets["superres torch bf16"] = best(net, device, "torch", dtype="bf16")
    else:
        nets |= {
            f"superres torch {dtype}": best(net, device, dtype=dtype)
            for dtype in ("fp32", "fp16", "bf16")
        }
    with torch.no_grad():
        wanted = plain(x)
        for name, other in nets.items():
            worst = float((other(x) - wanted).abs().max())
            if worst > (TOLERANCE if "16" not in name else HALF_TOLERANCE):
                raise AssertionError(f"{name} differs from eager PyTorch by {worst:.2g}")
    return {f"x{scale} {name}": lambda call=call: call(x) for name, call in nets.items()}


def _memory(args: Any, scale: int, rows: list, ratios: dict) -> None:
    import torch

    from superres.inference.backends import installed

    titles = {"eager": "eager PyTorch"} | {n: f"superres {n}" for n in reversed(installed())}
    job = {"scale": scale, "shape": (1, 3, args.height, args.width)}
    job["threads"] = torch.get_num_threads()
    megabytes = {}
    for name, title in titles.items():
        for where, tile in (("whole", "off"), ("tiles", args.tile))[: 1 + (name != "eager")]:
            peak = _peak_megabytes({**job, "backend": name, "tile": tile})
            megabytes[name, where] = peak
            rows.append(row(f"x{scale} {title}, {where}", [peak], "MB"))
    for name in list(titles)[1:]:
        for base in ("eager", name):
            what = f"{titles[base]} whole / {titles[name]} tiles"
            ratios[f"x{scale} peak memory, {what}"] = (
                megabytes[base, "whole"] / megabytes[name, "tiles"]
            )


def _peak_megabytes(job: dict[str, Any]) -> float:
    """Enlarge a random image in a new process; the most memory that it held, in MB (10^6 bytes)."""
    command = [sys.executable, "-m", "benchmarks.infer", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise RuntimeError(f"measuring memory failed: {done.stderr.strip()[-600:]}")
    return float(done.stdout.splitlines()[-1])


def _enlarge(job: dict[str, Any]) -> None:
    import torch

    from superres.inference import upscale_tensor
    from superres.inference.backends import best

    torch.set_num_threads(job["threads"])
    net = network(job["scale"])
    if job["backend"] != "eager":
        net = best(net, "cpu", job["backend"])
    upscale_tensor(net, torch.rand(job["shape"]), tile=job["tile"])


if __name__ == "__main__":
    _enlarge(json.loads(sys.argv[1]))
    # getrusage() would count the parent's memory at the time of the fork, this does not.
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    print(int(peak) * 1024 / 1e6)
