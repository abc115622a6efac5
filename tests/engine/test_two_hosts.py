"""Two machines, as network namespaces joined by a cable that can be cut."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from superres.engine.train.checkpoint import iteration_files, read_checkpoint

from .conftest import CONFIG, ROOT, read_trace
from .test_resume import wait_for

ADDRESSES = ("10.213.77.1", "10.213.77.2")
MINUTES = 0.25  # that one waits for the other


def ip(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[str]]:
    """Two namespaces with a veth pair between them; skips where they can't be made."""
    if shutil.which("ip") is None:
        pytest.skip("no two hosts: the command ip (iproute2) is not here")
    names = [f"superres{os.getpid()}{side}" for side in "ab"]
    cables = [f"sr{os.getpid() % 100000}{side}" for side in "ab"]
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
            for name, cable, address in zip(names, cables, ADDRESSES):
                ip("link", "set", cable, "netns", name)
                inside = ("-n", name)
                ip(*inside, "link", "set", cable, "name", "cable")
                ip(*inside, "addr", "add", f"{address}/24", "dev", "cable")
                ip(*inside, "link", "set", "cable", "up")
                ip(*inside, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no two hosts: network namespaces cannot be made ({error.stderr.strip()})")
        yield names
    finally:
        for name in names:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                ip("netns", "del", name)


def start_on(
    host: str, node: int, options: list[str], work_dir: Path, *extra: str, **flags: str
) -> subprocess.Popen:
    """tools/dist_train.sh on one of the hosts, as a person would start it there."""
    arguments = ["ip", "netns", "exec", host, "bash", str(ROOT / "tools/dist_train.sh"), CONFIG]
    arguments += ["1", "--local-addr", ADDRESSES[node], "--rdzv-conf", "read_timeout=20"]
    arguments += ["--work-dir", str(work_dir)]
    for key, value in flags.items():
        arguments += [f"--{key.replace('_', '-')}", str(value)]
    env = {
        **os.environ,
        "NNODES": "2",
        "NODE_RANK": str(node),
        "MASTER_ADDR": ADDRESSES[0],
        "GLOO_SOCKET_IFNAME": "cable",
        "SUPERRES_DIST_TIMEOUT_MINUTES": str(MINUTES),
        "OMP_NUM_THREADS": "1",
        "PYTHON": sys.executable,
    }
    return subprocess.Popen(
        [*arguments, "--cfg-options", *options, *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        cwd=ROOT,
        start_new_session=True,
    )


@contextlib.contextmanager
def running(*processes: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_cut_cable_is_told_and_a_restart_goes_on(hosts, options, train, tmp_path):
    work, trace = tmp_path / "work", tmp_path / "trace.jsonl"
    total = "max_iters=400"
    often = [total, "checkpoint_interval=5", "val_interval=400"]
    both = [
        start_on(host, node, options, work, *often, trace=trace) for node, host in enumerate(hosts)
    ]
    with running(*both):
        wait_for(work / "iter_10.pth", both[0])
        ip("-n", hosts[1], "link", "set", "cable", "down")
        cut = time.monotonic()
        outputs = [process.communicate(timeout=MINUTES * 60 + 60)[0] for process in both]
        took = time.monotonic() - cut
    assert took < MINUTES * 60 + 45
    print(f"{took:.1f} s from the cut to the end, timeout {MINUTES * 60:g} s")
    for process, output in zip(both, outputs):
        assert process.returncode == 1, output
        assert "Traceback (most recent call last)" not in output
    assert re.search(r"rank 1 \(process \d+ on .+\) gives no answer", outputs[0]), outputs[0]
    assert "contact to rank 0" in outputs[1], outputs[1]
    reached, path = iteration_files(work)[0]
    assert read_checkpoint(path)["meta"]["iter"] == reached

    # The cable is mended; the same commands with --resume go on from there.
    ip("-n", hosts[1], "link", "set", "cable", "up")
    until = reached + 10
    rest = [f"max_iters={until}", *often[1:]]
    both = [
        start_on(host, node, options, work, *rest, resume="auto", trace=trace)
        for node, host in enumerate(hosts)
    ]
    with running(*both):
        outputs = [process.communicate(timeout=180)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert f"resumed from {path} at iteration {reached}" in outputs[0]
    assert "over 2 processes" in outputs[0]

    # All of it is what one process on one machine computes.
    alone = tmp_path / "alone.jsonl"
    assert train(f"max_iters={until}", *often[1:], work_dir=tmp_path / "alone", trace=alone) == 0
    losses: dict[int, dict[int, float]] = {}
    for line in read_trace(trace):
        losses.setdefault(line["iter"], {})[line["rank"]] = line["loss"]
    for line in read_trace(alone):
        means = losses[line["iter"]]
        assert set(means) == {0, 1}
        assert sum(means.values()) / 2 == pytest.approx(line["loss"], rel=1e-5), line["iter"]
