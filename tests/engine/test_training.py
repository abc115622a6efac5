"""What a run does when nothing goes wrong."""

from __future__ import annotations

import json

import pytest
import torch

from superres.engine.train.checkpoint import read_checkpoint

from .conftest import read_trace


def log(folder, mode):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["mode"] == mode]


def test_a_work_dir_after_a_run(train, tmp_path):
    assert train() == 0
    folder = tmp_path / "work"
    assert {p.name for p in folder.glob("*.pth")} == {
        *(f"iter_{n}.pth" for n in (3, 6, 9, 12)),
        "best.pth",
    }
    assert (folder / "last_checkpoint").read_text().strip() == "iter_12.pth"
    assert (folder / "config.py").is_file()
    assert [line["iter"] for line in log(folder, "train")] == [4, 8, 12]
    scores = [{r["set"]: r for r in line["results"]} for line in log(folder, "val")]
    assert [line["iter"] for line in log(folder, "val")] == [6, 12]
    assert scores[0]["valid"]["role"] == "validation"
    assert scores[0]["testset"]["role"] == "test"
    best = read_checkpoint(folder / "best.pth")
    selection = best["meta"]["selection"]
    assert (selection["set"], selection["role"]) == ("valid", "validation")
    assert selection["score"] == max(s["valid"]["psnr"] for s in scores)


def test_training_learns(train, tmp_path):
    trace = tmp_path / "trace.jsonl"
    assert train("max_iters=60", "val_interval=60", "param_scheduler=[]", trace=trace) == 0
    losses = [line["loss"] for line in read_trace(trace)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_old_checkpoints_are_deleted(train, tmp_path):
    assert train("max_keep_checkpoints=2") == 0
    names = {p.name for p in (tmp_path / "work").glob("iter_*.pth")}
    assert names == {"iter_9.pth", "iter_12.pth"}


def test_seeds(train, tmp_path):
    def trained(name, *extra):
        trace = tmp_path / f"{name}.jsonl"
        assert train("max_iters=2", *extra, work_dir=tmp_path / name, trace=trace) == 0
        return read_trace(trace)

    assert trained("a") == trained("b")
    assert trained("a") != trained("c", "seed=1")
    drawn = [trained(f"none{i}", "seed=None") for i in range(2)]
    assert drawn[0] != drawn[1]
    saved = read_checkpoint(tmp_path / "none0" / "iter_2.pth")["meta"]["seed"]
    assert trained("again", f"seed={saved}") == drawn[0]


def test_a_drawn_seed_survives_a_resume(train, tmp_path):
    assert train("max_iters=3", "seed=None") == 0
    seed = read_checkpoint(tmp_path / "work" / "iter_3.pth")["meta"]["seed"]
    assert train("max_iters=6", "seed=None", resume="auto") == 0
    assert read_checkpoint(tmp_path / "work" / "iter_6.pth")["meta"]["seed"] == seed


def test_mixed_precision_on_a_cpu(train, tmp_path):
    assert train("max_iters=4", "amp=True") == 0
    state = read_checkpoint(tmp_path / "work" / "iter_4.pth")
    assert all(v.dtype == torch.float32 for v in state["state_dict"].values())
    assert "loss_scaler" in state["optimizer"]


def test_float16_on_a_cpu_is_refused(train, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert train("amp=float16") == 2
    assert "bfloat16" in capsys.readouterr().err


def test_choosing_by_a_test_set_is_told(train, tmp_path, capsys):
    assert train("max_iters=6", "val_sets=[]") == 0
    assert "a test set" in capsys.readouterr().out
    best = read_checkpoint(tmp_path / "work" / "best.pth")["meta"]["selection"]
    assert best["role"] == "test"


def test_tensorboard_gets_the_curves(train, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert train("tensorboard=True") == 0
    curves = events.EventAccumulator(str(tmp_path / "work" / "tensorboard"))
    curves.Reload()
    assert [e.step for e in curves.Scalars("train/loss")] == [4, 8, 12]
    assert [e.step for e in curves.Scalars("val/valid/psnr")] == [6, 12]


def test_gradient_clipping_leaves_no_history(train, tmp_path):
    assert train("optim_wrapper.clip_grad=dict(max_norm=1.0)") == 0
    assert all("grad_norm" in line for line in log(tmp_path / "work", "train"))
