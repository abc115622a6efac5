"""Image files are decoded once, whoever reads them; a full or absent cache changes nothing."""

from __future__ import annotations

import errno
import logging
import os

import numpy as np
import pytest

from superres.datasets.pack import pack_images
from superres.datasets.paired import PairedDataset
from superres.datasets.storage import folder, raw_cache
from superres.errors import UserError
from superres.imaging.io import write_image

from .conftest import pictures
from .test_loader import PIPELINE, assert_equal, batches


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "caches"))
    return tmp_path / "caches" / f"superres-{os.getuid()}"


def opened(root, **options) -> PairedDataset:
    return PairedDataset(str(root), pipeline=PIPELINE, seed=4, **options)


@pytest.mark.parametrize("cache", ["disk", "cpu"])
@pytest.mark.parametrize(("method", "workers"), [(None, 0), ("fork", 2), ("spawn", 2)])
def test_files_are_decoded_once(make_packs, tmp_path, monkeypatch, cache, method, workers):
    plain = batches(opened(make_packs(), cache=None), 10)
    dataset = opened(tmp_path / "packs-files", cache=cache)
    assert not dataset.notes
    assert_same_pixels(batches(dataset, 10, num_workers=workers, start_method=method), plain)
    monkeypatch.setattr(folder, "read_image", lambda *_: pytest.fail("decoded again"))
    assert_same_pixels(batches(dataset, 10), plain)
    if cache == "disk":  # another process
        raw_cache._CACHES.clear()
        assert_same_pixels(batches(opened(tmp_path / "packs-files"), 10), plain)


def assert_same_pixels(found, expected) -> None:
    for batch in [*found, *expected]:
        for meta in batch["meta"]:
            meta.pop("lq_path", None), meta.pop("gt_path", None)
    assert_equal(found, expected)


def test_sixteen_bits_grey_and_other_lmdbs(make_folders, tmp_path, monkeypatch):
    deep = make_folders([p.astype(np.uint16) * 257 for p in pictures()], lq=False)
    dataset = opened(deep, dtype="keep", channels="grey")
    first = [dataset.gt.read_at(i) for i in range(5)]
    monkeypatch.setattr(folder, "read_image", lambda *_: pytest.fail("decoded again"))
    assert first[0].dtype == np.uint16
    assert all(np.array_equal(dataset.gt.read_at(i), image) for i, image in enumerate(first))
    pack_images(
        ((f"{i}", lambda image=image: image) for i, image in enumerate(first)), tmp_path / "p"
    )
    kept = opened(tmp_path / "p", cache="cpu")  # read as RGB
    assert kept.gt.read_at(3).shape == (*first[3].shape[:2], 3)


def test_what_changes_is_read_again(make_folders, place):
    root = make_folders(lq=False)
    dataset, new = opened(root), pictures(5, seed=1)
    before = [dataset.load(i)[1].copy() for i in range(5)]
    write_image(root / "HR" / "002.png", new[2])
    again = opened(root)
    for one in (dataset, again):
        assert np.array_equal(one.load(2)[1], new[2])
        assert np.array_equal(one.load(1)[1], before[1])
    (file,) = place.iterdir()
    with file.open("r+b") as opening:  # as after a crash: entries are there, pixels are not
        opening.seek(again.gt._ends[0])
        opening.write(bytes(1000))
    raw_cache._CACHES.clear()
    assert np.array_equal(opened(root).load(0)[1], before[0])
    write_image(root / "HR" / "003.png", new[0][:40, :40])  # of another size: read, but not kept
    assert np.array_equal(again.gt.read_at(3), new[0][:40, :40])
    (root / "HR" / "004.png").unlink()
    with pytest.raises(UserError, match=r"004\.png: no such"):
        dataset.load(4)


def test_a_bound(make_folders, place, monkeypatch):
    root, other = make_folders(lq=False), make_folders(lq=False, name="other")
    size = sum(p.size for p in pictures())
    most = (size + 4096) / 2**30
    first = opened(root, cache_gib=most)
    assert f"kept decoded in {place}" in first.describe_sides()
    (old,) = place.iterdir()
    del first
    raw_cache._CACHES.clear()
    part = opened(other, cache_gib=most - 20000 / 2**30)
    assert not old.exists()  # it made room
    assert "4 of 5 images kept decoded in" in part.notes[0]
    assert [np.array_equal(part.gt.read_at(i), p) for i, p in enumerate(pictures())] == [True] * 5
    assert sum(f.stat().st_size for f in place.iterdir()) <= size


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing(make_folders, place, tmp_path, monkeypatch, caplog, code):
    dataset = opened(make_folders(lq=False))

    def refuse(fd: int, data: bytes, at: int) -> int:
        if len(data) > 100:  # of the room that is there already, entries
            raise OSError(code, os.strerror(code))
        return write(fd, data, at)

    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", refuse)
    with caplog.at_level(logging.WARNING):
        found = [dataset.gt.read_at(i % 5) for i in range(10)]
    assert all(np.array_equal(image, p) for image, p in zip(found, pictures() * 2))
    assert len(caplog.messages) == 1
    monkeypatch.setenv("TMPDIR", str(tmp_path / "folders" / "HR" / "000.png"))
    raw_cache._CACHES.clear()
    without = opened(tmp_path / "folders")
    assert "decoded for every sample" in without.notes[0]
    assert np.array_equal(without.load(1)[1], pictures()[1])


def test_memory_must_do(make_folders, monkeypatch):
    root = make_folders()
    monkeypatch.setattr(raw_cache, "available", lambda _: 150_000)
    with pytest.raises(UserError, match=r"takes 0\.00 GiB in each of 1 processes.*'disk'"):
        opened(root, cache="cpu")
    monkeypatch.setattr(raw_cache, "available", lambda _: 250_000)
    opened(root, cache="cpu")
    raw_cache._CACHES.clear()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="in each of 2 processes"):
        opened(root, cache="cpu")
