"""What a run does when nothing goes wrong: files, scores, curves, seeds."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from superres.cli.main import main
from superres.engine.test.evaluate import Evaluation
from superres.engine.test.sets import EvalSet
from superres.engine.train.checkpoint import read_checkpoint
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.protocols import get_protocol
from superres.imaging.io import read_image
from superres.registry import METRICS

from .conftest import CONFIG, picture, read_trace

PROTOCOLS = "protocols=dict(default=['edsr-y','mmediting-rgb'],testset=['mmediting-rgb'])"


def log(folder: Path, mode: str) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["mode"] == mode]


@pytest.fixture(scope="module")
def run(options, tmp_path_factory):
    """A work dir, by several protocols, with curves, and what the run printed."""
    folder = tmp_path_factory.mktemp("run") / "work"
    more = [PROTOCOLS, "save_best=valid/ssim@mmediting-rgb", "tensorboard=dict(pictures=3)"]
    more += ["optim_wrapper.clip_grad=dict(max_norm=1.0)"]
    arguments = ["train", CONFIG, "--work-dir", str(folder), "--cfg-options", *options, *more]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(arguments) == 0
    return folder, printed.getvalue()


def test_the_files_of_a_work_dir(run):
    folder, _ = run
    checkpoints = {f"iter_{n}.pth" for n in (3, 6, 9, 12)}
    assert {p.name for p in folder.glob("*.pth")} == checkpoints | {"best.pth"}
    assert (folder / "last_checkpoint").read_text().strip() == "iter_12.pth"
    assert (folder / "config.py").is_file()
    assert [line["iter"] for line in log(folder, "train")] == [4, 8, 12]
    assert all("grad_norm" in line for line in log(folder, "train"))


def test_scores_by_several_protocols_and_the_best_by_any_cell(run):
    folder, printed = run
    lines = log(folder, "val")
    assert [line["iter"] for line in lines] == [6, 12]
    scores = [{(r["set"], r["protocol"]): r for r in line["results"]} for line in lines]
    cells = {("valid", "edsr-y"), ("valid", "mmediting-rgb"), ("testset", "mmediting-rgb")}
    assert set(scores[0]) == cells
    roles = {key[0]: row["role"] for key, row in scores[0].items()}
    assert roles == {"valid": "validation", "testset": "test"}
    selection = read_checkpoint(folder / "best.pth")["meta"]["selection"]
    assert (selection["set"], selection["role"]) == ("valid", "validation")
    assert (selection["metric"], selection["protocol"]) == ("ssim", "mmediting-rgb")
    assert selection["score"] == max(s["valid", "mmediting-rgb"]["ssim"] for s in scores)
    # The table at the end: both protocols, bicubic, the last weights.
    for protocol in ("edsr-y", "mmediting-rgb"):
        table = printed.split(f"PSNR / SSIM by {protocol}: ")[0].rsplit("method", 1)[1]
        last = scores[-1]["valid", protocol]
        assert f"{last['psnr']:.2f} / {last['ssim']:.4f}" in table
        assert "iteration 12" in table
        assert "Bicubic" in table


def test_curves_and_images_in_tensorboard(run, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, _ = run
    sizes = {"images": 0, "scalars": 0}
    found = events.EventAccumulator(str(folder / "tensorboard"), sizes).Reload()
    for tag, steps in {
        "train/loss": [4, 8, 12],
        "val/valid/psnr": [6, 12],
        "val/valid/psnr@mmediting-rgb": [6, 12],
        "val/testset/psnr": [6, 12],
    }.items():
        assert [event.step for event in found.Scalars(tag)] == steps
    images = found.Tags()["images"]
    assert len(images) == 3
    assert sum(tag.startswith("val/valid/") for tag in images) == 2
    assert [[image.step for image in found.Images(tag)] for tag in images] == [[6, 12]] * 3
    (tmp_path / "shown.png").write_bytes(found.Images(images[0])[0].encoded_image_string)
    shown = np.asarray(read_image(tmp_path / "shown.png"))
    assert shown.shape[1] > 4 * 160  # LR, bicubic, SR and HR beside each other
    assert shown.std() > 20


@pytest.mark.parametrize(
    "wanted", ["testset/psnr@edsr-y", "valid/psnr@nothing", "other/psnr@edsr-y"]
)
def test_a_cell_that_is_not_there(train, wanted, capsys):
    assert train(PROTOCOLS, f"save_best={wanted}") == 2
    assert "valid/psnr@edsr-y" in capsys.readouterr().err


def test_choosing_by_a_test_set_is_said(train, tmp_path, capsys):
    assert train("max_iters=6", "val_sets=[]", "max_keep_checkpoints=1", "amp=True") == 0
    assert "a test set" in capsys.readouterr().out
    best = read_checkpoint(tmp_path / "work" / "best.pth")["meta"]["selection"]
    assert best["role"] == "test"
    # Older checkpoints are deleted; mixed precision keeps the weights in float32.
    assert [p.name for p in (tmp_path / "work").glob("iter_*.pth")] == ["iter_6.pth"]
    state = read_checkpoint(tmp_path / "work" / "iter_6.pth")
    assert all(v.dtype == torch.float32 for v in state["state_dict"].values())
    assert "loss_scaler" in state["optimizer"]


def test_training_learns(train, tmp_path):
    trace = tmp_path / "trace.jsonl"
    assert train("max_iters=60", "val_interval=60", "param_scheduler=[]", trace=trace) == 0
    losses = [line["loss"] for line in read_trace(trace)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_seeds(train, tmp_path):
    def trained(name, *extra):
        trace = tmp_path / f"{name}.jsonl"
        assert train("max_iters=2", *extra, work_dir=tmp_path / name, trace=trace) == 0
        return read_trace(trace)

    def seed(path):
        return read_checkpoint(path)["meta"]["seed"]

    assert trained("a") == trained("b")
    assert trained("a") != trained("c", "seed=1")
    drawn = [trained(f"none{i}", "seed=None") for i in range(2)]
    assert drawn[0] != drawn[1]
    folder = tmp_path / "none0"
    saved = seed(folder / "iter_2.pth")
    assert trained("again", f"seed={saved}") == drawn[0]
    assert train("max_iters=4", "seed=None", work_dir=folder, resume="auto") == 0
    assert seed(folder / "iter_4.pth") == saved


def test_float16_on_a_cpu_is_refused(train, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert train("amp=float16") == 2
    assert "bfloat16" in capsys.readouterr().err


@pytest.mark.parametrize("broken", [True, False])
def test_a_metric_that_fails_everywhere_is_exit_1(train, options, broken, tmp_path, capsys):
    @METRICS.register_module(name="sometimes", force=True)
    def sometimes(sr, hr, protocol):
        return 1 / (0 if broken else 1)

    assert train("max_iters=2", "metrics=[sometimes]") == int(broken)
    assert ("failed: division by zero" in capsys.readouterr().out) == broken
    arguments = [CONFIG, str(tmp_path / "work/iter_2.pth"), "--metrics", "sometimes"]
    arguments += ["--cfg-options", *options]
    assert main(["test", *arguments]) == int(broken)


def test_validation_reads_and_scores_beside_the_network():
    """The network waits for the next image to be read and for the last to be scored."""
    read, scored = ([threading.Event() for _ in range(4)] for _ in range(2))
    waited, shown = [], []

    class Pairs(list):
        lq, make_lq = "there", "none"
        gt = SimpleNamespace(name_at=str)

        def load(self, i):
            read[i].set()
            return self[i]

    class Metrics(ExtraMetrics):
        def row(self, protocol, sr, hr, scale):
            found = super().row(protocol, sr, hr, scale)
            scored[int(hr[0, 0, 0])].set()
            return found

    images = [picture(i, 48, 64) for i in range(4)]
    for i, image in enumerate(images):
        image[0, 0, 0] = i
    pairs = Pairs((image[::2, ::2].copy(), image) for image in images)
    one = EvalSet("mine", "validation", 2, "mine", [get_protocol("edsr-div2k")], 3, pairs)

    def method(lq, scale):
        i = int(lq[0, 0, 0])
        if beside:
            waited.extend(event.wait(20) for event in (*read[i + 1 : i + 2], *scored[i - 1 : i]))
        return lq.repeat(2, 0).repeat(2, 1).astype(np.float32), {}

    found = []
    for beside in (False, True):
        evaluation = Evaluation([one], Metrics([]), beside=beside)
        entries = evaluation.score(method, on_image=lambda *seen: shown.append(seen)).entries
        found.append([{**row, "seconds": 0} for row in entries[0]["images"]])
        for event in (*read, *scored):
            event.clear()
    assert waited == [True] * 6
    assert [(image["name"], sr is None) for image, sr in shown] == 2 * [
        (str(i), before) for i in range(4) for before in (True, False)
    ]
    assert found[0] == found[1]
