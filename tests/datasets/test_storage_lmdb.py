"""Packed pictures: real databases, real forked and spawned workers, real damage."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest

from superres.datasets.pack import pack_images
from superres.datasets.paired import PairedDataset
from superres.datasets.storage import ImageLmdb, open_store
from superres.datasets.storage import format as layout
from superres.errors import UserError

RNG = np.random.default_rng(11)


def picture(h: int, w: int, c: int = 3, dtype=np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (h, w, c), dtype=dtype)


PICTURES = {f"im{i:02}": picture(40 + i, 30 + 2 * i) for i in range(12)}


def pack(pictures: dict[str, np.ndarray], target: Path, **options) -> ImageLmdb:
    items = [(name, lambda image=image: image) for name, image in pictures.items()]
    pack_images(items, target, num_workers=0, **options)
    return ImageLmdb(target)


@pytest.fixture
def store(tmp_path) -> ImageLmdb:
    return pack(PICTURES, tmp_path / "p.lmdb", info={"scale": 2})


def edit(path: Path, change) -> None:
    """Change a database behind the store's back; nothing may have it open."""
    gc.collect()
    with lmdb.open(str(path), lock=False, map_size=1 << 30) as env, env.begin(write=True) as txn:
        change(txn)


def test_what_is_packed_is_read(store):
    assert list(store.names()) == sorted(PICTURES)
    assert store.dtype == np.uint8
    assert store.info["scale"] == 2
    for i, (name, image) in enumerate(sorted(PICTURES.items())):
        assert store.name_at(i) == name
        assert store.shape(name) == image.shape
        assert np.array_equal(store.read(name), image)
        assert np.array_equal(store.read_at(i - len(PICTURES)), image)
        assert store.verify_entry(i)


def test_reads_are_views_that_outlive_the_store(tmp_path):
    store = pack(PICTURES, tmp_path / "p.lmdb")
    view = store.read("im03")
    assert not view.flags.writeable
    assert not view.flags.owndata
    crop = view[3:9, 4:8]
    store.close()
    del store, view
    gc.collect()
    shutil.rmtree(tmp_path / "p.lmdb")
    assert np.array_equal(crop, PICTURES["im03"][3:9, 4:8])


def test_names_of_any_length_and_alphabet_and_any_shape_and_depth(tmp_path):
    pictures = {
        "雪/山" * 400: picture(3, 4),
        "x" * 3000: picture(4, 3, 1),
        "a b\t'\"<script>": picture(1, 1, 4),
        "\udcff\udcfe": picture(5, 5, 3, np.uint16),
        "": picture(2, 2),
    }
    store = pack(pictures, tmp_path / "odd.lmdb")
    assert sorted(store.names()) == sorted(pictures)
    assert store.dtype is None
    for name, image in pictures.items():
        read = store.read(name)
        assert read.dtype == image.dtype
        assert store.dtype_at(store.index(name)) == image.dtype
        assert np.array_equal(read, image)


def test_a_miss_names_database_and_key(store):
    with pytest.raises(KeyError, match="absent") as caught:
        store.read("absent")
    assert str(store.path) in str(caught.value)
    for beyond in (12, -13):
        with pytest.raises(IndexError):
            store.read_at(beyond)


def test_a_compacted_or_edited_database_still_reads_right(store, tmp_path):
    store.close()
    (tmp_path / "compact.lmdb").mkdir()
    edit(store.path, lambda txn: txn.put(b"\xff\xff note", b"x" * 10_000))
    edit(store.path, lambda txn: txn.put(layout.entry_key(0), txn.get(layout.entry_key(0))))
    with lmdb.open(str(store.path), lock=False, readonly=True, max_dbs=1) as env:
        env.copy(str(tmp_path / "compact.lmdb"), compact=True)
    for path in (store.path, tmp_path / "compact.lmdb"):
        again = ImageLmdb(path)
        for i, name in enumerate(sorted(PICTURES)):
            assert np.array_equal(again.read(name), PICTURES[name])
            assert again.verify_entry(i)


def test_two_stores_and_a_link_share_one_environment(store, tmp_path):
    (tmp_path / "link").symlink_to(store.path)
    others = [ImageLmdb(store.path), open_store(tmp_path / "link")]
    for other in others:
        assert np.array_equal(other.read("im00"), PICTURES["im00"])
        assert other._open().environment is store._open().environment
    store.close()
    assert np.array_equal(others[0].read("im01"), PICTURES["im01"])


def test_a_database_that_was_replaced_is_noticed(store):
    pickled = pickle.dumps(store)
    old = store.read("im00")
    other = {"im00": picture(8, 8)}
    again = pack(other, store.path, overwrite=True)
    assert np.array_equal(again.read("im00"), other["im00"])
    assert np.array_equal(old, PICTURES["im00"])
    with pytest.raises(UserError, match="packed anew while it was in use"):
        pickle.loads(pickled).read("im00")


class Samples:
    """A dataset that checks every picture it returns against a checksum of its own."""

    def __init__(self, store, count: int) -> None:
        self.store, self.count = store, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int):
        n = i % len(self.store)
        assert self.store.name_at(n) == sorted(PICTURES)[n]
        return int(self.store.read_at(n).astype(np.int64).sum()), os.getpid()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_in_data_loader_workers(store, method):
    from torch.utils.data import DataLoader

    held = store.read_at(0)  # opened before the fork, and still in use
    loader = DataLoader(
        Samples(store, 24), batch_size=None, num_workers=2, multiprocessing_context=method
    )
    sums, pids = zip(*loader, strict=True)
    expected = [int(PICTURES[name].astype(np.int64).sum()) for name in sorted(PICTURES)]
    assert list(sums) == expected * 2
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    assert np.array_equal(held, PICTURES["im00"])


def test_a_forked_child_opens_its_own_environment(store):
    store.read_at(0)
    child = os.fork()
    if child == 0:
        try:
            good = np.array_equal(store.read_at(1), PICTURES["im01"])
            own = store._open().environment.pid == os.getpid()
            os._exit(0 if good and own else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(store.read_at(2), PICTURES["im02"])


_MEMORY = """
import sys, numpy as np
from superres.datasets.storage import ImageLmdb
def private():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"): return int(line.split()[1])
store = ImageLmdb(sys.argv[1])
rng = np.random.default_rng(0)
def crops(count):
    total = 0
    for _ in range(count):
        image = store.read_at(int(rng.integers(len(store))))
        y = int(rng.integers(image.shape[0] - 48)); x = int(rng.integers(image.shape[1] - 48))
        total += int(image[y:y + 48, x:x + 48].sum())
        store.find_name = store._find(store.name_at(int(rng.integers(len(store)))))
    return total
crops(50)
before = private(); crops(4000); after = private()
print(after - before, sum(np.prod(store.shape_at(i)) for i in range(len(store))) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_private_memory_does_not_grow_with_what_is_read(tmp_path):
    big = {f"{i:03}": picture(500, 700) for i in range(60)}
    pack(big, tmp_path / "big.lmdb")
    run = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path / "big.lmdb")],
        capture_output=True,
        text=True,
        check=True,
    )
    growth, dataset = map(int, run.stdout.split())
    assert dataset > 60_000
    assert growth < 1_500, f"{growth} KiB of private memory grew over 4000 crops of {dataset} KiB"


def make_million(path: Path, count: int = 1_000_000) -> None:
    """A database of ``count`` entries that share few pixels: only its index is large."""
    names = np.char.add("folder/of/pictures/image_", np.arange(count).astype("U7"))
    encoded = sorted(name.encode() for name in names.tolist())
    index = np.zeros(count, layout.RECORD)
    index["name_end"] = np.cumsum([len(name) for name in encoded])
    index["height"] = index["width"] = 2
    index["channels"] = 3
    index["key"] = np.arange(count) % 10
    blob = b"".join(encoded)
    with lmdb.open(str(path), map_size=1 << 28, lock=False) as env, env.begin(write=True) as txn:
        for i in range(10):
            txn.put(layout.entry_key(i), bytes([i]) * 12)
        txn.put(layout.INDEX, index.tobytes())
        txn.put(layout.NAMES, blob)
        checksum = layout.index_checksum(index.tobytes(), blob)
        txn.put(layout.HEADER, layout.make_header("complete", count, checksum))


_MILLION = """
import pickle, sys, time
from superres.datasets.storage import ImageLmdb
def private():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"): return int(line.split()[1])
before = private(); start = time.perf_counter()
store = ImageLmdb(sys.argv[1])
opened = time.perf_counter() - start
assert store.name_at(store.index("folder/of/pictures/image_777777")).endswith("_777777")
assert store.read("folder/of/pictures/image_0").shape == (2, 2, 3)
assert len(pickle.dumps(store)) < 1000
print(opened, private() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_million_entries_open_in_under_a_second_and_stay_on_disk(tmp_path):
    make_million(tmp_path / "million.lmdb")
    run = subprocess.run(
        [sys.executable, "-c", _MILLION, str(tmp_path / "million.lmdb")],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, private = map(float, run.stdout.split())
    assert seconds < 1
    assert private < 4_000, f"{private} KiB of private memory for the index of a million pictures"


def test_truncated_anywhere(store, tmp_path):
    path = store.path
    store.close()
    whole = (path / "data.mdb").read_bytes()
    broken = tmp_path / "broken.lmdb"
    broken.mkdir()
    offsets = [0, 1, 100, 4096, 8192, 12288, len(whole) // 2, len(whole) - 4096, len(whole) - 1]
    for size in offsets:
        (broken / "data.mdb").unlink(missing_ok=True)
        (broken / "data.mdb").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"broken\.lmdb"):
            open_store(broken)


def test_flipped_pixels_are_found_by_the_checksum_and_named(store):
    path, bad = store.path, store.index("im05")
    place = PICTURES["im05"].tobytes()[:64]
    store.close()
    data = bytearray((path / "data.mdb").read_bytes())
    data[data.index(place) + 10] ^= 1
    (path / "data.mdb").write_bytes(bytes(data))
    store = ImageLmdb(path)
    assert [i for i in range(len(store)) if not store.verify_entry(i)] == [bad]


def test_a_changed_byte_is_found_by_the_first_read_of_each_process(store, tmp_path):
    """Training reads by this: once per entry, so that a later crop costs what it did."""
    at = (store.path / "data.mdb").read_bytes().index(PICTURES["im03"].tobytes()[:64]) + 40
    assert np.array_equal(store.read_checked_at(3), PICTURES["im03"])
    with open(store.path / "data.mdb", "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 16]))
    store.read_checked_at(3)  # not looked at again by this process
    assert np.array_equal(store.read_checked_at(-8), PICTURES["im04"])
    store.close()
    gc.collect()
    fresh = ImageLmdb(store.path)
    with pytest.raises(UserError, match="'im03' do not match their checksum"):
        fresh.read_checked_at(3)
    dataset = PairedDataset(gt=str(store.path), scale=2)
    with pytest.raises(UserError, match="'im03' do not match their checksum"):
        dataset.load(3)


def test_flipped_index_unknown_version_and_missing_entry(store):
    path = store.path
    store.close()

    def flip(key: bytes):
        def change(txn):
            value = bytearray(txn.get(key))
            value[len(value) // 2] ^= 4
            txn.put(key, bytes(value))

        return change

    good = (path / "data.mdb").read_bytes()
    for key in (layout.INDEX, layout.NAMES):
        edit(path, flip(key))
        with pytest.raises(UserError, match="its index is damaged"):
            ImageLmdb(path)
        edit(path, flip(key))
        ImageLmdb(path)

    newer = layout.make_header("complete", 12).replace(b'"version": 1', b'"version": 2')
    for header, fault in [
        (newer, "version 2 of the format"),
        (b"{", "its header is damaged"),
        (b"[]", "its header is damaged"),
        (layout.make_header("complete", 0), "its index is damaged"),
        (layout.make_header("packing"), "Run the same pack command"),
    ]:
        gc.collect()
        (path / "data.mdb").write_bytes(good)
        edit(path, lambda txn, header=header: txn.put(layout.HEADER, header))
        with pytest.raises(UserError, match=fault):
            open_store(path)

    (path / "data.mdb").write_bytes(good)
    edit(path, lambda txn: txn.delete(layout.entry_key(4)))
    broken = ImageLmdb(path)
    with pytest.raises(UserError, match="the entry 'im04' is damaged"):
        broken.read("im04")
    assert np.array_equal(broken.read("im05"), PICTURES["im05"])


def test_what_is_no_database_of_ours(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="not an LMDB database"):
        open_store(folder)
    with lmdb.open(str(tmp_path / "foreign"), lock=False) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    with pytest.raises(UserError, match=r"no meta_info\.txt"):
        open_store(tmp_path / "foreign")
    with pytest.raises(UserError, match="did not pack"):
        ImageLmdb(tmp_path / "foreign")


def test_reading_is_quick_enough_to_disappear(store):
    """A read costs microseconds: it must not copy or look anything up by walking."""
    start = time.perf_counter()
    for i in range(2000):
        store.read_at(i % 12)
    assert (time.perf_counter() - start) / 2000 < 200e-6
