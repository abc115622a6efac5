"""Places that hold images: folders, our packs, other toolboxes' LMDBs; whole, moved, damaged."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.datasets.pack import pack_images
from superres.datasets.paired import PairedDataset
from superres.datasets.storage import ForeignLmdb, ImageLmdb, open_store
from superres.datasets.storage import lmdb as layout
from superres.errors import UserError
from superres.imaging.io import write_image

RNG = np.random.default_rng(11)


def picture(h: int, w: int, c: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (h, w, c), dtype=dtype)


PICTURES = {
    "a b\t'<script>": picture(1, 1, 4),
    "folder/one": picture(20, 30),
    "grey": picture(10, 12, 1),
    "x" * 3000: picture(24, 28),
    "雪/山" * 400: picture(5, 6, 3, np.uint16),
}
NAMES = list(PICTURES)


def pack(pictures: dict[str, np.ndarray], target: Path, **options: Any) -> ImageLmdb:
    items = [(name, lambda image=image: image) for name, image in pictures.items()]
    pack_images(items, target, **options)
    return ImageLmdb(target)


def foreign(path: Path, pictures: dict[str, np.ndarray]) -> Path:
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


def files(path: Path, pictures: dict[str, np.ndarray]) -> Path:
    path.mkdir(exist_ok=True)
    for name, image in pictures.items():
        write_image(path / f"{name}.png", image)
    return path


def edited(path: Path, change: Callable[[Any], object]) -> Path:
    """A copy of a database, changed behind its back; a process keeps open what it has opened."""
    copy = path.with_name("edited.lmdb")
    shutil.copytree(path, copy)
    with lmdb.open(str(copy), lock=False, map_size=1 << 26) as env, env.begin(write=True) as txn:
        change(txn)
    return copy


@pytest.fixture
def store(tmp_path) -> ImageLmdb:
    return pack(PICTURES, tmp_path / "p.lmdb", info={"scale": 2})


def make(kind: str, path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """One store of each kind and what it must give, by default in colour."""
    if kind == "packed":
        return pack(PICTURES, path), PICTURES
    pictures = {"one": PICTURES["folder/one"], "grey": PICTURES["grey"]}
    found = open_store((foreign if kind == "foreign" else files)(path, pictures))
    return found, pictures | {"grey": np.repeat(PICTURES["grey"], 3, axis=2)}


@pytest.mark.parametrize("kind", ["packed", "foreign", "files"])
def test_what_is_stored_is_read(kind, tmp_path):
    store, pictures = make(kind, tmp_path / "s")
    for one in (store, pickle.loads(pickle.dumps(store))):
        assert list(one.names()) == sorted(pictures)
        assert len(one) == len(pictures)
        for i, name in enumerate(sorted(pictures)):
            assert (one.name_at(i), one.index(name)) == (name, i)
            assert one.shape(name) == one.shape_at(i) == pictures[name].shape
            assert one.read(name).dtype == pictures[name].dtype
            assert np.array_equal(one.read_at(i - len(pictures)), pictures[name])
    part = store.chosen("2-2")
    assert list(part.names()) == [store.name_at(1)]
    assert np.array_equal(part.read_at(0), store.read_at(1))
    assert (part.is_part, store.is_part, store.changed()) == (True, False, "")
    with pytest.raises(UserError, match=f"{store.path} has no image named 'absent'"):
        store.read("absent")


@settings(max_examples=20, deadline=None)
@given(
    st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1)
)
def test_names_are_sorted_by_their_bytes(tmp_path_factory, names):
    names |= {"\udcff", ""}  # a file name that is not UTF-8
    store = pack(dict.fromkeys(names, picture(1, 1)), tmp_path_factory.mktemp("n") / "n.lmdb")
    expected = sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))
    assert list(store.names()) == expected
    assert [store.index(name) for name in expected] == list(range(len(names)))


def test_faults_of_folders(tmp_path):
    with pytest.raises(UserError, match="no images in this folder"):
        open_store(tmp_path)
    (tmp_path / "p.lmdb.partial").mkdir()  # what a killed process leaves
    for path in (tmp_path / "p.lmdb", tmp_path / "p.lmdb.partial"):
        with pytest.raises(UserError, match=r"p.lmdb.partial: an unfinished pack.* command again"):
            open_store(path)
    write_image(tmp_path / "a.png", picture(4, 4))
    with pytest.raises(UserError, match=r"a\.png: not a folder"):
        open_store(tmp_path / "a.png")
    for twin in ("a.jpg", "b.png", "b.jpg"):
        write_image(tmp_path / twin, picture(4, 4))
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png have .*, .*b\.jpg and .*have .*'b'"):
        open_store(tmp_path)
    (tmp_path / "a.jpg").unlink(), (tmp_path / "b.png").unlink()
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"a\.png: not an image"):
        open_store(tmp_path).read("a")


def test_a_pack_of_the_first_versions_is_read(store):
    """They noted where pixels lie in the file, a transaction, and had a second database."""

    def as_it_was(txn: Any) -> None:
        header = bytes(txn.get(layout.HEADER)).replace(b'"txnid": 0', b'"txnid": 7')
        index = np.frombuffer(txn.get(layout.INDEX), layout.RECORD).copy()
        index["offset"] = 4096
        checksum = layout.index_checksum(index.tobytes(), txn.get(layout.NAMES))
        old = layout.index_checksum(txn.get(layout.INDEX), txn.get(layout.NAMES))
        txn.put(layout.INDEX, index.tobytes())
        txn.put(layout.HEADER, header.replace(str(old).encode(), str(checksum).encode()))
        txn.put(b"sources", b"what was a database")

    again = open_store(edited(store.path, as_it_was))
    assert all(np.array_equal(again.read(name), PICTURES[name]) for name in NAMES)


def test_a_database_that_was_replaced_is_noticed(store):
    old = store.read("grey")
    again = pack({"grey": picture(8, 8)}, store.path, overwrite=True)
    assert "replaced or removed" in store.changed()
    assert (again.changed(), again.shape("grey")) == ("", (8, 8, 3))
    assert np.array_equal(old, PICTURES["grey"])
    os.utime(again.path / "data.mdb")
    assert "was changed" in again.changed()


@pytest.mark.parametrize("kind", ["packed", "foreign"])
def test_truncated_anywhere(tmp_path, kind):
    make(kind, tmp_path / "whole")
    whole = (tmp_path / "whole" / "data.mdb").read_bytes()
    # The others may end in pages that nothing uses.
    more = [8192, len(whole) // 2, len(whole) - 1] if kind == "packed" else []
    for size in [0, 1, 4096, *more, -1]:
        broken = tmp_path / f"broken-{size}"
        shutil.copytree(tmp_path / "whole", broken)
        (broken / "data.mdb").write_bytes(b"not a database" * 1000 if size < 0 else whole[:size])
        with pytest.raises(UserError, match=rf"broken-{size}"):
            open_store(broken)


def test_flipped_pixels_are_found_at_the_first_look_and_named(store, tmp_path):
    shutil.copytree(store.path, tmp_path / "flipped.lmdb")
    start = PICTURES["folder/one"].tobytes()[:64]
    data = (store.path / "data.mdb").read_bytes()
    changed = data.replace(start, start[:40] + bytes([start[40] ^ 16]) + start[41:])
    (tmp_path / "flipped.lmdb" / "data.mdb").write_bytes(changed)
    flipped = open_store(tmp_path / "flipped.lmdb")
    for read in (
        lambda: flipped.read("folder/one"),
        lambda: PairedDataset({"gt": str(flipped.path)}, scale=1).load(flipped.index("folder/one")),
    ):
        with pytest.raises(UserError, match="pixels of 'folder/one' do not match their checksum"):
            read()
    assert np.array_equal(flipped.read("grey"), PICTURES["grey"])


def flip(key: bytes) -> Callable[[Any], object]:
    def change(txn: Any) -> None:
        value = bytearray(txn.get(key))
        value[len(value) // 2] ^= 4
        txn.put(key, bytes(value))

    return change


_NEWER = layout.make_header(5, 0, {}).replace(b'"version": 1', b'"version": 2')


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (flip(layout.INDEX), "its index is damaged"),
        (lambda txn: txn.put(layout.HEADER, layout.make_header(5, 0, {})), "index is damaged"),
        (lambda txn: txn.put(layout.HEADER, b"{"), "its header is damaged"),
        (lambda txn: txn.put(layout.HEADER, _NEWER), "version 2 of the format"),
        (
            lambda txn: txn.delete(layout.HEADER),
            r"meta_info\.txt: no such file.* superres did not pack",
        ),
    ],
)
def test_a_damaged_newer_or_unfinished_pack(store, change, fault):
    with pytest.raises(UserError, match=fault) as caught:
        open_store(edited(store.path, change))
    assert "edited.lmdb" in str(caught.value)


def test_a_missing_entry_and_what_is_no_database(store, tmp_path):
    broken = open_store(edited(store.path, lambda txn: txn.delete(layout.entry_key(1))))
    with pytest.raises(UserError, match="'folder/one' do not match"):
        broken.read("folder/one")
    assert np.array_equal(broken.read("grey"), PICTURES["grey"])
    with pytest.raises(UserError, match="superres did not pack"):
        ImageLmdb(foreign(tmp_path / "foreign", {"a": picture(2, 2)}))


def test_another_toolboxs_lmdb_is_converted_into_ours(tmp_path):
    store, pictures = make("foreign", tmp_path / "x.lmdb")
    assert isinstance(store, ForeignLmdb)
    assert open_store(store.path, "unchanged").shape("grey") == (10, 12, 1)
    assert pack_images(store, tmp_path / "ours.lmdb").count == 2
    ours = open_store(tmp_path / "ours.lmdb")
    assert list(ours.names()) == list(store.names())
    assert all(np.array_equal(ours.read(name), pictures[name]) for name in pictures)
    assert pack_images(store, tmp_path / "ours.lmdb").added == 0


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0001.png 20,30,3 1", "line 3"),
        ("grey.png (20,30,3) 1", r"\(10, 12, 1\) and \(20, 30, 3\) have the same name 'grey'"),
        ("0009.png (20,30,3) 1\n0010.png (2,3) 1", "lists '0009', '0010', and the database has no"),
        (None, "lists no images"),
    ],
)
def test_malformed_meta_info(tmp_path, line, fault):
    store, _ = make("foreign", tmp_path / "x.lmdb")
    meta = store.path / "meta_info.txt"
    meta.write_text("\n" if line is None else f"{meta.read_text()}{line}\n")
    with pytest.raises(UserError, match=fault):
        open_store(store.path)
