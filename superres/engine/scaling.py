"""What bounds a training on N GPUs, on paper: arithmetic, memory, network or data.

Nothing here is measured. A step takes as long as the slowest of four things that go on at the same
time; each is a count (from :mod:`superres.models.summary`) divided by a rate that is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from superres.models.summary import summarise

GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


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
    gpus_per_node: int = 8
    link: float = 450e9
    network: float = 50e9
    exchange_share: float = 0.8
    link_latency: float = 2e-6
    network_latency: float = 8e-6
    overlap: float = 2 / 3
    samples: float = 10_000.0
    workers: int = 4


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


@dataclass(frozen=True)
class Step:
    """Seconds of one iteration's parts, which overlap, on each of ``gpus``."""

    gpus: int
    batch: int
    compute: float
    memory: float
    network: float
    data: float

    def seconds(self, overlap: float) -> float:
        """Of the whole: the gradients' exchange hides behind the backward pass."""
        busy = max(self.compute, self.memory)
        return max(busy + max(0.0, self.network - overlap * busy), self.data)

    def bound(self, overlap: float) -> str:
        """The part to improve first."""
        busy = max(self.compute, self.memory)
        if self.data > busy + max(0.0, self.network - overlap * busy):
            return "data"
        if self.network > overlap * busy:
            return "network"
        return "compute" if self.compute >= self.memory else "memory"


def all_reduce_bytes(size: int, gpus: int) -> float:
    """Sent (and received) by each GPU to sum ``size`` bytes over all, as a ring does it."""
    return 2 * (gpus - 1) / gpus * size


def all_reduce_seconds(size: int, gpus: int, hw: Hardware) -> float:
    """A ring inside each node; between nodes one ring per GPU of a node, over a share each.

    Hops: a ring's within a node, a tree's between nodes (what NCCL picks for small messages).
    """
    inside = min(gpus, hw.gpus_per_node)
    nodes = math.ceil(gpus / hw.gpus_per_node)
    seconds = all_reduce_bytes(size, inside) / (hw.link * hw.exchange_share)
    seconds += 2 * (inside - 1) * hw.link_latency
    if nodes > 1:
        share = size / inside
        seconds += all_reduce_bytes(share, nodes) / (hw.network * hw.exchange_share)
        seconds += 2 * math.ceil(math.log2(nodes)) * hw.network_latency
    return seconds


def step_of(work: Work, gpus: int, batch: int, hw: Hardware) -> Step:
    """One iteration of ``batch`` samples over ``gpus``."""
    local = batch / gpus
    return Step(
        gpus=gpus,
        batch=batch,
        compute=local * work.flops / (hw.flops * hw.flops_share),
        # What is kept is written once and read once.
        memory=(2 * local * work.kept + work.optimiser_bytes) / (hw.memory * hw.memory_share),
        network=all_reduce_seconds(work.gradient_bytes, gpus, hw) if gpus > 1 else 0.0,
        data=local / (hw.samples * hw.workers),
    )


def needs(work: Work, hw: Hardware) -> tuple[float, float, float]:
    """What hides behind the arithmetic, with the published batch on each GPU of many nodes.

    Returns:
        (milliseconds of arithmetic, GB/s per GPU between nodes, samples/s per GPU).
    """
    step = step_of(work, 1, work.batch, hw)
    busy = max(step.compute, step.memory)
    exchanged = 2 * work.gradient_bytes / hw.gpus_per_node
    network = exchanged / (hw.overlap * busy * hw.exchange_share)
    return 1e3 * busy, network / 1e9, work.batch / busy
