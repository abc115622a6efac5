"""Packing under kill -9, full disks and competition: nothing half done."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from superres.datasets.pack import pack_images
from superres.datasets.storage import ImageFolder, ImageLmdb, open_store
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
    time.sleep(float(sys.argv[4]))
if __name__ == "__main__":
    try:
        report = pack.pack_images(
            sys.argv[1], sys.argv[2], num_workers=int(sys.argv[3]), progress=progress
        )
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


def start(folder: Path, target: Path, workers: int = 0, pause: float = 0.005, **options):
    script = target.parent / "pack_it.py"
    script.write_text(PACK)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(target), str(workers), str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )


def assert_complete(target: Path, folder: Path) -> None:
    packed, files = open_store(target), ImageFolder(folder)
    assert isinstance(packed, ImageLmdb)
    assert list(packed.names()) == list(files.names())
    for i in range(COUNT):
        assert np.array_equal(packed.read_at(i), files.read_at(i))
        assert packed.verify_entry(i)
    assert [p.name for p in target.iterdir()] == ["data.mdb"]


def kill_after(process: subprocess.Popen, pictures: int) -> None:
    for line in process.stdout:
        if line.strip() == str(pictures):
            break
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def test_kill_9_at_any_time_and_run_again(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    for pictures in (1, 10, 25, 39, COUNT):
        kill_after(start(folder, target), pictures)
        if target.exists():  # killed after the last commit: then it must be whole
            break
        with pytest.raises(UserError, match="Run the same pack command again"):
            open_store(target)
        if (tmp_path / "hr.lmdb.partial" / "data.mdb").exists():
            with pytest.raises(UserError):
                open_store(tmp_path / "hr.lmdb.partial")
    report = pack_images(folder, target)
    assert report.count == COUNT
    assert_complete(target, folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hr.lmdb", "pack_it.py"]


def test_stopped_between_the_index_and_the_rename(tmp_path, folder, monkeypatch):
    from superres.datasets.storage.writer import PackWriter

    target = tmp_path / "hr.lmdb"
    with monkeypatch.context() as patched:
        patched.setattr(PackWriter, "_move", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            pack_images(folder, target)
    assert not list(tmp_path.iterdir())


def test_workers_die_with_a_killed_packer(tmp_path, folder):
    process = start(folder, tmp_path / "hr.lmdb", workers=2, pause=0.05)
    process.stdout.readline()
    children = _children(process.pid)
    assert len(children) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if _alive(pid)]
    process.stdout.close()
    process.stderr.close()
    report = pack_images(folder, tmp_path / "hr.lmdb")
    assert report.count == COUNT


def test_a_killed_worker_is_one_message(tmp_path, folder):
    process = start(folder, tmp_path / "hr.lmdb", workers=2, pause=0.05)
    for _ in range(5):
        process.stdout.readline()
    for pid in _children(process.pid):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert "USER ERROR A working process died" in out
    assert not (tmp_path / "hr.lmdb.partial").exists()


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_two_processes_on_one_target(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    first = start(folder, target, pause=0.05)
    first.stdout.readline()
    with pytest.raises(
        UserError, match=rf"process {first.pid} on .* since .* is packing to .*hr\.lmdb"
    ):
        pack_images(folder, target)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert "REUSED 0" in out
    assert_complete(target, folder)
    assert not (tmp_path / "hr.lmdb.lock").exists()


def test_finished_by_another_process_just_before_the_lock(tmp_path, folder):
    from superres.datasets.storage.writer import PackWriter

    target = tmp_path / "hr.lmdb"
    pack_images(folder, target)
    with pytest.raises(UserError, match="has just finished it"):
        PackWriter(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hr.lmdb"]
    assert_complete(target, folder)


def test_a_lock_left_by_a_killed_process_is_no_lock(tmp_path, folder):
    target = tmp_path / "hr.lmdb"
    kill_after(start(folder, target), 5)
    assert (tmp_path / "hr.lmdb.lock").exists()
    pack_images(folder, target)
    assert_complete(target, folder)


@pytest.mark.parametrize("limit", [1, 70_000, 520_000])
def test_a_full_disk(tmp_path, folder, limit):
    """A file-size limit stands in for the full disk: the same failed writes, another errno."""
    resource = pytest.importorskip("resource")
    target = tmp_path / "hr.lmdb"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(folder, target, pause=0, preexec_fn=limited)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, out + err
    assert "cannot be written" in out
    assert "run the same command again" in out
    assert not target.exists()
    report = pack_images(folder, target)
    assert report.count == COUNT
    assert_complete(target, folder)


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


def test_a_really_full_filesystem(small_disk, tmp_path, folder):
    shutil.copy(__file__, small_disk)  # something else that takes room
    target = small_disk / "hr.lmdb"
    process = start(folder, target, pause=0)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, out + err
    assert "the disk is full: 0 MiB are free" in out
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    pack_images(folder, target)
    assert_complete(target, folder)


def test_a_read_only_filesystem(small_disk, folder):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
        pack_images(folder, small_disk / "hr.lmdb")


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
from superres.imaging.io import write_image
def make(i): return np.random.default_rng(i).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
def private():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"): return int(line.split()[1])
peak = 0
def progress(*_):
    global peak
    peak = max(peak, private())
pack.pack_images([("warm", partial(make, 0))], sys.argv[1] + "/warm.lmdb")
before = private()
pack.pack_images([(str(i), partial(make, i)) for i in range(80)], sys.argv[1] + "/t.lmdb",
                 num_workers=0, progress=progress)
print(peak - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc")
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 110_000
