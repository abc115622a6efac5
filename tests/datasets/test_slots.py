"""Batches in memory that is used again: never while somebody looks at them, never lost."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from superres.datasets.loader import WorkerLoader, collate, fresh, train_loader
from superres.datasets.sampler import IterationSampler
from superres.datasets.slots import SlotFiller, SlotRing, available

pytestmark = pytest.mark.skipif(not available(), reason="slots need Linux's memfd")


def samples(value: int, side: int = 8) -> list[dict]:
    picture = np.full((side, side, 3), value, np.uint8)
    return [{"inputs": picture, "gt": picture + 1, "view": 0, "meta": {"index": value}}] * 2


def handed_over(ring: SlotRing, filler: SlotFiller, made: list[dict]) -> dict:
    return ring.take(filler((ring.offer(), made)))


def ring_of(most: int) -> tuple[SlotRing, SlotFiller]:
    ring = SlotRing(most)
    return ring, SlotFiller(ring.key, collate, fresh)


def test_a_slot_is_used_again_once_nobody_looks():
    ring, filler = ring_of(2)
    assert ring.offer() is None  # how large a batch is, the first one shows
    handed_over(ring, filler, samples(1))
    kept = handed_over(ring, filler, samples(2))
    others = [handed_over(ring, filler, samples(n))["gt"].clone() for n in range(3, 30)]
    assert len(ring.slots) == 2
    assert (kept["inputs"] == 2).all()
    assert (kept["gt"] == 3).all()
    assert [int(o[0, 0, 0, 0]) for o in others] == list(range(4, 31))
    second = handed_over(ring, filler, samples(50))
    part = second["inputs"][0, :2]  # a view of it is enough
    del second
    third = handed_over(ring, filler, samples(51))
    assert (part == 50).all()
    assert (third["inputs"] == 51).all()


def test_more_batches_kept_than_slots():
    ring, filler = ring_of(3)
    kept = [handed_over(ring, filler, samples(n)) for n in range(10)]
    assert [int(b["inputs"][0, 0, 0, 0]) for b in kept] == list(range(10))
    assert len(ring.slots) == 3


def test_larger_batches_get_larger_slots():
    ring, filler = ring_of(2)
    for side in (4, 4, 16, 16, 4, 16, 32, 4, 32):
        batch = handed_over(ring, filler, samples(side, side))
        assert batch["gt"].shape == (2, side, side, 3)
        assert (batch["gt"] == side + 1).all()
    assert all(slot.size >= 2 * 2 * 32 * 32 * 3 for slot in ring.slots.values())


def test_sixteen_bits():
    ring, filler = ring_of(2)
    deep = np.arange(8 * 8 * 3, dtype=np.uint16).reshape(8, 8, 3) * 300
    made = [{"inputs": deep, "view": 0, "meta": {}}]
    for _ in range(3):
        batch = handed_over(ring, filler, made)
        assert torch.equal(batch["inputs"][0], torch.from_numpy(deep))


def test_a_worker_that_cannot_reach_the_slot_uses_its_own_memory():
    ring, filler = ring_of(2)
    handed_over(ring, filler, samples(1))
    hidden = ring.offer()._replace(path="/proc/0/fd/0")
    got = filler((hidden, samples(5)))
    assert not got.layout
    assert (ring.take(got)["inputs"] == 5).all()
    assert not any(slot.away for slot in ring.slots.values())


def test_nothing_is_left_open():
    ring, filler = ring_of(4)
    before = set(os.listdir("/proc/self/fd"))
    kept = [handed_over(ring, filler, samples(n)) for n in range(6)]
    ring.close()
    assert (kept[-1]["inputs"] == 5).all()  # outlives its slot
    del kept, filler  # in a worker, the filler's mappings go with the process
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) <= before


class Counting(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, key):
        return samples(key.index)[0]


def test_batches_of_workers_come_in_slots():
    sampler = IterationSampler(7, 4, seed=0, stop=40)
    loader = train_loader(Counting(), sampler, num_workers=2, prefetch_factor=2)
    assert isinstance(loader, WorkerLoader)
    batches = iter(loader)
    for iteration, batch in enumerate(batches):
        wanted = [key.index for key in sampler.keys(iteration)]
        assert batch["inputs"][:, 0, 0, 0].tolist() == wanted
        assert [meta["index"] for meta in batch["meta"]] == wanted
    assert iteration == 39
    assert 1 <= len(batches._ring.slots) <= 2 * 2 + 8


def test_memory_goes_with_a_killed_process(tmp_path):
    program = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from tests.datasets.test_slots import Counting
from superres.datasets.loader import train_loader
from superres.datasets.sampler import IterationSampler
batches = iter(train_loader(Counting(), IterationSampler(7, 4, 0), num_workers=1))
for _ in range(30):
    next(batches)
print("ready", flush=True)
time.sleep(60)
"""
    shared = set(os.listdir("/dev/shm"))
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    process = subprocess.Popen(
        [sys.executable, "-c", program, root], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 20
    while mine := [n for n in set(os.listdir("/dev/shm")) - shared if str(process.pid) in n]:
        assert time.monotonic() < end, mine
        time.sleep(0.2)
