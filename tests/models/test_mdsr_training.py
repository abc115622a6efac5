"""MDSR: one scale per minibatch, and only that scale's modules are updated."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from superres.cli.main import main
from superres.datasets.sampler import IterationSampler
from superres.engine.train.checkpoint import read_checkpoint
from superres.errors import UserError
from superres.imaging.io import write_image
from superres.registry import MODELS
from tests.engine.conftest import ROOT, differences, finish, picture, read_trace, start

CONFIG = str(ROOT / "configs/mdsr/mdsr_x2x3x4c64b16_g1_650k_div2k.py")
SCALES = (2, 3, 4)


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("world")
    for folder, seeds in (("train", range(6)), ("testset", (20, 21))):
        (root / folder).mkdir()
        for seed in seeds:
            write_image(root / folder / f"p{seed}.png", picture(seed))
    return [
        *(f"data_root={root}", "train_set=train", "val_sets=[testset]", "test_sets=[]"),
        *("lq_patch_size=10", "global_batch_size=16", "num_workers=0", "max_iters=60"),
        *("val_interval=60", "checkpoint_interval=1", "max_keep_checkpoints=100", "ema=0.9"),
        *("model.backbone.channels=8", "model.backbone.num_blocks=1", "tensorboard=False"),
        "optim_wrapper.optimizer.lr=0.001",
    ]


def train(options, work_dir, *extra, flags=()):
    return main(
        ["train", CONFIG, "--work-dir", str(work_dir), *flags, "--cfg-options", *options, *extra]
    )


@pytest.fixture(scope="module")
def one(options, tmp_path_factory) -> Path:
    """60 iterations in one process: work dir with a checkpoint of each, and ``trace.jsonl``."""
    work = tmp_path_factory.mktemp("one")
    assert train(options, work, flags=("--trace", str(work / "trace.jsonl"))) == 0
    return work


@pytest.fixture(scope="module")
def two(options, tmp_path_factory) -> Path:
    """The same by tools/dist_train.sh in two processes."""
    work = tmp_path_factory.mktemp("two")
    script = ["bash", str(ROOT / "tools/dist_train.sh"), CONFIG, "2", "--work-dir", str(work)]
    script += ["--trace", str(work / "trace.jsonl"), "--cfg-options", *options]
    assert "over 2 processes" in finish(start(script, PYTHON=os.sys.executable))
    return work


def scale_of(name: str) -> int | None:
    """The scale whose branch a tensor of the restorer belongs to; None: shared."""
    parts = name.removeprefix("backbone.").split(".")
    return int(parts[1]) if parts[0] in ("pre_process", "upsample") else None


def branches(state: dict) -> dict[int | None, dict[str, torch.Tensor]]:
    """Weights and optimiser state of a checkpoint, by scale."""
    network = MODELS.build(state["meta"]["model"])
    names = [name for name, _ in network.named_parameters()]
    found: dict = {scale: {} for scale in (None, *SCALES)}
    for name, value in state["state_dict"].items():
        found[scale_of(name)][name] = value
    for number, entry in state["optimizer"]["state"].items():
        for key, value in entry.items():
            found[scale_of(names[number])][f"{names[number]}:{key}"] = value
    return found


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


@pytest.mark.parametrize("ranks", ["one", "two"])
def test_only_the_drawn_scale_is_updated(ranks, request):
    work = request.getfixturevalue(ranks)
    drawn = {line["iter"]: line["scale"] for line in read_trace(work / "trace.jsonl")}
    counts = {scale: list(drawn.values()).count(scale) for scale in SCALES}
    assert len(drawn) == 60
    assert min(counts.values()) > 10
    before = branches(read_checkpoint(work / "iter_1.pth"))
    for iteration in range(2, 61):
        after = branches(read_checkpoint(work / f"iter_{iteration}.pth"))
        for scale in SCALES:
            assert same(before[scale], after[scale]) == (scale != drawn[iteration]), iteration
        assert not same(before[None], after[None])
        before = after
    # The optimiser counts a branch's own steps, not those of the run.
    for scale in SCALES:
        steps = {float(v) for k, v in before[scale].items() if k.endswith(":step")}
        assert steps == {counts[scale]}


def test_two_ranks_equal_one(one, two):
    lines = {1: read_trace(one / "trace.jsonl"), 2: read_trace(two / "trace.jsonl")}
    assert {line["rank"] for line in lines[2]} == {0, 1}
    for iteration in range(1, 61):
        (whole,) = (line for line in lines[1] if line["iter"] == iteration)
        halves = sorted(
            (line for line in lines[2] if line["iter"] == iteration), key=lambda x: x["rank"]
        )
        assert [half["scale"] for half in halves] == [whole["scale"]] * 2
        assert halves[0]["samples"] + halves[1]["samples"] == whole["samples"]
        assert sum(half["loss"] for half in halves) / 2 == pytest.approx(whole["loss"], abs=1e-5)
    states = [read_checkpoint(work / "iter_60.pth")["ema_state_dict"] for work in (one, two)]
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-3, atol=1e-4)


def test_average_follows_only_the_drawn_scale(options, tmp_path):
    assert train(options, tmp_path, "max_iters=2", "seed=1") == 0
    first, last = (read_checkpoint(tmp_path / f"iter_{i}.pth") for i in (1, 2))
    sampler = IterationSampler(6, 16, seed=1, scales=list(SCALES))
    drawn = {sampler.scale_of(0), sampler.scale_of(1)}
    (idle, *_) = set(SCALES) - drawn
    for state in (first, last):
        for name, value in state["ema_state_dict"].items():
            if scale_of(name) == idle:
                assert torch.equal(value, first["state_dict"][name])
    name = f"backbone.upsample.{sampler.scale_of(1)}.0.upsample_conv.weight"
    expected = 0.9 * first["ema_state_dict"][name] + 0.1 * last["state_dict"][name]
    torch.testing.assert_close(last["ema_state_dict"][name], expected)


def test_resume_is_exact(one, options, tmp_path):
    work = tmp_path / "resumed"
    assert train(options, work, "max_iters=23") == 0
    assert train(options, work, flags=("--resume",)) == 0
    assert differences(one / "iter_60.pth", work / "iter_60.pth") == []


def test_one_checkpoint_tests_at_each_scale(one, options, tmp_path):
    arguments = ["test", CONFIG, str(one / "iter_60.pth"), "--out", str(tmp_path), "--save-images"]
    assert main([*arguments, "--cfg-options", *options]) == 0
    record = json.loads((tmp_path / "results.json").read_text())
    mine = {r["scale"]: r for r in record["results"] if r["method"] != "Bicubic"}
    assert set(mine) == set(SCALES)
    for scale, result in mine.items():
        assert [image["name"] for image in result["images"]] == ["p20", "p21"]
        assert (tmp_path / f"images/testset/x{scale}/p20.png").is_file()
    # One network, three different functions; a validation during training scored the same.
    assert len({round(r["psnr"], 6) for r in mine.values()}) == 3
    lines = [json.loads(line) for line in (one / "log.jsonl").read_text().splitlines()]
    validated = [line for line in lines if line["mode"] == "val"][-1]["results"]
    assert {r["scale"]: r["psnr"] for r in validated} == pytest.approx(
        {scale: r["psnr"] for scale, r in mine.items()}, abs=1e-6
    )
    # At one of its scales, too.
    arguments = ["test", CONFIG, str(one / "iter_60.pth"), "--out", str(tmp_path / "x3")]
    assert main([*arguments, "--cfg-options", *options, "scale=3"]) == 0
    (only,) = json.loads((tmp_path / "x3/results.json").read_text())["results"]
    assert (only["scale"], only["psnr"]) == (3, pytest.approx(mine[3]["psnr"]))


def test_best_by_a_named_scale(options, tmp_path):
    short = ("max_iters=2", "val_interval=1", "save_best=testset_x4/psnr")
    assert train(options, tmp_path, *short) == 0
    selection = read_checkpoint(tmp_path / "best.pth")["meta"]["selection"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = [r for line in lines if line["mode"] == "val" for r in line["results"]]
    best = max(r["psnr"] for r in found if r["scale"] == 4)
    assert (selection["set"], selection["score"]) == ("testset_x4", pytest.approx(best))


def test_restorer_reads_the_scale_off_the_batch():
    small = {"type": "MDSR", "channels": 4, "num_blocks": 1, "scales": SCALES}
    restorer = MODELS.build({"type": "MultiScaleRestorer", "backbone": small})
    for scale in (4, 2, 3):
        samples = {"gt": torch.rand(1, 3, 5 * scale, 6 * scale)}
        loss = restorer(torch.rand(1, 3, 5, 6), samples, mode="loss")["loss"]
        assert torch.isfinite(loss)
        assert restorer.backbone.scale == scale
        assert restorer.predict(torch.rand(1, 3, 5, 6)).shape[-2:] == (5 * scale, 6 * scale)
    with pytest.raises(UserError, match="no x8"):
        restorer(torch.rand(1, 3, 5, 6), {"gt": torch.rand(1, 3, 40, 48)}, mode="loss")
    with pytest.raises(UserError, match="type='Restorer'"):
        MODELS.build({"type": "MultiScaleRestorer", "backbone": {"type": "EDSR", "channels": 4}})
