"""Folders of picture files as stores."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from superres.datasets.storage import ImageFolder, open_store
from superres.datasets.storage.names import PackedNames, encode_name
from superres.errors import UserError
from superres.imaging.io import write_image

RNG = np.random.default_rng(5)


def picture(h: int, w: int, c: int = 3, dtype=np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (h, w, c), dtype=dtype)


def test_names_shapes_and_pixels(tmp_path):
    pictures = {"b": picture(9, 12), "a": picture(5, 6, 1), "é": picture(7, 8, 4)}
    for name, image in pictures.items():
        write_image(tmp_path / f"{name}.png", image)
    store = open_store(tmp_path)
    assert isinstance(store, ImageFolder)
    assert list(store.names()) == ["a", "b", "é"]
    assert len(store) == 3
    assert store.dtype == np.uint8
    assert store.shape("a") == store.read("a").shape == (5, 6, 3)
    assert np.array_equal(store.read("a"), np.repeat(pictures["a"], 3, axis=2))
    assert np.array_equal(store.read("b"), pictures["b"])
    assert np.array_equal(store.read_at(-1), pictures["é"][..., :3])
    assert "b" in store
    assert "c" not in store
    assert store.name_at(1) == "b"
    kept = ImageFolder(tmp_path, "unchanged")
    assert [kept.shape_at(i) for i in range(3)] == [(5, 6, 1), (9, 12, 3), (7, 8, 4)]
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.read("b"), pictures["b"])


def test_sixteen_bit_files(tmp_path):
    deep = picture(6, 7, 3, np.uint16)
    write_image(tmp_path / "deep.png", deep)
    assert np.array_equal(ImageFolder(tmp_path, dtype="keep").read("deep"), deep)
    assert np.array_equal(ImageFolder(tmp_path).read("deep"), np.rint(deep / 257.0))


def test_a_miss_names_the_store_and_the_key(tmp_path):
    write_image(tmp_path / "a.png", picture(4, 4))
    store = ImageFolder(tmp_path)
    with pytest.raises(KeyError, match="absent") as caught:
        store.read("absent")
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(IndexError):
        store.name_at(1)


def test_subfolders(tmp_path):
    for name in ("x/1.png", "x/2.png", "y/1.png", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, picture(4, 4))
    assert list(ImageFolder(tmp_path).names()) == ["3"]
    assert list(ImageFolder(tmp_path, recursive=True).names()) == ["3", "x/1", "x/2", "y/1"]


def test_faults(tmp_path):
    with pytest.raises(UserError, match=r"absent: no such folder"):
        open_store(tmp_path / "absent")
    with pytest.raises(UserError, match="no pictures in this folder"):
        open_store(tmp_path)
    write_image(tmp_path / "a.png", picture(4, 4))
    with pytest.raises(UserError, match="a file; a folder"):
        open_store(tmp_path / "a.png")
    write_image(tmp_path / "a.jpg", picture(4, 4))
    with pytest.raises(UserError, match=r"a\.jpg and a\.png have the same name"):
        open_store(tmp_path)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"a\.png: not a picture"):
        open_store(tmp_path).read("a")


def test_packed_names_find_every_name_and_no_other():
    names = sorted({f"{n:b}" * (n % 5 + 1) for n in range(300)} | {"", "é", "雪", "\udcff"})
    names.sort(key=encode_name)
    packed = PackedNames.from_encoded(encode_name(name) for name in names)
    assert list(packed) == names
    assert [packed.find(name) for name in names] == list(range(len(names)))
    assert all(packed.find(name) == -1 for name in ("2", "é ", "zzz", "10101010101x"))
    assert packed[-1] == names[-1]
    assert packed[3:6] == names[3:6]
    assert packed.index("é") == names.index("é")
    with pytest.raises(ValueError, match="absent"):
        packed.index("absent")
    with pytest.raises(IndexError):
        packed[len(names)]
