"""Batches: the same from any number of workers, forked or spawned."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from superres.datasets import loader
from superres.datasets.loader import Ring, collate, shut_down, train_loader
from superres.datasets.paired import PairedDataset
from superres.datasets.sampler import IterationSampler, SampleKey
from superres.errors import UserError, from_worker

from .conftest import pictures
from .test_transforms import seen

PIPELINE = [
    {"type": "PairedRandomCrop", "lq_patch_size": 12},
    {"type": "RandomFlip", "direction": "horizontal"},
    {"type": "RandomFlip", "direction": "vertical"},
    {"type": "RandomTranspose"},
    {"type": "PackInputs"},
]


@pytest.fixture
def dataset(make_packs) -> PairedDataset:
    return PairedDataset(str(make_packs()), scale=4, pipeline=PIPELINE, seed=4)


def batches(dataset, count: int, start: int = 0, **options) -> list[dict]:
    sampler = IterationSampler(len(dataset), 6, seed=4, start=start, stop=start + count)
    return list(train_loader(dataset, sampler, **options))


def assert_equal(first: list[dict], second: list[dict]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second):
        assert a["meta"] == b["meta"]
        assert torch.equal(a["inputs"], b["inputs"])
        assert torch.equal(a["gt"], b["gt"])


def test_collate(dataset):
    samples = [dataset[SampleKey(d % 5, d)] for d in range(30)]
    batch = collate(samples)
    assert batch["inputs"].shape == (30, 12, 12, 3)
    assert batch["gt"].shape == (30, 48, 48, 3)
    assert batch["inputs"].dtype == batch["gt"].dtype == torch.uint8
    assert {m["view"] for m in batch["meta"]} == set(range(8))
    images = pictures()
    for i, meta in enumerate(batch["meta"]):
        top, left = 4 * meta["top"], 4 * meta["left"]
        crop = images[meta["index"]][top : top + 48, left : left + 48]
        np.testing.assert_array_equal(batch["gt"][i].numpy(), seen(crop, meta["view"]))


def test_views_of_oblong_pictures_must_fit_one_batch():
    def packed(view: int, shape: tuple = (4, 6, 3)) -> dict:
        return {"inputs": np.zeros(shape, np.uint8), "view": view, "meta": {"gt_path": f"v{view}"}}

    assert collate([packed(4), packed(5)])["inputs"].shape == (2, 6, 4, 3)
    assert collate([packed(4), packed(1, (6, 4, 3))])["inputs"].shape == (2, 6, 4, 3)
    with pytest.raises(UserError, match=r"a batch mixes .*\(v4\).*\(v0\).*PairedRandomCrop"):
        collate([packed(0), packed(4)])
    deep = {**packed(0), "inputs": np.zeros((4, 6, 3), np.uint16)}
    with pytest.raises(UserError, match=r"uint16.*uint8.*types by dtype"):
        collate([packed(0), deep])


def test_the_reader_of_an_old_batch_never_sees_a_new_one(dataset):
    fill = Ring(each=5)  # fewer than are kept
    # A slice, a view, a numpy array: all of them are uses of the batch's memory.
    uses = [lambda t: t, lambda t: t[2:4], lambda t: t.permute(0, 3, 1, 2), lambda t: t.numpy()]
    held = []
    for i in range(12):
        batch = fill([dataset[SampleKey(d % 5, d)] for d in range(6 * i, 6 * i + 6)])
        use = uses[i % 4]
        kept = [batch[key] for key in ("gt", "inputs")[i % 2 :]]
        held += [(use(tensor), use(tensor.clone())) for tensor in kept]
        del batch, kept
    for found, expected in held:
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))


def samples(value: int, side: int = 8, dtype: type = np.uint8) -> list[dict]:
    picture = np.full((side, side, 3), value, dtype)
    return [{"inputs": picture, "gt": picture + 1, "view": 0, "meta": {"index": value}}] * 2


def test_batches_of_any_size_and_type_and_memory_that_is_used_again(monkeypatch):
    monkeypatch.setattr(loader, "_SLOT", 4000)
    fill = Ring(each=3)
    assert len({fill(samples(n))["gt"].data_ptr() for n in range(20)}) <= 2
    for side, dtype in ((4, np.uint8), (16, np.uint16), (25, np.uint8), (40, np.uint8)):
        batch = fill(samples(side, side, dtype))  # the last two do not fit, one or both of them
        assert batch["gt"].shape == (2, side, side, 3)
        assert batch["gt"].dtype == torch.from_numpy(np.empty(0, dtype)).dtype
        assert (batch["gt"].numpy() == side + 1).all()
        assert (batch["inputs"].numpy() == side).all()


def test_where_the_memory_is_not_to_be_had(monkeypatch):
    state = Ring().__getstate__() | {"_path": "/proc/0/fd/0"}
    hidden = Ring.__new__(Ring)
    hidden.__setstate__(state)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    for ring in (hidden, Ring(), pickle.loads(pickle.dumps(Ring()))):
        assert [int(ring(samples(n))["inputs"].max()) for n in range(3)] == [0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="slots need Linux's memfd")
def test_nothing_is_left_open():
    before = set(os.listdir("/proc/self/fd"))
    fill = Ring(each=4)
    kept = [fill(samples(n)) for n in range(6)]
    del fill
    gc.collect()
    assert [int(batch["inputs"].max()) for batch in kept] == list(range(6))  # outlive their ring
    del kept
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) <= before


class Counting(torch.utils.data.Dataset):
    def __init__(self, side: int = 8) -> None:
        self.side = side

    def __len__(self) -> int:
        return 7

    def __getitem__(self, key):
        return samples(key.index, self.side)[0]


SMALL_SHM = """
from tests.datasets.test_loader import Counting, IterationSampler, train_loader
for batch in train_loader(Counting(256), IterationSampler(7, 4, seed=0, stop=20), num_workers=2):
    assert (batch["gt"] == batch["inputs"] + 1).all()
print("done")
"""


def test_a_dev_shm_of_one_megabyte():
    """As in a container; one batch is larger."""
    mount = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*inside, "true"], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount in a namespace of its own")
    run = [*inside, sys.executable, "-c", SMALL_SHM]
    done = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "done\n", done.stderr


def test_batches_of_workers_come_in_slots():
    """All of them, and in their order, though they are made several at once."""
    sampler = IterationSampler(7, 4, seed=0, stop=45)
    loaded = iter(train_loader(Counting(), sampler, num_workers=2, prefetch_factor=4))
    places, kept = set(), []
    for iteration, batch in enumerate(loaded):
        wanted = [key.index for key in sampler.keys(iteration)]
        assert batch["inputs"][:, 0, 0, 0].tolist() == wanted
        assert [meta["index"] for meta in batch["meta"]] == wanted
        places.add(batch["inputs"].data_ptr())
        kept.append((batch, wanted))
    assert iteration == 44
    assert len(places) == 45  # all are kept: first in slots, then in other memory
    for batch, wanted in kept:
        assert batch["gt"][:, 0, 0, 0].tolist() == [n + 1 for n in wanted]


@pytest.mark.parametrize(("method", "workers"), [("fork", 1), ("fork", 2), ("spawn", 2)])
def test_workers_change_nothing(dataset, workers: int, method: str):
    expected = batches(dataset, 10)
    # Read before the fork: what the parent has open must not stand in the workers' way.
    found = batches(dataset, 10, num_workers=workers, start_method=method)
    assert_equal(found, expected)


def test_a_mistake_in_a_worker_is_one_message(make_packs):
    pipeline = [{"type": "PairedRandomCrop", "lq_patch_size": 24}, {"type": "PackInputs"}]
    dataset = PairedDataset(str(make_packs()), scale=4, pipeline=pipeline)
    sampler = IterationSampler(len(dataset), 6, seed=4)
    loaded = iter(train_loader(dataset, sampler, num_workers=1, start_method="fork"))
    try:
        with pytest.raises(UserError) as caught:
            next(loaded)
    finally:
        shut_down(loaded)
    message = str(from_worker(caught.value))
    assert "\n" not in message
    assert "patch of 24x24; lower lq_patch_size" in message
    with pytest.raises(UserError, match="start_method = 'thread'"):
        train_loader(dataset, sampler, num_workers=1, start_method="thread")
