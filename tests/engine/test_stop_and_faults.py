"""Signals, full disks, broken numbers, broken places."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import signal
import subprocess
import time

import psutil
import pytest
import torch

from superres.engine.run_log import RunLog
from superres.engine.train.checkpoint import (
    iteration_files,
    open_work_dir,
    read_checkpoint,
    save_atomically,
)
from superres.errors import UserError
from superres.imaging.io import write_image
from superres.registry import MODELS

from .conftest import command, finish, picture, read_trace, start
from .test_resume import wait_for


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_signal_saves_and_ends(options, tmp_path, number, code):
    folder = tmp_path / "work"
    endless = ["max_iters=1000000", "checkpoint_interval=1000000", "val_interval=1000000"]
    process = start(command(options, folder, *endless, "num_workers=1", "log_interval=1"))
    wait_for(folder / "log.jsonl", process)
    while '"mode": "train"' not in (folder / "log.jsonl").read_text():
        time.sleep(0.01)
    process.send_signal(number)
    output = finish(process, code=code)
    assert "Traceback" not in output
    (iteration, path), *others = iteration_files(folder)
    assert not others
    assert read_checkpoint(path)["meta"]["iter"] == iteration > 0
    assert f"stopped at iteration {iteration}" in output


def test_a_loss_that_is_not_finite_stops_the_run(train, tmp_path, capsys):
    @MODELS.register_module(name="BreaksLater", force=True)
    class BreaksLater(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, pred, target):
            self.calls += 1
            loss = (pred - target).abs().mean()
            return loss * float("nan") if self.calls == 8 else loss

    assert train("model.loss.type=BreaksLater") == 2
    message = capsys.readouterr().err
    assert "at iteration 8" in message
    assert "iter_6.pth" in message
    assert message.count("/train/p") == 4
    assert [n for n, _ in iteration_files(tmp_path / "work")] == [6, 3]
    state = read_checkpoint(tmp_path / "work" / "iter_6.pth")["state_dict"]
    assert all(torch.isfinite(v).all() for v in state.values())


def test_a_work_dir_that_cannot_be(train, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert train(work_dir=folder) == 2
        assert f"work dir {folder}: cannot be written" in capsys.readouterr().err


# Trains in a process whose data-loader worker kills itself: while the loader is made, which waits
# for it, or at its 20th batch.
DYING = """
import os, signal, sys, time
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter as Batches
from superres.cli.main import main
from superres.datasets import loader
ready, go = os.pipe()
def die(*_):
    os.read(ready, 1)
    os.kill(os.getpid(), signal.SIGKILL)
class Dying(loader.Ring):
    made = 0
    def __call__(self, samples):
        self.made += 1
        return die() if self.made == 20 else super().__call__(samples)
if sys.argv[1] == "before":
    reset = Batches._reset
    def waits(self, *args, **options):
        reset(self, *args, **options)
        os.write(go, b"x")
        time.sleep(60)
    loader.init_worker, Batches._reset = die, waits
else:
    loader.Ring = Dying
    os.write(go, b"x")
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("when", ["before", "later"])
def test_a_worker_that_is_killed_is_one_message(options, tmp_path, when):
    python, _, *arguments = command(options, tmp_path, "num_workers=1", "max_iters=1000")
    output = finish(start([python, "-c", DYING, when, "train", *arguments]), code=2)
    assert "Traceback" not in output
    said = [line for line in output.splitlines() if "data-loader worker died" in line]
    assert len(said) == 1
    assert "lower num_workers" in said[0]
    assert "continue with --resume" in said[0]
    assert output.endswith(f"{said[0]}\n")


def test_a_broken_picture_is_named_also_from_a_worker(train, tmp_path, capsys, world):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_image(folder / "good.png", picture(1))
    write_image(folder / "cut.png", picture(2))
    data = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    for workers in (0, 2):
        assert train(f"train_set={folder}", f"num_workers={workers}") == 2
        message = capsys.readouterr().err
        assert "cut.png" in message
        assert "Traceback" not in message
        assert len(message.splitlines()) == 1


def test_pictures_smaller_than_the_patch_are_named(train, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_image(folder / "narrow.png", picture(1, 20, 40))
    assert train(f"train_set={folder}") == 2
    assert "narrow" in capsys.readouterr().err
    write_image(folder / "large.png", picture(2))
    trace = tmp_path / "trace.jsonl"
    assert train(f"train_set={folder}", trace=trace) == 0
    assert "1 of 2 images" in capsys.readouterr().out
    samples = [s for line in read_trace(trace) for s in line["samples"]]
    assert {s["name"] for s in samples} == {"large"}


def test_a_lock_does_not_outlive_its_run_in_a_worker(tmp_path):
    """A loader's worker is forked with all files open, and outlives a killed run by seconds."""
    lock = open_work_dir(tmp_path)
    worker = os.fork()
    if not worker:
        time.sleep(60)
        os._exit(0)
    try:
        os.close(lock._descriptor)  # as the kernel does it when the run is killed
        deadline = time.monotonic() + 20
        while True:  # the worker needs a moment to let go
            try:
                open_work_dir(tmp_path).close()
                break
            except UserError:
                assert time.monotonic() < deadline
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def test_too_few_open_files_for_the_workers_are_one_message(options, tmp_path):
    words = shlex.join(command(options, tmp_path / "work", "num_workers=16"))
    said = finish(start(["bash", "-c", f"ulimit -n 64; {words}"]), 2)
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("error: num_workers = 16 needs about ")


def test_what_finds_no_room_in_the_log_is_written_later(tmp_path, capsys):
    log = tmp_path / "there" / "log.jsonl"
    log.parent.touch()  # a file in the folder's place
    reporter = RunLog()
    reporter.log_to(log)
    reporter.say("one")
    reporter.say("two")
    told = capsys.readouterr().err
    assert told.count("the run goes on") == 1
    log.parent.unlink()
    reporter.say("three")
    assert [line["text"] for line in read_trace(log)] == ["one", "two", "three"]


def test_a_signal_during_a_validation_saves(train, options, world, tmp_path, monkeypatch, capsys):
    from superres.evaluation import extra_metrics

    original = extra_metrics.compared

    def interrupt(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(extra_metrics, "compared", original)
        return original(*args, **kwargs)

    monkeypatch.setattr(extra_metrics, "compared", interrupt)
    folder = tmp_path / "work"
    assert train("checkpoint_interval=1000", "val_interval=4") == 130
    assert [n for n, _ in iteration_files(folder)] == [4]
    assert "stopped at iteration 4, saved" in capsys.readouterr().out
    # The same in the last validation.
    monkeypatch.setattr(extra_metrics, "compared", interrupt)
    assert train("max_iters=5", "val_interval=1000", resume="auto") == 130
    capsys.readouterr()
    assert train("max_iters=5", "val_interval=1000", resume="auto") == 0
    assert "validation at iter 5" in capsys.readouterr().out
    assert (folder / "best.pth").is_file()


def test_going_on_from_an_older_checkpoint_gives_the_newer_up(train, tmp_path, capsys):
    folder = tmp_path / "work"
    assert train() == 0
    assert train("max_iters=7", resume=folder / "iter_6.pth") == 0
    assert [n for n, _ in iteration_files(folder)] == [7, 6, 3]
    assert len(list(folder.glob("previous_runs/*/iter_12.pth"))) == 1
    capsys.readouterr()
    assert train("max_iters=8", resume="auto") == 0
    assert "at iteration 7" in capsys.readouterr().out


@pytest.mark.parametrize(("method", "number", "code"), [
    ("spawn", signal.SIGTERM, 143),
    ("spawn", signal.SIGHUP, 143),
    ("forkserver", signal.SIGINT, 130),
])  # fmt: skip
def test_a_signal_to_the_whole_job_while_workers_start(options, tmp_path, method, number, code):
    folder = tmp_path / "work"
    process = subprocess.Popen(
        command(
            options,
            folder,
            "max_iters=1000000",
            "val_interval=1000000",
            "num_workers=2",
            f"train_dataloader.start_method={method}",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while True:
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(psutil.Error):  # one that has ended meanwhile
            commands = [" ".join(p.cmdline()) for p in psutil.Process(process.pid).children()]
            if any(f"multiprocessing.{method}" in words for words in commands):
                break
        time.sleep(0.01)
    os.killpg(process.pid, number)
    output = finish(process, code=code)
    assert "Traceback" not in output
    assert "error" not in output
    assert len(iteration_files(folder)) == 1


@pytest.mark.parametrize("places", [">/dev/full 2>&1", ">&- 2>&- <&-", "| head -n 1"])
def test_output_that_leads_nowhere_does_not_end_the_run(options, tmp_path, places):
    words = shlex.join(command(options, tmp_path / "work"))
    finish(start(["bash", "-c", f"set -o pipefail; {words} {places}"]))
    assert (tmp_path / "work" / "iter_12.pth").is_file()


def test_a_mistake_leaves_an_earlier_run_where_it_is(train, tmp_path, capsys):
    folder = tmp_path / "work"
    folder.mkdir()
    lock = open_work_dir(folder)
    (folder / ".iter_3.tmp").write_bytes(b"half")  # what another run is writing
    assert train() == 2
    assert f"process {os.getpid()} on " in capsys.readouterr().err
    assert (folder / ".iter_3.tmp").exists()
    lock.close()
    assert train("max_iters=3") == 0
    assert not (folder / ".iter_3.tmp").exists()
    for mistake in ("train_set=nowhere", "optim_wrapper.optimizer.lr=-1", "save_best=x/psnr"):
        assert train(mistake) == 2
    capsys.readouterr()
    assert train(resume=tmp_path) == 2
    assert f"--work-dir {tmp_path} --resume" in capsys.readouterr().err
    assert not (folder / "previous_runs").exists()
    assert (folder / "iter_3.pth").is_file()


def test_a_checkpoint_that_cannot_be_written_names_the_one_before_it(tmp_path):
    (tmp_path / "taken").mkdir()  # tests/faults fills disks
    for said in (
        "taken .* Make room and start again",
        r"iter_7\.pth, is whole; make room, continue",
    ):
        with pytest.raises(UserError, match=f"could not save .*{said}"):
            save_atomically({}, tmp_path / "taken")
        (tmp_path / "iter_7.pth").touch()


def test_a_filesystem_without_locks_is_told(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    told = []
    open_work_dir(tmp_path, told.append).close()
    assert "has no locks" in told[0]
    assert "No locks available" in told[0]
