"""BasicSR's and MMEditing's LMDBs, written here in their layout and read as they are."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from superres.datasets.pack import pack_images
from superres.datasets.storage import ForeignLmdb, ImageLmdb, open_store
from superres.errors import UserError

RNG = np.random.default_rng(3)
PICTURES = {
    "0001": RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8),
    "0002": RNG.integers(0, 256, (24, 28, 3), dtype=np.uint8),
    "000/grey one": RNG.integers(0, 256, (10, 12, 1), dtype=np.uint8),
}


def write(path: Path, pictures: dict[str, np.ndarray] = PICTURES) -> Path:
    """A database as ``create_lmdb.py`` of BasicSR leaves it."""
    lines = []
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as txn:
        for name, image in pictures.items():
            bgr = image[..., ::-1] if image.shape[2] == 3 else image
            txn.put(name.encode(), cv2.imencode(".png", bgr)[1].tobytes())
            h, w, c = image.shape
            lines.append(f"{name}.png ({h},{w},{c}) 1\n")
    (path / "meta_info.txt").write_text("".join(lines))
    return path


def test_read_as_it_is(tmp_path):
    store = open_store(write(tmp_path / "div2k.lmdb"))
    assert isinstance(store, ForeignLmdb)
    assert list(store.names()) == sorted(PICTURES)
    for name, image in PICTURES.items():
        expected = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        assert store.shape(name) == expected.shape
        assert np.array_equal(store.read(name), expected)
    kept = open_store(store.path, "unchanged")
    assert kept.shape("000/grey one") == kept.read("000/grey one").shape == (10, 12, 1)
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.read("0002"), PICTURES["0002"])


def test_in_forked_and_spawned_workers(tmp_path):
    from torch.utils.data import DataLoader

    store = open_store(write(tmp_path / "x.lmdb"))
    for method in ("fork", "spawn"):
        loader = DataLoader(
            _Reads(store), batch_size=None, num_workers=2, multiprocessing_context=method
        )
        assert list(loader) == [int(store.read_at(i).sum()) for i in range(3)]


class _Reads:
    def __init__(self, store) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, i: int) -> int:
        return int(self.store.read_at(i).sum())


def test_converted_into_ours(tmp_path):
    store = open_store(write(tmp_path / "x.lmdb"))
    report = pack_images(store, tmp_path / "ours.lmdb", num_workers=0)
    assert report.count == 3
    ours = open_store(tmp_path / "ours.lmdb")
    assert isinstance(ours, ImageLmdb)
    assert list(ours.names()) == list(store.names())
    for name in store.names():
        assert np.array_equal(ours.read(name), store.read(name))
    assert pack_images(store, tmp_path / "ours.lmdb").added == 0


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0001.png 20,30,3 1", "line 4"),
        ("(20,30,3) 1", "line 4"),
        ("0003.png (20,30) 1 x", "line 4"),
        ("0001.png (20,30,3) 1", "lines 1 and 4 have the same name"),
        ("0003.png (20,99999999999,3) 1", "impossible"),
    ],
)
def test_malformed_meta_info(tmp_path, line, fault):
    path = write(tmp_path / "x.lmdb")
    with open(path / "meta_info.txt", "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=fault):
        open_store(path)


def test_damage(tmp_path):
    path = write(tmp_path / "x.lmdb")
    with open(path / "meta_info.txt", "a") as file:
        file.write("0009.png (20,30,3) 1\n0010.png (20,30) 1\n")
    with pytest.raises(UserError, match=r"x\.lmdb: .* lists '0009', '0010', and the database has"):
        open_store(path)
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as txn:
        txn.put(b"0001", txn.get(b"0001")[:-40])
        txn.put(b"0010", txn.get(b"0002"))
        txn.put(b"0009", txn.get(b"0002"))
        txn.put(b"0002", cv2.imencode(".png", PICTURES["0001"])[1].tobytes())
    store = open_store(path, "unchanged")
    assert store.shape("0010") == (20, 30, 1)
    with pytest.raises(UserError, match=r"x\.lmdb, entry '0001': truncated"):
        store.read("0001")
    with pytest.raises(UserError, match=r"entry '0002': 20x30 .*says 24x28"):
        store.read("0002")
    with pytest.raises(KeyError, match="no picture named 'nope'"):
        store.read("nope")
    del store
    gc.collect()
    data = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="truncated"):
        open_store(path)
    (path / "meta_info.txt").write_text("\n")
    with pytest.raises(UserError, match="lists no pictures"):
        ForeignLmdb(path)
