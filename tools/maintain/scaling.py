"""What bounds a training on N GPUs, on paper: arithmetic, memory, network or data.

python tools/maintain/scaling.py [network=1.25e9 gpus_per_node=1 ...]

prints the tables of docs/scaling.md, for other hardware if need be. Nothing here is measured. A
step takes as long as the slowest of four things that go on at the same time; each is a count (from
:mod:`superres.models.summary`) divided by a rate that is assumed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, filled, markdown_table
from superres.cli.main import exit_code
from superres.engine.config.load import load_config
from superres.engine.config.types import use_scope
from superres.engine.config.values import scales_of, to_plain
from superres.errors import UserError
from superres.models.summary import summarise

PAGE = ROOT / "docs/scaling.md"
MEASURED = ROOT / "docs/results/scaling_cpu.json"
GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MODELS = (
    "srcnn_x2k915_g1_1000k_div2k",
    "vdsr_x2c64b20_g1_80k_291",
    "srresnet_x2c64b16_g1_300k_div2k",
    "edsr_x2c64b16_g1_300k_div2k",
    "edsr_x4c64b16_g1_300k_div2k",
    "mdsr_x2x3x4c64b16_g1_650k_div2k",
    "rcan_x2c64g10b20_g1_1000k_div2k",
    "drln_x2c64b20_g1_3000k_div2k",
    "edsr_x2c256b32_g1_300k_div2k",
)


@dataclass(frozen=True)
class Hardware:
    """Rates of one GPU and its share of a node. Seconds, bytes, operations.

    Attributes:
        flops: of dense bfloat16 matrix products, by the data sheet.
        flops_share: of it that convolutions of this kind reach.
        memory: bytes per second of the GPU's memory.
        memory_share: of it that pointwise operations reach.
        gpus_per_node: that are joined by ``link``.
        link, network: bytes per second and direction of a GPU, inside a node and between nodes.
        exchange_share: of them that an all-reduce reaches.
        link_latency, network_latency: of one hop.
        overlap: share of the step during which gradients can be exchanged: the backward pass.
        samples: per second from one data-loading process.
        workers: data-loading processes per GPU.
    """

    flops: float = 989e12
    flops_share: float = 0.5
    memory: float = 4.8e12
    memory_share: float = 0.8
    gpus_per_node: float = 8
    link: float = 450e9
    network: float = 50e9
    exchange_share: float = 0.8
    link_latency: float = 2e-6
    network_latency: float = 8e-6
    overlap: float = 2 / 3
    samples: float = 10_000
    workers: float = 4

    def __str__(self) -> str:
        return (
            f"{self.flops / 1e12:g} TFLOP/s in bfloat16, of which {self.flops_share:.0%} are "
            f"reached; {self.memory / 1e12:g} TB/s of memory ({self.memory_share:.0%}); "
            f"{self.gpus_per_node:g} GPUs a node, joined by {self.link / 1e9:g} GB/s each way, "
            f"nodes by {self.network / 1e9:g} GB/s per GPU ({self.exchange_share:.0%} of both); "
            f"{1e6 * self.link_latency:g} and {1e6 * self.network_latency:g} us a hop; gradients "
            f"travel during {self.overlap:.0%} of the step; {self.workers:g} data-loading "
            f"processes of {self.samples:,.0f} samples/s"
        )


@dataclass(frozen=True)
class Work:
    """What one iteration asks for.

    Attributes:
        name: of the config.
        parameters: trained weights.
        batch: samples over all processes, as published.
        flops: of one sample, forward and backward.
        kept: bytes that one sample's forward pass keeps for the backward pass, in bfloat16.
    """

    name: str
    parameters: int
    batch: int
    flops: float
    kept: float

    @property
    def gradient_bytes(self) -> int:
        """What each rank hands over per update: float32, whatever the pass is computed in."""
        return 4 * self.parameters

    @property
    def optimiser_bytes(self) -> int:
        """Read and written of weights, gradients and Adam's two moments: 7 accesses of 4 bytes,
        and 2 more by the passes."""
        return 9 * 4 * self.parameters


def work_of(name: str, backbone: Mapping[str, Any], scale: int, patch: int, batch: int) -> Work:
    """Count one iteration of a config.

    The backward pass is taken for twice the forward one: gradients of weights and of inputs.
    """
    summary = summarise(backbone, (patch, patch), scale)
    return Work(name, summary.trainable, batch, 3 * summary.flops, summary.training_memory / 2)


def all_reduce_bytes(size: float, gpus: float) -> float:
    """Sent (and received) by each GPU to sum ``size`` bytes over all, as a ring does it."""
    return 2 * (gpus - 1) / gpus * size


def all_reduce_seconds(size: float, gpus: int, hw: Hardware) -> float:
    """A ring inside each node; between nodes one ring per GPU of a node, over a share each.

    Hops: a ring's within a node, a tree's between nodes (what NCCL picks for small messages).
    """
    inside = min(gpus, hw.gpus_per_node)
    nodes = math.ceil(gpus / hw.gpus_per_node)
    seconds = all_reduce_bytes(size, inside) / (hw.link * hw.exchange_share)
    seconds += 2 * (inside - 1) * hw.link_latency
    if nodes > 1:
        seconds += all_reduce_bytes(size / inside, nodes) / (hw.network * hw.exchange_share)
        seconds += 2 * math.ceil(math.log2(nodes)) * hw.network_latency
    return seconds


def step_of(work: Work, gpus: int, batch: int, hw: Hardware) -> tuple[float, str]:
    """Seconds of one iteration of ``batch`` samples over ``gpus``, and what bounds it."""
    compute, memory = _busy(work, batch / gpus, hw)
    network = all_reduce_seconds(work.gradient_bytes, gpus, hw) if gpus > 1 else 0.0
    data = batch / gpus / (hw.samples * hw.workers)
    return slowest(compute, memory, network, data, hw.overlap)


def slowest(
    compute: float, memory: float, network: float, data: float, overlap: float
) -> tuple[float, str]:
    """Seconds of parts that go on at the same time, and the part to improve first.

    The gradients' exchange hides behind the backward pass, ``overlap`` of the arithmetic.
    """
    busy = max(compute, memory)
    whole = busy + max(0.0, network - overlap * busy)
    if data > whole:
        return data, "data"
    if network > overlap * busy:
        return whole, "network"
    return whole, "compute" if compute >= memory else "memory"


def _busy(work: Work, samples: float, hw: Hardware) -> tuple[float, float]:
    """Seconds of arithmetic and of memory. What is kept is written once and read once."""
    compute = samples * work.flops / (hw.flops * hw.flops_share)
    moved = 2 * samples * work.kept + work.optimiser_bytes
    return compute, moved / (hw.memory * hw.memory_share)


def needs(work: Work, hw: Hardware) -> tuple[float, float, float]:
    """What hides behind the arithmetic, with the published batch on each GPU of many nodes.

    Returns:
        (milliseconds of arithmetic, GB/s per GPU between nodes, samples/s per GPU).
    """
    busy = max(_busy(work, work.batch, hw))
    exchanged = 2 * work.gradient_bytes / hw.gpus_per_node
    network = exchanged / (hw.overlap * busy * hw.exchange_share)
    return 1e3 * busy, network / 1e9, work.batch / busy


def pages() -> dict[Path, str]:
    """The page."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    text = "\n".join([*tables(Hardware()), *_checked(measured)])
    return {PAGE: filled(PAGE, f"\n{text}\n")}


def tables(hw: Hardware) -> list[str]:
    """The tables, as Markdown."""
    works = [_work(name) for name in MODELS]
    lines = [f"Assumed of each GPU: {hw}.", "", "### What one iteration asks for", ""]
    lines += markdown_table(
        ["config", "parameters", "batch", "TFLOP", "activations, GB", "optimiser, GB",
         "gradients, MB", "FLOP per byte exchanged"],
        [
            [w.name, f"{w.parameters:,}", str(w.batch), f"{w.flops * w.batch / 1e12:.3f}",
             f"{2 * w.kept * w.batch / 1e9:.2f}", f"{w.optimiser_bytes / 1e9:.3f}",
             f"{w.gradient_bytes / 1e6:.1f}", f"{w.flops * w.batch / w.gradient_bytes:,.0f}"]
            for w in works
        ],
    )  # fmt: skip
    for title, batch_of in (
        ("The published batch, shared out", lambda w, n: w.batch),
        ("The published batch on each GPU", lambda w, n: w.batch * n),
    ):
        used = [n for n in GPUS if any(batch_of(w, n) % n == 0 for w in works)]
        rows = []
        for w in works:
            steps = [step_of(w, n, batch_of(w, n), hw) for n in used]
            cells = [f"{1e3 * seconds:.2f} {bound}" for seconds, bound in steps]
            whole = [batch_of(w, n) % n == 0 for n in used]
            rows.append([w.name, *(c if fits else "" for c, fits in zip(cells, whole))])
        lines += ["", f"### {title}", "", "Milliseconds an iteration, and what bounds it.", ""]
        lines += markdown_table(["config", *(f"{n} GPU" for n in used)], rows)
    lines += [
        "",
        "### What a node has to deliver",
        "",
        "With the published batch on each GPU, per GPU: below these rates the network between "
        "nodes, or the data, would bound the training.",
        "",
    ]
    numbers = [(w.name, *needs(w, hw)) for w in works]
    rows = [[name, f"{ms:,.2f}", f"{gb:,.2f}", f"{rate:,.0f}"] for name, ms, gb, rate in numbers]
    return [*lines, *markdown_table(["config", "busy, ms", "network, GB/s", "samples/s"], rows)]


def _checked(measured: dict[str, Any]) -> list[str]:
    rows = [
        [p["name"], f"{p['model']:.4g}", f"{p['measured']:.4g}", f"{p['ratio']:.3f}"]
        for p in measured["points"]
    ]
    seconds = "; ".join(f"{k} {v:.3f}" for k, v in measured["seconds"].items())
    return [
        "",
        "### Checked where it can be measured",
        "",
        f"EDSR-baseline x2, two samples of 48x48 per rank, gloo, one thread per rank, "
        f"{measured['cores']} cores, torch {measured['versions']['torch']}, median of "
        f"{measured['repeats']}.",
        "",
        *markdown_table(["quantity", "model", "measured", "measured / model"], rows),
        "",
        f"Seconds: {seconds}.",
    ]


def _work(name: str) -> Work:
    use_scope()
    cfg = load_config(name)
    backbone, patch = to_plain(cfg.model)["backbone"], cfg.get("lq_patch_size", 48)
    return work_of(name, backbone, scales_of(cfg)[0], patch, cfg.global_batch_size)


def main() -> int:
    """The command line."""
    changes = {}
    known = [field.name for field in fields(Hardware)]
    for option in sys.argv[1:]:
        key, _, value = option.partition("=")
        try:
            changes[key] = float(value)
        except ValueError:
            changes[key] = 0.0
        if key not in known or not changes[key] > 0:
            raise UserError(f"{option}: KEY=NUMBER, above 0, with one of {', '.join(known)}")
    print("\n".join(tables(Hardware(**changes))))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
