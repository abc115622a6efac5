"""The points of the scaling model that any machine can measure: one and two ranks over gloo."""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from superres.models.summary import summarise
from superres.registry import MODELS

NETWORK = {"type": "EDSR", "scale": 2, "channels": 64, "num_blocks": 16}
PATCH, SAMPLES, REPEATS = 48, 2, 7


def measure() -> dict[str, Any]:
    """EDSR-baseline x2, two samples of 48x48 per rank, one thread each; takes about a minute.

    Returns:
        What the model says and what was found: operations and kept bytes of a sample, bytes of
        gradients, bytes on the wire, seconds of the parts and of steps on one and two ranks.
    """
    summary = summarise(NETWORK, (PATCH, PATCH))
    one, two = _run(1)[0], _run(2)
    pair = two[0]
    step = statistics.fmean(r["step"] for r in two)
    sent = sum(r["sent"] for r in two) / len(two)
    size = 4 * summary.trainable
    hidden = max(0.0, pair["all_reduce"] - 2 / 3 * pair["alone"])
    return {
        "schema": 1,
        "device": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": {"torch": str(torch.__version__)},
        "repeats": REPEATS,
        "points": [
            _point("operations of a sample, forward and backward", 3 * summary.flops, one["flops"]),
            _point("bytes of gradients per update", size, pair["gradient_bytes"]),
            _point("bytes that each of two ranks sends to sum them", size, sent),
            _point("bytes kept of a sample for the backward pass (float32)",
                   summary.training_memory, one["kept"]),
            _point("seconds of a step on 2 ranks, from one without exchange and the exchange",
                   pair["alone"] + hidden, step),
        ],
        "seconds": {
            "step, 1 rank": one["step"],
            "step, 2 ranks": step,
            "step, 2 ranks, no exchange": pair["alone"],
            "all-reduce of the gradients, 2 ranks": pair["all_reduce"],
        },
    }  # fmt: skip


def _point(name: str, model: float, measured: float) -> dict[str, Any]:
    return {"name": name, "model": model, "measured": measured, "ratio": measured / model}


def _run(size: int) -> list[dict[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(rank), str(size), port],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(size)
    ]
    return [json.loads(rank.communicate()[0].splitlines()[-1]) for rank in ranks]


def _median(do: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        distributed.barrier()
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _rank(rank: int, size: int, port: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size
    )
    torch.manual_seed(0)
    network = MODELS.build(dict(NETWORK))
    lq = torch.rand(SAMPLES, 3, PATCH, PATCH)
    gt = torch.rand(SAMPLES, 3, 2 * PATCH, 2 * PATCH)

    def step(model: torch.nn.Module) -> None:
        (model(lq) - gt).abs().mean().backward()

    kept = _kept(network, lq)
    with FlopCounterMode(display=False) as counter:
        step(network)
    found: dict[str, Any] = {"flops": counter.get_total_flops() / SAMPLES, "kept": kept / SAMPLES}
    shared = DistributedDataParallel(network)
    seen: list[int] = []

    def count(_, bucket):  # torch refuses annotations that are text, as all are here
        seen.append(bucket.buffer().nbytes)
        done = distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
        return done.then(lambda result: result.value()[0].div_(size))

    shared.register_comm_hook(None, count)
    step(shared)  # the first one makes the buckets
    seen.clear()
    step(shared)
    found["gradient_bytes"] = sum(seen)
    gradients = torch.zeros(sum(seen) // 4)
    with shared.no_sync():
        found["alone"] = _median(lambda: step(shared))
    found["step"] = _median(lambda: step(shared))
    found["all_reduce"] = _median(lambda: distributed.all_reduce(gradients))
    distributed.barrier()
    before, rounds = _sent(), 20
    for _ in range(rounds):
        distributed.all_reduce(gradients)
    distributed.barrier()
    # Ranks of one machine share the interface: what it has sent is all of theirs.
    found["sent"] = (_sent() - before) / rounds / size
    distributed.destroy_process_group()
    return found


def _kept(network: torch.nn.Module, lq: torch.Tensor) -> int:
    """Bytes of the distinct tensors that autograd keeps, weights apart."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(lq)
    del output
    return sum(kept.values())


def _sent() -> int:
    """Bytes that this machine has sent to itself."""
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[8])
    return 0


if __name__ == "__main__":
    print(json.dumps(_rank(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])), flush=True)
    os._exit(0)  # DDP's hook, written in Python, may wait for itself when Python takes all apart
