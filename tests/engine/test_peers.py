"""One rank of several differs, dies, hangs or does not come: said in one message, in time."""

from __future__ import annotations

import shutil
import signal
import socket
import time

import pytest

from superres.engine.distributed import launch
from superres.engine.train.checkpoint import iteration_files, read_checkpoint
from superres.errors import UserError
from superres.imaging.io import write_image

from .conftest import ROOT, command, finish, picture, start
from .ranks import ended, environment, start_ranks
from .test_resume import wait_for

ENDLESS = ["max_iters=1000000", "checkpoint_interval=5", "val_interval=1000000"]
HOOK = """
import os, time
from mmengine.hooks import Hook
from superres.errors import UserError
from superres.registry import HOOKS

@HOOKS.register_module(force=True)
class Trouble(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 3 and os.environ["RANK"] == {who!r}:
            if "fails" in {kind!r}:
                raise UserError("no luck")
            time.sleep(1000)
"""


def in_trouble(options, tmp_path, kind, extra, who=1, **more):
    """Two ranks, of which one fails or falls asleep in iteration 4."""
    (tmp_path / "trouble.py").write_text(HOOK.format(kind=kind, who=str(who)))
    extra = [*extra, "custom_imports=dict(imports=trouble)", "custom_hooks=[dict(type=Trouble)]"]
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    return start_ranks(options, tmp_path / "work", extra, extra, env=env, **more)


@pytest.mark.parametrize(
    ("differs", "words"),
    [
        (
            ["seed=7", "optim_wrapper.optimizer.lr=0.5"],
            ["config", "seed: 7 instead of 0", "lr: 0.5"],
        ),
        (["data_root={larger}"], ["training set gt: 7 images", "instead of 6 images"]),
        (["data_root=/nowhere"], ["'train' is not there", "/nowhere/train"]),
        (["model.backbone.channels=many"], ["backbone"]),
    ],
    ids=["config", "dataset", "no dataset", "broken config"],
)
def test_a_rank_that_sees_something_else(options, world, tmp_path, differs, words):
    larger, work = tmp_path / "larger", tmp_path / "work"
    shutil.copytree(world, larger)
    write_image(larger / "train" / "p6.png", picture(6))
    extra = [text.format(larger=larger) for text in differs]
    found = ended(start_ranks(options, work, [], extra), 60)
    said = "".join(output for _, output in found)
    assert [code for code, _ in found] == [2, 2], said
    assert all(word in said for word in ("rank 1 (process", *words)), said
    assert said.count("error") == 1, said
    assert "Traceback" not in said
    assert not iteration_files(work)


def test_what_may_differ_between_machines_does(options, world, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    extra = [f"data_root={copy}", "num_workers=1"]
    short = ["max_iters=3"]
    results = ended(start_ranks(options, tmp_path / "work", short, [*short, *extra]))
    assert [code for code, _ in results] == [0, 0], results
    assert (tmp_path / "work" / "iter_3.pth").is_file()


def test_a_killed_rank_ends_the_others(options, tmp_path):
    ranks = start_ranks(options, tmp_path, ENDLESS, ENDLESS)
    wait_for(tmp_path / "iter_5.pth", ranks[0])
    ranks[1].kill()
    (code, output), _ = ended(ranks, 40)
    assert code == 1, output
    assert "error [rank 0]: the other ranks are out of reach" in output
    assert "Traceback" not in output
    assert read_checkpoint(iteration_files(tmp_path)[0][1])["meta"]["iter"] >= 5


@pytest.mark.parametrize("who", [0, 1])
def test_a_rank_that_fails_alone_ends_all_in_one_message(options, tmp_path, who):
    found = ended(in_trouble(options, tmp_path, "fails", [], who))
    said = "".join(output for _, output in found)
    assert [code for code, _ in found] == [2, 2], said
    assert "Traceback" not in said
    (error,) = (line for line in said.splitlines() if line.startswith("error"))
    assert "no luck" in error


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stopped", "asleep"])
def test_a_rank_that_hangs_ends_the_others_within_the_timeout(options, tmp_path, kind):
    often = [*ENDLESS, "checkpoint_interval=2"]
    if kind == "asleep":
        ranks = in_trouble(options, tmp_path, kind, often, minutes=0.25)
    else:
        ranks = start_ranks(options, tmp_path / "work", often, often, minutes=0.25)
    wait_for(tmp_path / "work" / "iter_2.pth", ranks[0])
    if kind == "stopped":
        ranks[1].send_signal(signal.SIGSTOP)
    started = time.monotonic()
    output, _ = ranks[0].communicate(timeout=60)
    assert 5 < time.monotonic() - started < 40
    ranks[1].kill()
    ranks[1].communicate()
    assert ranks[0].returncode == 1, output
    assert "Traceback" not in output
    assert "rank that prints no line like this one has died, hangs" in output


def test_a_rank_that_does_not_come(options, tmp_path):
    lonely = start_ranks(options, tmp_path, [], [], minutes=0.1)
    lonely[1].kill()
    (code, output), _ = ended(lonely)
    assert code == 2, output
    assert "1 of 2 ranks joined 127.0.0.1:" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-machine.invalid"])
def test_an_address_that_cannot_be_used(options, tmp_path, host):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = environment(0, 2, port, SUPERRES_DIST_TIMEOUT_MINUTES="0.1", MASTER_ADDR=host)
        output = finish(start(command(options, tmp_path, launcher="pytorch"), **env), code=2)
    in_use = f"port {port} is in use"
    assert ("MASTER_ADDR='no-such-machine" if "invalid" in host else in_use) in output
    assert "Traceback" not in output
    assert "frame #" not in output


def test_which_device():
    assert str(launch.choose(8, 3, 8)) == "cuda:3"
    assert str(launch.choose(0, 1, 2)) == "cpu"
    assert str(launch.choose(1, 5, 8, slurm=True)) == "cuda:0"
    with pytest.raises(UserError, match=r"4 processes .* torch sees 2 GPUs"):
        launch.choose(2, 0, 4)


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_none(monkeypatch, text):
    monkeypatch.setenv(launch.TIMEOUT, text)
    with pytest.raises(UserError, match="number of minutes"):
        launch.timeout()
