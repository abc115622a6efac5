"""Packing, unpacking, merging: what goes in comes out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from superres.datasets.pack import extract, merge, pack_images, unpack
from superres.datasets.storage import ImageFolder, ImageLmdb
from superres.errors import UserError
from superres.imaging.io import read_image, write_image

RNG = np.random.default_rng(23)


def picture(h: int, w: int, c: int = 3, dtype=np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (h, w, c), dtype=dtype)


def make_folder(path: Path, count: int = 9) -> Path:
    path.mkdir(parents=True)
    for i in range(count):
        write_image(path / f"{i:04}.png", picture(30 + i, 20 + 3 * i))
    return path


def assert_same(target: Path, folder: Path) -> None:
    """The packed pictures are those of the folder, to the last sample."""
    packed, files = ImageLmdb(target), ImageFolder(folder)
    assert list(packed.names()) == list(files.names())
    for i in range(len(files)):
        assert np.array_equal(packed.read_at(i), files.read_at(i))
        assert packed.verify_entry(i)


@pytest.mark.parametrize("workers", [0, 2, None])
def test_a_folder(tmp_path, workers):
    folder = make_folder(tmp_path / "HR")
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}
    seen = []
    report = pack_images(
        folder,
        tmp_path / "new" / "hr.lmdb",
        num_workers=workers,
        progress=lambda *args: seen.append(args),
        info={"scale": 1, "kind": "hr"},
    )
    assert (report.count, report.added, report.reused, report.failed) == (9, 9, 0, [])
    assert report.bytes > sum(3 * (30 + i) * (20 + 3 * i) for i in range(9))
    assert seen == [(i + 1, 9, f"{i:04}") for i in range(9)]
    assert_same(report.target, folder)
    assert ImageLmdb(report.target).info["kind"] == "hr"
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()} == before
    # Nothing else is left: no lock, no partial folder, no LMDB lock file.
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["hr.lmdb"]
    assert [p.name for p in report.target.iterdir()] == ["data.mdb"]


def test_a_second_run_has_nothing_to_do_and_notices_changes(tmp_path):
    folder, target = make_folder(tmp_path / "HR"), tmp_path / "hr.lmdb"
    pack_images(folder, target)
    stamp = (target / "data.mdb").stat().st_mtime_ns
    again = pack_images(folder, target)
    assert (again.count, again.added, again.reused) == (9, 0, 9)
    assert (target / "data.mdb").stat().st_mtime_ns == stamp

    write_image(folder / "0003.png", picture(5, 5))
    (folder / "0004.png").unlink()
    write_image(folder / "0099.png", picture(6, 6))
    with pytest.raises(UserError, match="not what this pack would make"):
        pack_images(folder, target)
    assert len(ImageLmdb(target)) == 9
    report = pack_images(folder, target, overwrite=True)
    assert report.count == 9
    assert_same(target, folder)
    with pytest.raises(UserError, match="not what this pack would make"):
        pack_images(folder, target, channels="grey")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["HR", "hr.lmdb"]


def test_kinds_of_pictures(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_image(folder / "grey.png", picture(8, 9, 1))
    write_image(folder / "deep.png", picture(8, 9, 3, np.uint16))
    write_image(folder / "alpha.png", picture(8, 9, 4))
    pack_images(folder, tmp_path / "rgb.lmdb")
    assert_same(tmp_path / "rgb.lmdb", folder)
    pack_images(folder, tmp_path / "raw.lmdb", channels="unchanged", dtype="keep")
    raw = ImageLmdb(tmp_path / "raw.lmdb")
    assert [raw.shape(name)[2] for name in ("grey", "deep", "alpha")] == [1, 3, 4]
    assert raw.read("deep").dtype == np.uint16
    kept = ImageFolder(folder, "unchanged", "keep")
    assert all(np.array_equal(raw.read(name), kept.read(name)) for name in kept.names())


def crop(folder: str, i: int) -> np.ndarray:
    return read_image(Path(folder) / f"{i:04}.png")[2:18, 3:19]


def test_a_list_of_paths_and_callables(tmp_path):
    from functools import partial

    folder = make_folder(tmp_path / "HR", 3)
    items = [(f"b/{i}", partial(crop, str(folder), i)) for i in range(3)]
    items.append(("a", folder / "0000.png"))
    for workers in (0, 1):
        target = tmp_path / f"{workers}.lmdb"
        pack_images(items, target, num_workers=workers)
        store = ImageLmdb(target)
        assert list(store.names()) == ["a", "b/0", "b/1", "b/2"]
        assert np.array_equal(store.read("b/2"), crop(str(folder), 2))
        assert np.array_equal(store.read("a"), read_image(folder / "0000.png"))


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pictures_are_left_out_and_named(tmp_path, workers):
    folder, target = make_folder(tmp_path / "HR"), tmp_path / "hr.lmdb"
    whole = (folder / "0002.png").read_bytes()
    (folder / "0002.png").write_bytes(whole[:-30])
    (folder / "0005.png").write_text("<html>")
    with pytest.raises(UserError, match=r"2 of 9 pictures cannot be packed:\n  0002: .*truncated"):
        pack_images(folder, target, strict=True, num_workers=workers)
    assert not target.exists()
    assert not (tmp_path / "hr.lmdb.partial").exists()
    report = pack_images(folder, target, num_workers=workers)
    assert (report.count, report.added, report.reused) == (7, 7, 0)
    assert [name for name, _ in report.failed] == ["0002", "0005"]
    assert "0005.png: not a picture" in report.failed[1][1]
    assert "0002" not in ImageLmdb(target)
    again = pack_images(folder, target)
    assert (again.count, again.failed) == (7, report.failed)
    (folder / "0002.png").write_bytes(whole)
    with pytest.raises(UserError, match="not what this pack would make"):
        pack_images(folder, target)
    (folder / "0005.png").unlink()
    pack_images(folder, target, overwrite=True)
    assert_same(target, folder)


def wrong() -> np.ndarray:
    return np.zeros((3, 3, 3))


def test_faults(tmp_path):
    folder = make_folder(tmp_path / "HR", 2)
    target = tmp_path / "t.lmdb"
    with pytest.raises(UserError, match="inside the source"):
        pack_images(folder, folder / "t.lmdb")
    with pytest.raises(UserError, match="no such folder"):
        pack_images(tmp_path / "absent", target)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures in this folder"):
        pack_images(tmp_path / "empty", target)
    with pytest.raises(UserError, match="is not a packed database"):
        pack_images(folder, tmp_path / "empty", overwrite=True)
    with pytest.raises(UserError, match="float64 samples"):
        pack_images([("a", wrong)], target)
    write_image(folder / "0001.jpg", picture(9, 9))
    with pytest.raises(UserError, match=r"0001\.jpg and 0001\.png have the same name"):
        pack_images(folder, target)
    one, two = folder / "0000.png", folder / "0001.png"
    with pytest.raises(UserError, match=r"0000\.png and .*0001\.png have the same name 'x'"):
        pack_images([("x", one), ("x", two)], target)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        pack_images([("x", one)], tmp_path / "file" / "t.lmdb")
    assert not target.exists()


def test_the_map_grows_as_needed(tmp_path, monkeypatch):
    from superres.datasets.storage import writer

    monkeypatch.setattr(writer, "_FIRST_MAP_SIZE", 1 << 16)
    folder = make_folder(tmp_path / "HR", 30)
    report = pack_images(folder, tmp_path / "t.lmdb")
    assert_same(report.target, folder)
    pixels = sum(image.nbytes for image in map(ImageFolder(folder).read_at, range(30)))
    assert report.bytes < pixels + 30 * 4096 * 2 + 20 * 4096


def test_unpack_and_extract(tmp_path):
    pictures = {"a": picture(4, 5), "sub/é": picture(6, 7, 1), "deep": picture(3, 3, 3, np.uint16)}
    items = [(name, lambda image=image: image) for name, image in pictures.items()]
    pack_images(items, tmp_path / "t.lmdb", num_workers=0)
    assert unpack(tmp_path / "t.lmdb", tmp_path / "out") == 3
    for name, image in pictures.items():
        read = read_image(tmp_path / "out" / f"{name}.png", "unchanged", "keep")
        assert np.array_equal(read, image)
    (tmp_path / "out" / "a.png").unlink()
    stamp = (tmp_path / "out" / "deep.png").stat().st_mtime_ns
    assert unpack(tmp_path / "t.lmdb", tmp_path / "out") == 1
    assert (tmp_path / "out" / "deep.png").stat().st_mtime_ns == stamp
    assert unpack(tmp_path / "t.lmdb", tmp_path / "out", overwrite=True) == 3

    assert extract(tmp_path / "t.lmdb", "a", tmp_path / "one.bmp") == tmp_path / "one.bmp"
    assert np.array_equal(read_image(tmp_path / "one.bmp"), pictures["a"])
    into = extract(ImageLmdb(tmp_path / "t.lmdb"), "sub/é", tmp_path)
    assert into == tmp_path / "sub" / "é.png"
    with pytest.raises(UserError, match=r"t\.lmdb has no picture named 'nope'"):
        extract(tmp_path / "t.lmdb", "nope", tmp_path)
    with pytest.raises(UserError, match="cannot hold 16-bit"):
        extract(tmp_path / "t.lmdb", "deep", tmp_path / "deep.jpg")


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "", "..", "link/out"])
def test_hostile_names_stay_in_the_folder(tmp_path, name):
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (inside / "link").symlink_to(tmp_path / "elsewhere")
    pack_images([(name, picture_of_four)], tmp_path / "t.lmdb", num_workers=0)
    before = sorted(tmp_path.rglob("*"))
    for take in (unpack, lambda store, folder: extract(store, name, folder)):
        with pytest.raises(UserError, match="leads out of the folder"):
            take(tmp_path / "t.lmdb", inside)
    assert sorted(tmp_path.rglob("*")) == before


def picture_of_four() -> np.ndarray:
    return np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def test_merge(tmp_path):
    a, b = make_folder(tmp_path / "A", 3), make_folder(tmp_path / "B", 2)
    for i in range(2):
        os.rename(b / f"{i:04}.png", b / f"x{i}.png")
    pack_images(a, tmp_path / "a.lmdb")
    report = merge([tmp_path / "a.lmdb", b], tmp_path / "both.lmdb")
    assert report.count == 5
    both = ImageLmdb(tmp_path / "both.lmdb")
    assert np.array_equal(both.read("0002"), ImageFolder(a).read("0002"))
    assert np.array_equal(both.read("x1"), ImageFolder(b).read("x1"))
    assert merge([tmp_path / "a.lmdb", b], tmp_path / "both.lmdb").added == 0
    with pytest.raises(UserError, match=r"A and .*a\.lmdb both have a picture named '0000'"):
        merge([a, tmp_path / "a.lmdb"], tmp_path / "clash.lmdb")


def test_merge_refuses_pixels_that_do_not_match_their_checksum(tmp_path):
    a = make_folder(tmp_path / "A", 3)
    pack_images(a, tmp_path / "a.lmdb")
    data = bytearray((tmp_path / "a.lmdb" / "data.mdb").read_bytes())
    data[data.index(ImageFolder(a).read("0001").tobytes()[:50]) + 7] ^= 128
    (tmp_path / "a.lmdb" / "data.mdb").write_bytes(bytes(data))
    report = merge([tmp_path / "a.lmdb"], tmp_path / "b.lmdb")
    assert [name for name, _ in report.failed] == ["0001"]
    assert "do not match their checksum" in report.failed[0][1]
    with pytest.raises(UserError, match="'0001' do not match their checksum"):
        unpack(tmp_path / "a.lmdb", tmp_path / "out")
    assert not (tmp_path / "out" / "0001.png").exists()
