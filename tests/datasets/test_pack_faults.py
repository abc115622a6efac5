"""Packing under kill -9, full disks and competition: nothing half done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superres.datasets.pack import pack_images
from superres.datasets.storage import ImageFolder, ImageLmdb, open_store
from superres.datasets.storage.writer import PackWriter
from superres.errors import UserError
from superres.imaging.io import write_image

COUNT = 40

# Packs argv[1] to argv[2]; small batches, so that a kill finds committed and uncommitted work.
PACK = """
import sys, time
from superres.datasets.storage import writer
from superres.datasets import pack
from superres.errors import UserError
writer._BATCH_BYTES = 40_000
def progress(done, total, name):
    print(done, flush=True)
    time.sleep(float(sys.argv[3]))
try:
    report = pack.pack_images(sys.argv[1], sys.argv[2], progress=progress)
except UserError as error:
    print("USER ERROR", error, flush=True)
    sys.exit(2)
print("REUSED", report.reused, flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("HR")
    rng = np.random.default_rng(1)
    for i in range(COUNT):
        write_image(path / f"{i:03}.png", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return path


def start(folder: Path, target: Path, pause: float = 0.005, **options: Any) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PACK, str(folder), str(target), str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def assert_packed_again(folder: Path, target: Path) -> None:
    """Another run makes it whole, and nothing is left beside it."""
    pack_images(folder, target)
    packed, files = ImageLmdb(target), ImageFolder(folder)
    assert list(packed.names()) == list(files.names())
    assert all(np.array_equal(packed.read_at(i), files.read_at(i)) for i in range(COUNT))
    assert [p.name for p in target.iterdir()] == ["data.mdb"]
    assert [p.name for p in target.parent.glob(f"{target.name}?*")] == []


def test_what_a_killed_process_leaves(tmp_path, folder):
    """It is told; its lock is none. (Kills anywhere: tests/faults.)"""
    target = tmp_path / "hr.lmdb"
    process = start(folder, target)
    while process.stdout.readline() != "25\n":
        pass
    process.kill()
    process.communicate()
    for path, fault in ((target, "Run the same pack"), (f"{target}.partial", "unfinished pack")):
        with pytest.raises(UserError, match=fault):
            open_store(path)
    assert (tmp_path / "hr.lmdb.lock").exists()  # of a killed process: it is no lock
    assert_packed_again(folder, target)


@pytest.mark.parametrize("step", ["add", "_move"])
def test_ctrl_c_leaves_nothing(tmp_path, folder, monkeypatch, step):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PackWriter, step, stop)
    with pytest.raises(KeyboardInterrupt):
        pack_images(folder, tmp_path / "hr.lmdb")
    assert not list(tmp_path.iterdir())


def test_two_processes_on_one_target(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    first = start(folder, target, pause=0.05)
    first.stdout.readline()
    said = rf"process {first.pid} on .* since .* is packing to .*hr\.lmdb"
    with pytest.raises(UserError, match=said):
        pack_images(folder, target)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert "REUSED 0" in out
    assert pack_images(folder, target).reused == COUNT
    assert_packed_again(folder, target)


def test_a_full_disk(tmp_path, folder):
    """A file-size limit stands in for the full disk: the same failed writes, another errno."""
    resource = pytest.importorskip("resource")
    target = tmp_path / "hr.lmdb"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))

    process = start(folder, target, pause=0, preexec_fn=limited)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, out + err
    assert "cannot be written" in out
    assert "run the same command again" in out
    assert not target.exists()
    assert_packed_again(folder, target)


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 300 KiB, where the user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("no right to mount a small filesystem")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_really_full_and_a_read_only_filesystem(small_disk, folder):
    target = small_disk / "hr.lmdb"
    with pytest.raises(UserError, match="the disk is full: 0 MiB are free"):
        pack_images(folder, target)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"cannot be written.*Read-only file system"):
        pack_images(folder, target)
    subprocess.run(["mount", "-o", "remount,rw,size=20m", str(small_disk)], check=True)
    assert_packed_again(folder, target)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert pack_images(folder, target).reused == COUNT


def test_a_finished_pack_is_up_to_date_without_a_lock(tmp_path, folder, monkeypatch):
    """As on a read-only disk, where none can be made."""
    target = pack_images(folder, tmp_path / "hr.lmdb").target

    def refuse(*_: object) -> None:
        raise UserError("no lock here")

    monkeypatch.setattr("superres.datasets.pack.lock_target", refuse)
    assert pack_images(folder, target).reused == COUNT
    with pytest.raises(UserError, match="no lock here"):
        pack_images(folder, target, dtype="keep", overwrite=True)


def test_a_read_only_target(tmp_path, folder):
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o555)
    if os.access(place, os.W_OK):
        pytest.skip("this user writes everywhere")
    with pytest.raises(UserError, match="cannot be written"):
        pack_images(folder, place / "hr.lmdb")
    assert list(place.iterdir()) == []


def test_memory_of_the_packer_is_a_few_pictures(tmp_path):
    """80 pictures of 3 MB: far less private memory than the 240 MB of all of them."""
    code = """
import sys, numpy as np
from functools import partial
from superres.datasets import pack
def make(i): return np.random.default_rng(i).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
def private():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"): return int(line.split()[1])
peak = 0
def progress(*_):
    global peak
    peak = max(peak, private())
before = private()
pack.pack_images([(str(i), partial(make, i)) for i in range(80)], sys.argv[1] + "/t.lmdb",
                 num_workers=2, progress=progress)
print(peak - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc")
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 120_000
