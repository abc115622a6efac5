"""Two real processes over gloo see what one process sees."""

from __future__ import annotations

import json
import os
import signal
import time
from statistics import fmean

import psutil
import pytest
import torch

from superres.engine.distributed import launch
from superres.engine.distributed.launch import first_host
from superres.engine.train.checkpoint import iteration_files, read_checkpoint
from superres.engine.train.signals import StopRequest
from superres.stopping import STOPS

from .conftest import CONFIG, ROOT, finish, read_trace, start
from .test_resume import wait_for


def dist(options, work_dir, *extra, ranks=2, torchrun=(), **flags):
    arguments = ["bash", str(ROOT / "tools/dist_train.sh"), CONFIG, str(ranks), *torchrun]
    arguments += ["--work-dir", str(work_dir)]
    for key, value in flags.items():
        arguments += [f"--{key.replace('_', '-')}", str(value)]
    return start([*arguments, "--cfg-options", *options, *extra], PYTHON=os.sys.executable)


def by_iteration(lines, of):
    """iteration -> what ``of`` takes of its lines, one of each rank."""
    return {i: of([n for n in lines if n["iter"] == i]) for i in {line["iter"] for line in lines}}


def samples(ranks):
    """Over all ranks, in the order of their draws."""
    return sorted((s for line in ranks for s in line["samples"]), key=lambda s: s["draw"])


PARTS = ["speed=dict(channels_last=True,fused=True)", "accumulate=2", "recompute=['body.*']"]


@pytest.mark.parametrize("parts", [[], PARTS], ids=["plain", "every part"])
def test_one_rank_then_two_then_one(parts, options, train, tmp_path):
    """A run may go on with another number of processes, and sees what one process sees."""
    whole, folder = tmp_path / "whole", tmp_path / "work"
    assert train(*parts, work_dir=whole, trace=tmp_path / "whole.jsonl") == 0
    trace = tmp_path / "trace.jsonl"
    if parts:
        assert train(*parts, "max_iters=4", work_dir=folder, trace=trace) == 0
        finish(dist(options, folder, *parts, "max_iters=8", resume="auto", trace=trace))
        assert train(*parts, work_dir=folder, resume="auto", trace=trace) == 0
    else:
        assert "over 2 processes" in finish(dist(options, folder, "max_iters=6", trace=trace))
        finish(dist(options, folder, resume="auto", trace=trace))
    one, two = read_trace(tmp_path / "whole.jsonl"), read_trace(trace)
    ranks = {i: sum(line["iter"] == i for line in two) for i in range(1, 13)}
    assert list(ranks.values()) == ([1] * 4 + [2] * 4 + [1] * 4 if parts else [2] * 12)
    assert by_iteration(one, samples) == by_iteration(two, samples)
    losses = [by_iteration(of, lambda ranks: fmean(n["loss"] for n in ranks)) for of in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    if not parts:  # in one order of sums, weights and scores agree as well
        states = [read_checkpoint(d / "iter_12.pth")["state_dict"] for d in (whole, folder)]
        for key, value in states[0].items():
            torch.testing.assert_close(value, states[1][key], rtol=1e-3, atol=1e-5)
        scores, logged = [], []
        for work in (whole, folder):  # each image was scored once: the means agree
            lines = [json.loads(x) for x in (work / "log.jsonl").read_text().splitlines()]
            logged.append([line["loss"] for line in lines if line["mode"] == "train"][:1])
            last = [line for line in lines if line["mode"] == "val"][-1]
            scores.append({r["set"]: r["psnr"] for r in last["results"]})
        assert scores[1] == pytest.approx(scores[0], abs=1e-3)
        assert logged[1] == pytest.approx(logged[0], rel=1e-5)  # of all ranks, not of the first


def test_a_killed_rank_is_restarted(options, tmp_path):
    slow = ["max_iters=400", "checkpoint_interval=20", "val_interval=400"]
    trace = tmp_path / "trace.jsonl"
    process = dist(options, tmp_path / "work", *slow, torchrun=["--max-restarts=2"], trace=trace)
    deadline = time.monotonic() + 180
    while not (tmp_path / "work" / "iter_40.pth").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ranks = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == "1" and "train.py" in " ".join(child.cmdline())
    ]
    ranks[0].send_signal(signal.SIGKILL)
    output = finish(process)
    assert "resumed from" in output
    by_rank = {}
    for line in read_trace(trace):
        by_rank.setdefault((line["iter"], line["rank"]), []).append(line)
    assert {key[0] for key in by_rank} == set(range(1, 401)), output
    for repeats in by_rank.values():  # what was done twice was the same
        assert all(line == repeats[0] for line in repeats)


def test_a_killed_launcher_leaves_nobody_behind(options, tmp_path):
    endless = ["max_iters=1000000", "checkpoint_interval=10", "val_interval=1000000"]
    process = dist(options, tmp_path / "work", *endless)
    wait_for(tmp_path / "work" / "iter_10.pth", process)
    ranks = psutil.Process(process.pid).children(recursive=True)
    assert len(ranks) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(ranks, timeout=60)
    assert not alive
    assert read_checkpoint(iteration_files(tmp_path / "work")[0][1])["meta"]["iter"] >= 10


def test_a_mistake_keeps_its_exit_code(options, tmp_path):
    output = finish(dist(options, tmp_path / "work", "global_batch_size=3"), code=2)
    assert output.count("cannot be shared equally by 2 processes") == 1
    assert "Traceback" not in output


BROKEN = """
from superres.registry import METRICS

@METRICS.register_module("broken")
def broken(sr, hr, protocol):
    return 1 / 0
"""


def test_a_metric_that_fails_everywhere_is_said_once(options, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    extra = ["metrics=[broken]", "custom_imports=dict(imports=broken)", "max_iters=2"]
    output = finish(dist(options, tmp_path / "work", *extra, "val_interval=1"), code=1)
    assert output.count("warning: ") == output.count("warning: metrics: broken of ") == 1, output
    assert "validation at iter 2" in output
    assert not [line for line in output.splitlines() if "ended with" in line or "error:" in line]


def test_dist_scripts_tell_how_to_call_them():
    for script, words in (("dist_train.sh", "CONFIG GPUS"), ("dist_test.sh", "CHECKPOINT GPUS")):
        output = finish(start(["bash", str(ROOT / "tools" / script)]), code=2)
        assert words in output
    output = finish(start(["bash", str(ROOT / "tools/dist_train.sh"), CONFIG, "two"]), code=2)
    assert "number of processes" in output


def test_first_host():
    nodes = ("gpu[003-007,12],login1", "node1", "a-b-[7]", "x1,x2")
    assert [first_host(text) for text in nodes] == ["gpu003", "node1", "a-b-7", "x1"]


def test_a_rank_that_heard_of_a_stop_first_takes_its_own_signal_as_the_same(monkeypatch):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(launch, "world_size", lambda: 2)
    monkeypatch.setattr(launch, "largest", lambda _: int(signal.SIGTERM))
    before = {number: signal.getsignal(number) for number in STOPS}
    try:
        with StopRequest() as stop:
            assert stop.agreed(torch.device("cpu"))
            signal.raise_signal(signal.SIGHUP)  # while it saves
        signal.raise_signal(signal.SIGHUP)  # and when it has
        assert (stop.signal, left) == (signal.SIGTERM, [])
        stop._since -= 6
        signal.raise_signal(signal.SIGTERM)
        assert left == [143]  # whoever asks again is heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_to_the_launcher_alone_saves(options, tmp_path, number):
    endless = ("max_iters=1000000", "val_interval=1000000", "checkpoint_interval=1000000")
    process = dist(options, tmp_path / "work", *endless, "log_interval=1")
    log = tmp_path / "work/log.jsonl"
    wait_for(log, process)
    while '"mode": "train"' not in log.read_text():
        time.sleep(0.01)
    process.send_signal(number)
    output = finish(process, code=143)
    assert "saved; continue with --resume" in output
    assert "Traceback" not in output
    assert len(iteration_files(tmp_path / "work")) == 1
