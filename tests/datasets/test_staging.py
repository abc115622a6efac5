"""Copies on the node's own disk: one per node, whole or not there at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from superres.datasets import staging
from superres.datasets.pack import pack_images
from superres.datasets.paired import PairedDataset
from superres.datasets.staging import stage
from superres.datasets.storage import ImageFolder, ImageLmdb
from superres.errors import UserError

from .conftest import pictures

# A process of a node: copies slowly, then says which pixels it reads and whether it copied.
PROCESS = """
import sys, time, zlib
from superres.datasets import staging
from superres.datasets.storage import ImageLmdb

class Slow:
    def crc32(self, chunk, start=0):
        time.sleep(float(sys.argv[3]))
        return zlib.crc32(chunk, start)

staging._CHUNK = 20_000
staging.zlib = Slow()
said = []
def say(line):
    said.append(line)
    print("begins", flush=True)
staged = staging.stage(ImageLmdb(sys.argv[1]), sys.argv[2], say)
pixels = b"".join(staged.read_verified_at(i).tobytes() for i in range(len(staged)))
print("copied" if said else "waited", zlib.crc32(pixels), staged.path, flush=True)
"""


@pytest.fixture
def pack(make_packs) -> ImageLmdb:
    return ImageLmdb(make_packs() / "HR.lmdb")


def start(pack: ImageLmdb, target: Path, pause: float) -> subprocess.Popen:
    command = [sys.executable, "-c", PROCESS, str(pack.path), str(target), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def copies(target: Path) -> list[Path]:
    return sorted((target / staging.FOLDER).glob("*.lmdb"))


def test_a_copy_is_made_once_and_used_again(pack, tmp_path: Path):
    target, said = tmp_path / "local", []
    staged = stage(pack, target, said.append)
    assert len(said) == 1
    assert target in staged.path.parents
    for i, picture in enumerate(pictures()):
        np.testing.assert_array_equal(staged.read_verified_at(i), picture)
    assert (staged.path / "data.mdb").read_bytes() == (pack.path / "data.mdb").read_bytes()
    before = (staged.path / "data.mdb").stat().st_mtime_ns
    assert stage(pack, target, said.append).path == staged.path
    assert len(said) == 1
    assert (staged.path / "data.mdb").stat().st_mtime_ns == before


def test_two_processes_make_one_copy(pack, tmp_path: Path):
    processes = [start(pack, tmp_path / "local", 0.02) for _ in range(2)]
    outputs = [p.communicate(timeout=120)[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    last = [output.splitlines()[-1].split() for output in outputs]
    assert sorted(line[0] for line in last) == ["copied", "waited"]
    assert last[0][1:] == last[1][1:]  # the same pixels from the same place
    assert len(copies(tmp_path / "local")) == 1


def test_when_the_one_that_copies_is_killed_the_next_one_begins_anew(pack, tmp_path: Path):
    target = tmp_path / "local"
    first = start(pack, target, 5)
    assert first.stdout.readline() == "begins\n"
    second = start(pack, target, 0)
    while not copies(target):
        time.sleep(0.02)
    half = copies(target)[0]
    assert not (half / "verified.json").exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    output = second.communicate(timeout=120)[0].splitlines()
    assert output[0] == "begins"
    assert output[-1].startswith("copied")
    assert copies(target) == [half]
    assert (half / "data.mdb").read_bytes() == (pack.path / "data.mdb").read_bytes()


def test_a_half_copy_or_a_cut_one_is_made_anew(pack, tmp_path: Path):
    staged = stage(pack, tmp_path)
    data = staged.path / "data.mdb"
    whole = data.read_bytes()
    staged.close()
    data.write_bytes(whole[:-4096])
    del staged
    said = []
    staged = stage(pack, tmp_path, said.append)
    assert len(said) == 1
    assert data.read_bytes() == whole
    (staged.path / "verified.json").unlink()
    staged.close()
    stage(pack, tmp_path, said.append)
    assert len(said) == 2


def test_another_version_of_a_pack_gets_another_copy(pack, tmp_path: Path):
    first = stage(pack, tmp_path / "local")
    images = pictures(seed=1)
    folder = tmp_path / "new"
    folder.mkdir()
    from superres.imaging.io import write_image

    for i, image in enumerate(images):
        write_image(folder / f"{i:03d}.png", image)
    pack_images(folder, pack.path, num_workers=0, overwrite=True)
    second = stage(ImageLmdb(pack.path), tmp_path / "local")
    assert second.path != first.path
    np.testing.assert_array_equal(second.read_at(0), images[0])
    np.testing.assert_array_equal(first.read_at(0), pictures()[0])


def test_a_disk_that_gives_back_something_else(pack, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(staging, "_checksum", lambda _: 1)
    with pytest.raises(UserError, match=r"differs from what was written.*disk of this node"):
        stage(pack, tmp_path / "local")
    assert not copies(tmp_path / "local")


def test_no_room(pack, tmp_path: Path, monkeypatch):
    usage = staging.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"0\.00 GiB free, and the pack takes 0\.00 GiB"):
        stage(pack, tmp_path / "local")
    assert not copies(tmp_path / "local")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_the_disk_fills_up_meanwhile(pack, tmp_path: Path, monkeypatch):
    def fsync(_: int) -> None:
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")

    monkeypatch.setattr(staging.os, "fsync", fsync)
    with pytest.raises(UserError, match="Choose another folder"):
        stage(pack, tmp_path / "local")
    assert not copies(tmp_path / "local")


def test_a_dataset_reads_from_its_copies(make_packs, tmp_path: Path, monkeypatch, capsys):
    root = make_packs()
    pipeline = [{"type": "PairedRandomCrop", "lq_patch_size": 12}, {"type": "PackInputs"}]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    plain = PairedDataset(str(root), pipeline=pipeline)
    staged = PairedDataset(str(root), pipeline=pipeline, stage_to="$TMPDIR")
    assert len(copies(tmp_path / "scratch")) == 2
    assert capsys.readouterr().err.count("copying") == 2
    assert str(tmp_path / "scratch") in staged[0]["meta"]["gt_path"]
    assert str(tmp_path / "scratch") in staged[0]["meta"]["lq_path"]
    for i in range(5):
        np.testing.assert_array_equal(staged[i]["gt"], plain[i]["gt"])
        np.testing.assert_array_equal(staged[i]["inputs"], plain[i]["inputs"])


def test_mistakes(pack, make_folders, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    for text in ("$NO_SUCH_VARIABLE", "${NO_SUCH_VARIABLE}/x"):
        with pytest.raises(UserError, match="NO_SUCH_VARIABLE is not set on this node"):
            stage(pack, text)
    with pytest.raises(UserError, match=r"copies packs, and .* is none"):
        stage(ImageFolder(make_folders() / "HR"), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        stage(pack, tmp_path / "file")
