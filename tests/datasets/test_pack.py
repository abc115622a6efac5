"""Packing and unpacking: what goes in comes out. (Kills and full disks: tests/faults.)"""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superres.datasets.pack import in_order, pack_images, unpack
from superres.datasets.storage import ImageFolder, ImageLmdb, open_store
from superres.datasets.storage import lmdb as layout
from superres.errors import UserError
from superres.files import lock_target
from superres.imaging.io import read_image, write_image

RNG = np.random.default_rng(23)


def picture(h: int, w: int, c: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (h, w, c), dtype=dtype)


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "HR"
    path.mkdir()
    for i in range(9):
        write_image(path / f"{i:04}.png", picture(30 + i, 20 + 3 * i))
    return path


def assert_same(target: Path, folder: Path, *left_out: str) -> None:
    """The packed images are those of the folder, to the last sample."""
    packed, files = ImageLmdb(target), ImageFolder(folder)
    assert list(packed.names()) == [name for name in files.names() if name not in left_out]
    assert all(np.array_equal(packed.read(name), files.read(name)) for name in packed.names())
    # Nothing else is left: no lock, no partial folder, no LMDB lock file.
    assert [p.name for p in target.iterdir()] == ["data.mdb"]
    assert [p for p in target.parent.iterdir() if p.name.startswith(target.name)] == [target]


@pytest.mark.parametrize("workers", [0, 3, None])
def test_a_folder(tmp_path, folder, monkeypatch, workers):
    monkeypatch.setattr(layout, "_FIRST_MAP_SIZE", 1 << 16)  # it grows
    seen: list[Any] = []
    target, info = tmp_path / "new" / "hr.lmdb", {"scale": 1, "kind": "hr"}
    options = {"num_workers": workers, "progress": lambda *args: seen.append(args)}
    report = pack_images(folder, target, info=info, **options)
    assert (report.count, report.added, report.reused, report.failed) == (9, 9, 0, [])
    pixels = sum(3 * (30 + i) * (20 + 3 * i) for i in range(9))
    assert pixels < report.bytes < pixels + 9 * 4096 * 2 + 20 * 4096
    assert seen == [(i + 1, 9, f"{i:04}") for i in range(9)]
    assert_same(report.target, folder)
    assert ImageLmdb(report.target).info["kind"] == "hr"


def test_a_second_run_has_nothing_to_do_and_notices_changes(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    pack_images(folder, target)
    stamp = (target / "data.mdb").stat().st_mtime_ns
    again = pack_images(folder, target)
    assert (again.count, again.added, again.reused) == (9, 0, 9)
    assert (target / "data.mdb").stat().st_mtime_ns == stamp

    write_image(folder / "0003.png", picture(5, 5))
    (folder / "0004.png").unlink()
    write_image(folder / "0099.png", picture(6, 6))
    for options in ({}, {"channels": "grey"}):
        with pytest.raises(UserError, match="not what this pack would make"):
            pack_images(folder, target, **options)
    assert len(ImageLmdb(target)) == 9
    assert pack_images(folder, target, overwrite=True).count == 9
    assert_same(target, folder)


def test_a_pack_made_by_an_earlier_version_is_up_to_date(tmp_path, folder):
    """What packs note of their source stays, or sets of terabytes would be packed again."""
    os.utime(folder / "0000.png", ns=(0, 1_700_000_000_000_000_000))
    size = (folder / "0000.png").stat().st_size
    target = pack_images([("a", folder / "0000.png")], tmp_path / "t.lmdb").target
    text = f"a\0{size} bytes, 1700000000000000000 ns\n".encode()
    assert ImageLmdb(target).info == {
        "options": {"channels": "rgb", "dtype": "uint8"},
        "made_from": hashlib.sha256(text).hexdigest(),
        "left_out": {},
    }


def test_kinds_of_pictures(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_image(folder / "grey.png", picture(8, 9, 1))
    write_image(folder / "deep.png", picture(8, 9, 3, np.uint16))
    write_image(folder / "alpha.png", picture(8, 9, 4))
    assert_same(pack_images(folder, tmp_path / "rgb.lmdb").target, folder)
    pack_images(folder, tmp_path / "raw.lmdb", channels="unchanged", dtype="keep")
    raw, kept = ImageLmdb(tmp_path / "raw.lmdb"), ImageFolder(folder, "unchanged", "keep")
    assert [raw.shape(name)[2] for name in ("grey", "deep", "alpha")] == [1, 3, 4]
    assert raw.read("deep").dtype == raw.dtype_at(raw.index("deep")) == np.uint16
    assert all(np.array_equal(raw.read(name), kept.read(name)) for name in kept.names())


def test_bad_pictures_are_left_out_and_named(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    whole = (folder / "0002.png").read_bytes()
    (folder / "0002.png").write_bytes(whole[:-30])
    (folder / "0005.png").write_text("<html>")
    with pytest.raises(UserError, match=r"2 of 9 images cannot be packed:\n  0002: .*truncated"):
        pack_images(folder, target, strict=True)
    assert [p.name for p in tmp_path.iterdir()] == ["HR"]
    report = pack_images(folder, target)
    assert (report.count, report.added, report.reused) == (7, 7, 0)
    assert [name for name, _ in report.failed] == ["0002", "0005"]
    assert "0005.png: not an image" in report.failed[1][1]
    assert_same(target, folder, "0002", "0005")
    again = pack_images(folder, target)
    assert (again.count, again.failed) == (7, report.failed)
    (folder / "0002.png").write_bytes(whole)
    with pytest.raises(UserError, match="not what this pack would make"):
        pack_images(folder, target)


def test_faults(tmp_path, folder):
    target = tmp_path / "t.lmdb"
    (tmp_path / "empty").mkdir()
    one, two = folder / "0000.png", folder / "0001.png"
    for source, place, fault in (
        (tmp_path / "absent", target, "no such folder"),
        (folder, tmp_path / "empty", "is not a packed database"),
        ([], target, "nothing to pack"),
        ([("x", one), ("x", two)], target, r"0000\.png and .*0001\.png have the same name 'x'"),
    ):
        with pytest.raises(UserError, match=fault):
            pack_images(source, place, overwrite=True)
    assert not target.exists()


@pytest.mark.parametrize("step", ["entry_key", "sync"])
def test_ctrl_c_leaves_nothing(tmp_path, folder, monkeypatch, step):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, step, stop)
    with pytest.raises(KeyboardInterrupt):
        pack_images(folder, tmp_path / "hr.lmdb")
    assert list(tmp_path.iterdir()) == [folder]


def test_two_at_one_target(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    said = rf"process {os.getpid()} on .* since .* is packing to .*hr\.lmdb"
    with closing(lock_target(target, "packing to")), pytest.raises(UserError, match=said):
        pack_images(folder, target)
    pack_images(folder, target)
    # A finished one is up to date without a lock, which a read-only disk would refuse.
    with closing(lock_target(target, "packing to")):
        assert pack_images(folder, target).reused == 9


def test_a_few_images_are_in_memory_at_a_time():
    made, taken, most = [], 0, 0
    for i, _, _ in in_order(made.append, 100, 3):
        most, taken = max(most, len(made) - taken), taken + 1
        assert i + 1 == taken
    assert (taken, sorted(made)) == (100, list(range(100)))
    assert most <= 3 * 3


def test_unpack(tmp_path):
    pictures = {"a": picture(4, 5), "sub/é": picture(6, 7, 1), "deep": picture(3, 3, 3, np.uint16)}
    pack_images([(n, lambda i=i: i) for n, i in pictures.items()], tmp_path / "t.lmdb")
    store, out = open_store(tmp_path / "t.lmdb"), tmp_path / "out"
    assert unpack(store, out) == (3, [])
    for name, image in pictures.items():
        assert np.array_equal(read_image(out / f"{name}.png", "unchanged", "keep"), image)
    (out / "a.png").unlink()
    stamp = (out / "deep.png").stat().st_mtime_ns
    assert unpack(store, out) == (1, [])
    assert (out / "deep.png").stat().st_mtime_ns == stamp
    assert unpack(store, out, overwrite=True) == (3, [])
    with pytest.raises(UserError, match="cannot hold uint16"):
        unpack(store, out, ["deep"], suffix=".jpg")


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "", "..", "link/out", "\0"])
def test_hostile_names_stay_in_the_folder(tmp_path, name):
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (inside / "link").symlink_to(tmp_path / "elsewhere")
    pack_images([(name, lambda: picture(2, 2))], tmp_path / "t.lmdb")
    before = sorted(tmp_path.rglob("*"))
    written, ((left_out, fault),) = unpack(open_store(tmp_path / "t.lmdb"), inside)
    assert (written, left_out) == (0, name)
    assert "leads out of the folder" in fault
    assert sorted(tmp_path.rglob("*")) == before
