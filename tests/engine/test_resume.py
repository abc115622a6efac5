"""A killed run continues as if it had not been killed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from superres.engine.train.checkpoint import iteration_files, read_checkpoint

from .conftest import command, differences, finish, read_trace, start


def wait_for(path: Path, process, seconds: float = 180) -> None:
    """Until a file is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    """The run that everything is compared with: two workers, one thread."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trace = folder / "trace.jsonl"
    finish(start(command(options, folder / "work", "num_workers=2", trace=trace)))
    return folder / "work", read_trace(trace)


@pytest.mark.parametrize(
    ("wait_for_iteration", "resumed_with"),
    [(3, ["num_workers=1", "train_dataloader.start_method=spawn"]), (6, ["num_workers=0"])],
)
def test_kill_and_resume_is_bit_exact(
    undisturbed, options, tmp_path, wait_for_iteration, resumed_with
):
    work, whole = undisturbed
    folder = tmp_path / "work"
    process = start(command(options, folder, trace=tmp_path / "first.jsonl"))
    wait_for(folder / f"iter_{wait_for_iteration}.pth", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    second = tmp_path / "second.jsonl"
    output = finish(start(command(options, folder, *resumed_with, resume="auto", trace=second)))
    assert "resumed from" in output
    lines = read_trace(second)
    assert lines[0]["iter"] > 3
    assert lines == whole[lines[0]["iter"] - 1 :]
    for iteration, path in iteration_files(folder):
        if iteration >= lines[0]["iter"]:
            assert differences(path, work / path.name) == [], path


def test_a_truncated_checkpoint_falls_back(undisturbed, train, tmp_path, capsys):
    work, _ = undisturbed
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("iter_6.pth", "iter_9.pth"):
        (folder / name).write_bytes((work / name).read_bytes())
    data = (folder / "iter_9.pth").read_bytes()
    for broken in (data[: len(data) // 2], b"", data[:500] + b"\xff" * 20 + data[520:]):
        (folder / "iter_9.pth").write_bytes(broken)
        assert train("max_iters=7", resume="auto") == 0
        output = capsys.readouterr().out
        assert "iter_9.pth" in output
        assert "falling back" in output
        assert "at iteration 6" in output
        (folder / "iter_7.pth").unlink()
    (folder / "iter_6.pth").write_bytes(b"PK not really")
    assert train(resume="auto") == 2
    assert "iter_6.pth" in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(train, capsys):
    assert train("max_iters=3") == 0
    assert train("model.backbone.channels=6", resume="auto") == 2
    message = capsys.readouterr().err
    assert "another model" in message
    assert "is 8x8x3x3, not 6x6x3x3" in message


def test_an_earlier_run_is_moved_aside_not_overwritten(train, tmp_path, capsys):
    assert train("max_iters=3") == 0
    kept = (tmp_path / "work" / "iter_3.pth").read_bytes()
    assert train("max_iters=3", "seed=5") == 0
    moved = list((tmp_path / "work" / "previous_runs").glob("*/iter_3.pth"))
    assert [p.read_bytes() for p in moved] == [kept]
    assert (tmp_path / "work" / "iter_3.pth").read_bytes() != kept
    assert "previous_runs" in capsys.readouterr().out


def test_validation_missed_by_a_kill_is_made_up_for(train, tmp_path, capsys):
    assert train("max_iters=6") == 0
    state = read_checkpoint(tmp_path / "work" / "iter_6.pth")
    # Written before the validation of iteration 6, as a kill during it would leave it.
    assert state["meta"]["validated"] != 6
    capsys.readouterr()
    assert train("max_iters=9", resume="auto") == 0
    assert "validation at iter 6" in capsys.readouterr().out


def test_a_changed_learning_rate_is_followed_on_resume(train, tmp_path):
    assert train("max_iters=6") == 0
    trace = tmp_path / "trace.jsonl"
    assert (
        train("max_iters=10", "optim_wrapper.optimizer.lr=0.008", resume="auto", trace=trace) == 0
    )
    rates = [line["lr"] for line in read_trace(trace)]
    assert rates == pytest.approx([0.004, 0.004, 0.004, 0.002])


def test_a_schedule_that_holds_a_function_is_resumed(train, tmp_path, capsys):
    schedule = "param_scheduler=[dict(type='OneCycleLR',eta_max=0.1,total_steps=9,by_epoch=False)]"
    unused = "optim_wrapper.paramwise_cfg=dict(custom_keys=dict(nosuch=dict(lr_mult=2)))"
    traces = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    assert train("max_iters=9", schedule, unused, trace=traces[0]) == 0
    said = capsys.readouterr()
    assert "'nosuch' is in no weight's name" in said.out + said.err
    (tmp_path / "work/iter_9.pth").unlink()
    assert train("max_iters=9", schedule, unused, resume="auto", trace=traces[1]) == 0
    whole, rest = ([line["lr"] for line in read_trace(trace)] for trace in traces)
    assert rest == whole[-len(rest) :]


def test_another_training_set_is_told_on_resume(train, world, tmp_path, capsys):
    assert train("max_iters=3") == 0
    assert train("max_iters=6", resume="auto") == 0
    assert "differs from the checkpoint's" not in capsys.readouterr().out
    assert train("max_iters=9", "train_set=testset", resume="auto") == 0
    said = capsys.readouterr()
    for words in ("training images 2", "train_set 'testset'"):
        assert f"{words} differs from the checkpoint's" in said.out + said.err
