"""kill -9, competition and full disks in the middle of prepare: what is finished is kept."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from superres.cli.main import main
from superres.datasets.storage import open_store
from superres.imaging.io import write_image
from tests.datasets.trees import fingerprint_of, lq_of, picture

COUNT = 60

# The command, slowed down so that a kill finds it in the middle, with small commits.
SLOW = """
import sys, time
from superres.datasets.storage import sources, writer
writer._BATCH_BYTES = 20_000
load, bicubic = sources.ListSource.load, sources.DerivedSource.load
def slowly(f):
    def load(self, i):
        time.sleep(0.01)
        return f(self, i)
    return load
sources.ListSource.load, sources.DerivedSource.load = slowly(load), slowly(bicubic)
from superres.cli.main import main
if __name__ == "__main__":
    sys.exit(main(["data", "prepare", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "set"
    folder.mkdir()
    for i in range(COUNT):
        write_image(folder / f"{i:03}.png", picture(i, 40, 41))
    return folder


def start(source: Path, out: Path, *options: str) -> subprocess.Popen:
    options = ("--num-workers", "0", *options)
    script = out.parent / "slow.py"
    script.write_text(SLOW)
    return subprocess.Popen(
        [sys.executable, str(script), "folder", "--root", str(source), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def wait_for(condition, process: subprocess.Popen, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.01)


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_in_the_middle_and_run_again(source, tmp_path):
    before, out = fingerprint_of(source), tmp_path / "d"
    names = ["HR", "LR_bicubic_X2"]
    for name in names:  # killed in the ground truths, then in the pictures made from them
        process = start(source, out, "--scales", "2")
        partial = out / "set" / f"{name}.lmdb.partial"
        wait_for((partial / "data.mdb").exists, process)
        time.sleep(0.25)
        kill(process)
        assert partial.exists()
        assert not (out / "set" / f"{name}.lmdb").exists()
    process = start(source, out, "--scales", "2")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    added = int(re.search(r"HR\S*: 60 pictures \(as given\), (\d+) new", output)[1])
    assert added == 0, "the ground truths were finished by the second run"
    added = int(re.search(r"X2\S*: 60 pictures \(exact.*\), (\d+) new", output)[1])
    assert added == COUNT
    assert "60 exact" in output
    assert "verified: no errors" in output
    assert fingerprint_of(source) == before
    gt, lq = (open_store(out / "set" / f"{name}.lmdb") for name in names)
    for i in range(COUNT):
        np.testing.assert_array_equal(gt.read_at(i), picture(i, 40, 41))
        np.testing.assert_array_equal(lq.read_at(i), lq_of(picture(i, 40, 41), 2))
    left = [p.name for p in (out / "set").rglob("*") if re.search("partial|lock$|tmp", p.name)]
    assert left == []


def test_sigterm_leaves_nothing_half_done(source, tmp_path):
    out = tmp_path / "d"
    process = start(source, out, "--scales", "2")
    wait_for((out / "set" / "HR.lmdb.partial" / "data.mdb").exists, process)
    time.sleep(0.3)
    process.terminate()
    output = process.communicate()[0]
    assert process.returncode == 143, output
    assert "Traceback" not in output
    assert not (out / "set" / "HR.lmdb.partial").exists()


def test_two_processes_on_one_target(source, tmp_path, capsys):
    out = tmp_path / "d"
    process = start(source, out, "--scales", "2")
    try:
        wait_for((out / "set" / "HR.lmdb.partial" / "data.mdb").exists, process)
        os.kill(process.pid, signal.SIGSTOP)
        arguments = ["--root", str(source), "--out", str(out), "--scales", "2"]
        code = main(["data", "prepare", "folder", *arguments, "--num-workers", "0"])
        assert code == 2
        assert f"process {process.pid}" in capsys.readouterr().err
    finally:
        os.kill(process.pid, signal.SIGCONT)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "verified: no errors" in output


def small_disk(tmp_path: Path) -> Path:
    """A file system of 2 MiB; skips where the system does not give one."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    return mount


@pytest.mark.parametrize("form", ["lmdb", "folder"])
def test_a_full_disk_loses_nothing(form, tmp_path, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        write_image(folder / f"{i:02}.png", rng.integers(0, 256, (200, 300, 3), np.uint8))
    mount = small_disk(tmp_path)
    try:
        arguments = ["--root", str(folder), "--out", str(mount / "d"), "--scales", "2"]
        command = ["data", "prepare", "folder", *arguments, "--num-workers", "0", "--format", form]
        assert main(command) == 2
        assert "full" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,size=20m", str(mount)], check=True)
        assert main(command) == 0
        assert "verified: no errors" in capsys.readouterr().out
    finally:
        import gc

        gc.collect()
        subprocess.run(["umount", "-l", str(mount)], check=True)
