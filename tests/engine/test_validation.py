"""Validation during training: several protocols, the best by any cell, pictures, the table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from superres.engine.train.checkpoint import read_checkpoint

PROTOCOLS = "protocols=dict(default=['edsr-y','mmediting-rgb'],testset=['mmediting-rgb'])"


def validations(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["mode"] == "val"]


def test_best_by_any_cell(train, tmp_path, capsys):
    assert train(PROTOCOLS, "save_best=valid/ssim@mmediting-rgb") == 0
    printed = capsys.readouterr().out
    scores = [
        {(r["set"], r["protocol"]): r for r in line["results"]}
        for line in validations(tmp_path / "work")
    ]
    assert set(scores[0]) == {
        ("valid", "edsr-y"),
        ("valid", "mmediting-rgb"),
        ("testset", "mmediting-rgb"),
    }
    selection = read_checkpoint(tmp_path / "work" / "best.pth")["meta"]["selection"]
    assert (selection["metric"], selection["protocol"]) == ("ssim", "mmediting-rgb")
    assert selection["score"] == max(s["valid", "mmediting-rgb"]["ssim"] for s in scores)
    # The table at the end: both protocols, bicubic, the last weights.
    for protocol in ("edsr-y", "mmediting-rgb"):
        table = printed.split(f"PSNR / SSIM by {protocol}: ")[0].rsplit("method", 1)[1]
        last = scores[-1]["valid", protocol]
        assert f"{last['psnr']:.2f} / {last['ssim']:.4f}" in table
        assert "iteration 12" in table
        assert "Bicubic" in table


@pytest.mark.parametrize(
    "wanted", ["testset/psnr@edsr-y", "valid/psnr@nothing", "other/psnr@edsr-y"]
)
def test_a_cell_that_is_not_there(train, wanted, capsys):
    assert train(PROTOCOLS, f"save_best={wanted}") == 2
    assert "valid/psnr@edsr-y" in capsys.readouterr().err


def test_pictures_in_tensorboard(train, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert train("tensorboard=dict(pictures=3)", PROTOCOLS) == 0
    found = events.EventAccumulator(
        str(tmp_path / "work/tensorboard"), {"images": 0, "scalars": 0}
    ).Reload()
    tags = found.Tags()
    assert "val/valid/psnr@mmediting-rgb" in tags["scalars"]
    assert "val/testset/psnr" in tags["scalars"]
    pictures = tags["images"]
    assert len(pictures) == 3
    assert sum(tag.startswith("val/valid/") for tag in pictures) == 2
    steps = [[image.step for image in found.Images(tag)] for tag in pictures]
    assert steps == [[6, 12]] * 3
    import cv2

    data = np.frombuffer(found.Images(pictures[0])[0].encoded_image_string, np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert shown.shape[1] > 4 * 160  # LR, bicubic, SR and HR beside each other
    assert shown.std() > 20
