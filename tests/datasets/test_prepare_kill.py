"""kill -9, SIGTERM, competition and full disks in the middle of prepare: what is finished stays."""

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
from tests.datasets.trees import fingerprint_of, lq_of, picture, put

COUNT = 60

# The command, slowed down so that a kill finds it in the middle, with small commits.
SLOW = """
import sys, time
from superres.datasets.storage import writer
writer._BATCH_BYTES = 20_000
add = writer.PackWriter.add
def slowly(*arguments):
    time.sleep(0.01)
    return add(*arguments)
writer.PackWriter.add = slowly
from superres.cli.main import main
sys.exit(main(["data", "prepare", *sys.argv[1:]]))
"""


def start(arguments: list[str], script: Path, until: Path) -> subprocess.Popen:
    """The command in a process, once it packs into ``until``."""
    script.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    late = time.monotonic() + 30
    while not (until / "data.mdb").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < late, "nothing happens"
        time.sleep(0.01)
    time.sleep(0.25)
    return process


def test_stopped_in_the_middle_and_run_again(tmp_path, capsys):
    source, made, script = tmp_path / "set", tmp_path / "d" / "set", tmp_path / "slow.py"
    for i in range(COUNT):
        put(source / f"{i:03}.png", picture(i, 40, 41))
    before = fingerprint_of(source)
    partial = [made / f"{name}.lmdb.partial" for name in ("HR", "LR_bicubic_X2")]
    arguments = ["folder", "--root", str(source), "--out", str(made.parent), "--scales", "2"]
    arguments += ["--num-workers", "0"]

    process = start(arguments, script, partial[0])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert partial[0].exists()
    assert not (made / "HR.lmdb").exists()

    process = start(arguments, script, partial[1])
    process.terminate()
    output = process.communicate()[0]
    assert process.returncode == 143, output
    assert "Traceback" not in output
    assert not partial[1].exists()

    process = start(arguments, script, partial[1])
    try:
        os.kill(process.pid, signal.SIGSTOP)
        assert main(["data", "prepare", *arguments]) == 2
        assert f"process {process.pid}" in capsys.readouterr().err
    finally:
        os.kill(process.pid, signal.SIGCONT)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert re.search(r"HR\S*: 60 pictures \(as given\), 0 new", output), "the second run's are kept"
    assert re.search(r"X2\S*: 60 pictures \(exact.*\), 60 new", output)
    assert "60 exact" in output
    assert "verified: no errors" in output
    assert fingerprint_of(source) == before
    gt, lq = (open_store(made / path.stem) for path in partial)
    for i in range(COUNT):
        np.testing.assert_array_equal(gt.read_at(i), picture(i, 40, 41))
        np.testing.assert_array_equal(lq.read_at(i), lq_of(picture(i, 40, 41), 2))
    assert [p.name for p in made.rglob("*") if re.search("partial|lock$|tmp", p.name)] == []


@pytest.mark.skipif(
    shutil.which("mount") is None or os.geteuid() != 0, reason="mounting a file system needs root"
)
def test_a_full_disk_loses_nothing(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(12):
        put(tmp_path / "set" / f"{i:02}.png", rng.integers(0, 256, (200, 300, 3), np.uint8))
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        arguments = ["--root", str(tmp_path / "set"), "--out", str(mount / "d"), "--scales", "2"]
        command = ["data", "prepare", "folder", *arguments, "--num-workers", "0"]
        assert main(command) == 2
        assert "full" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,size=20m", str(mount)], check=True)
        assert main(command) == 0
        assert "verified: no errors" in capsys.readouterr().out
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
