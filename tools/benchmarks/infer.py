"""Upscaling an image with EDSR-baseline: eager PyTorch against our back ends, and their memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Row, Variant, measure, python, ratios, row
from superres.errors import UserError
from superres.options import whole, whole_scale

if TYPE_CHECKING:
    from torch import Tensor, device, nn

CONFIG = {"type": "EDSR", "channels": 64, "num_blocks": 16}
EAGER = "eager PyTorch"
TOLERANCE = {False: 1e-4, True: 4 / 255}
"""Of float32 and of 16-bit numbers, beside eager PyTorch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scale", type=whole_scale, nargs="+", default=[2, 4], metavar="S", help="(2 4)")
    add("--height", type=whole(1), default=339, help="of the input (339)")
    add("--width", type=whole(1), default=510, help="of the input (510)")
    add("--tile", type=whole(1), default=96, help="side of the tiles (96)")
    add("--threads", type=whole(1), help="default: what PyTorch takes")
    add("--device", default="cpu", help="cpu (default) or cuda")
    add("--no-memory", action="store_true", help="measure time only")


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time all variants in turn, then take each one's peak memory in a process of its own."""
    import torch

    from superres.checkpoints import pick_device

    if args.threads:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    rows: list[Row] = []
    found: dict[str, float] = {}
    for scale in args.scale:
        x = torch.rand((1, 3, args.height, args.width), generator=torch.Generator().manual_seed(0))
        new = measure(variants(scale, x.to(device)), args.repeats)
        found |= ratios(new, *((new[0]["name"], other["name"]) for other in new[1:]))
        rows += new
        if device.type == "cpu" and not args.no_memory:
            new, pairs = memory(args, scale)
            found |= ratios(new, *pairs)
            rows += new
    setup = {"network": "EDSR 16x64, random weights", "input": f"{args.width}x{args.height} px"}
    setup |= {"threads": torch.get_num_threads(), "precision": "float32 unless named otherwise"}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"rows": rows, "ratios": found, "device": name, "setup": setup}


def network(scale: int) -> nn.Module:
    """EDSR-baseline with random weights, always the same."""
    import torch

    from superres.checkpoints.formats.base import full_config
    from superres.registry import MODELS

    torch.manual_seed(0)
    config = {**CONFIG, "scale": scale}
    made = MODELS.build(config).eval()
    made.superres_config = full_config(config)  # as a network from a file
    return made


def variants(scale: int, x: Tensor) -> list[Variant]:
    """Eager PyTorch and every back end that is installed; their results are compared first."""
    import torch

    from superres.inference.backends import best

    plain = network(scale).to(x.device)
    with torch.no_grad():
        wanted = plain(x)
    found = []
    for name, net in {EAGER: plain, **back_ends(plain, x.device, best)}.items():

        def call(net: Callable[[Tensor], Tensor] = net) -> Tensor:
            with torch.no_grad():
                y = net(x)
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            return y

        if (worst := float((call() - wanted).abs().max())) > TOLERANCE["16" in name]:
            raise AssertionError(f"{name} differs from eager PyTorch by {worst:.2g}")
        found.append(Variant(f"x{scale} {name}", call))
    return found


def back_ends(plain: nn.Module, device: device, best: Callable) -> dict[str, Callable]:
    """Ours, by name: on a CPU the engines, on a GPU the precisions."""
    if device.type == "cpu":
        made = {f"superres {name}": best(plain, device, name) for name in engines()}
        with contextlib.suppress(UserError):  # on a processor without it
            made["superres torch bf16"] = best(plain, device, "torch", dtype="bf16")
        return made
    precisions = ("fp32", "fp16", "bf16")
    return {f"superres torch {dtype}": best(plain, device, dtype=dtype) for dtype in precisions}


def engines() -> list[str]:
    """The back ends that are installed, torch first."""
    from superres.inference import backends

    return list(reversed(backends.installed()))


def memory(args: argparse.Namespace, scale: int) -> tuple[list[Row], list[tuple[str, str]]]:
    """Peak memory of each back end on the whole image and in tiles, and what to compare."""
    import torch

    rows, pairs = [], []
    job = {"scale": scale, "shape": (1, 3, args.height, args.width)}
    job["threads"] = torch.get_num_threads()

    def peak(title: str, backend: str | None, tile: object) -> str:
        name = f"x{scale} peak memory, {title} {'whole' if tile == 'off' else 'tiles'}"
        words = json.dumps({**job, "backend": backend, "tile": tile})
        rows.append(row(name, [float(python("-m", "benchmarks.infer", words).split()[-1])], "MB"))
        return name

    whole_image = peak(EAGER, None, "off")
    for name in engines():
        peak(f"superres {name}", name, "off")
        pairs.append((whole_image, peak(f"superres {name}", name, args.tile)))
    return rows, pairs


def upscale_once(job: dict[str, Any]) -> None:
    """Upscale a random image, and print the most memory that this process held, in MB (10^6)."""
    import torch

    from superres.inference import upscale_tensor
    from superres.inference.backends import best

    torch.set_num_threads(job["threads"])
    net = network(job["scale"])
    if job["backend"]:
        net = best(net, "cpu", job["backend"])
    upscale_tensor(net, torch.rand(job["shape"]), tile=job["tile"])
    # getrusage() would count the parent's memory at the time of the fork, this does not.
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    print(int(peak) * 1024 / 1e6)


if __name__ == "__main__":
    upscale_once(json.loads(sys.argv[1]))
