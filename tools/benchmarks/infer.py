"""Upscaling an image with EDSR-baseline: eager PyTorch against our back ends, and their memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Variant, measure, python, ratios, row, sizes
from superres.errors import UserError
from superres.options import whole_scale

CONFIG = {"type": "EDSR", "channels": 64, "num_blocks": 16}
EAGER = "eager PyTorch"
# Of float32 and of bfloat16, beside eager PyTorch.
TOLERANCE = {False: 1e-4, True: 4 / 255}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    scales = {"type": whole_scale, "nargs": "+", "default": [2, 4]}
    parser.add_argument("--scale", **scales, metavar="S", help="(2 4)")
    sizes(parser, 1, height=339, width=510, tile=96)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time all variants in turn, then take each one's peak memory in a process of its own."""
    import torch

    rows, found = [], {}
    for scale in args.scale:
        x = torch.rand((1, 3, args.height, args.width), generator=torch.Generator().manual_seed(0))
        new = measure(variants(scale, x), args.repeats)
        held, pairs = memory(args, scale)
        found |= ratios(new, *((new[0]["name"], other["name"]) for other in new[1:]))
        found |= ratios(held, *pairs)
        rows += [*new, *held]
    setup = {"network": "EDSR 16x64, random weights", "input": f"{args.width}x{args.height} px"}
    setup |= {"threads": torch.get_num_threads(), "precision": "float32 unless named otherwise"}
    return {"rows": rows, "ratios": found, "setup": setup}


def network(scale: int) -> Any:
    """EDSR-baseline with random weights, always the same."""
    import torch

    from superres.checkpoints.networks import full_config
    from superres.registry import MODELS

    torch.manual_seed(0)
    made = MODELS.build({**CONFIG, "scale": scale}).eval()
    made.superres_config = full_config({**CONFIG, "scale": scale})  # as a network from a file
    return made


def variants(scale: int, x: Any) -> list[Variant]:
    """Eager PyTorch and every back end that is installed; their results are compared first."""
    import torch

    from superres.inference import backends

    plain, engines = network(scale), backends.installed()[::-1]  # torch first
    wanted = plain(x).detach()
    nets = {f"superres {name}": backends.best(plain, "cpu", name) for name in engines}
    with contextlib.suppress(UserError):  # on a processor without it
        nets["superres torch bf16"] = backends.best(plain, "cpu", "torch", dtype="bf16")
    found = []
    for name, net in {EAGER: plain, **nets}.items():
        call = torch.no_grad()(partial(net, x))
        if (worst := float((call() - wanted).abs().max())) > TOLERANCE["bf16" in name]:
            raise AssertionError(f"{name} differs from eager PyTorch by {worst:.2g}")
        found.append(Variant(f"x{scale} {name}", call))
    return found


def memory(args: argparse.Namespace, scale: int) -> tuple[list[Row], list[tuple[str, str]]]:
    """Peak memory of each back end on the whole image and in tiles, and what to compare."""
    import torch

    from superres.inference import backends

    rows, pairs = [], []
    shape, threads = (1, 3, args.height, args.width), torch.get_num_threads()

    def peak(title: str, backend: str | None, tile: object) -> str:
        name = f"x{scale} peak memory, {title} {'whole' if tile == 'off' else 'tiles'}"
        words = json.dumps([scale, shape, threads, backend, tile])
        rows.append(row(name, [float(python("-m", "benchmarks.infer", words).split()[-1])], "MB"))
        return name

    whole_image = peak(EAGER, None, "off")
    for name in reversed(backends.installed()):
        peak(f"superres {name}", name, "off")
        pairs.append((whole_image, peak(f"superres {name}", name, args.tile)))
    return rows, pairs


def upscale_once(
    scale: int, shape: list[int], threads: int, backend: str | None, tile: int | str
) -> None:
    """Upscale a random image, and print the most memory that this process held, in MB (10^6)."""
    import torch

    from superres.inference.backends import best
    from superres.inference.backends.pytorch import upscale_tensor

    torch.set_num_threads(threads)
    net = network(scale) if backend is None else best(network(scale), "cpu", backend)
    upscale_tensor(net, torch.rand(shape), tile=tile)
    # getrusage() would count the parent's memory at the time of the fork, this does not.
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    print(int(peak) * 1024 / 1e6)


if __name__ == "__main__":
    upscale_once(*json.loads(sys.argv[1]))
