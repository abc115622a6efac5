"""The report's HTML: what is in it, what is harmless in it, and how large it gets."""

from __future__ import annotations

import base64
import json
import math
import re

import cv2
import numpy as np
import pytest
from markupsafe import escape

from superres.evaluation import embedding
from superres.evaluation.curves import line_chart, read_curves
from superres.evaluation.embedding import Album, Shot, embed
from superres.evaluation.report import render_report
from superres.imaging.io import read_image
from superres.imaging.resize import imresize

from .records import entry, record

NASTY = "<script>alert('x')</script>\"&amp;"


def noisy(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Hard to compress: noise on waves, in three channels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 9
    waves = 127 + 60 * np.stack([np.sin(x), np.sin(y), np.sin(x + y)], -1)
    return np.clip(waves + rng.normal(0, 25, waves.shape), 0, 255).astype(np.uint8)


def shot(height: int = 96, width: int = 120, name: str = "a", scale: int = 2) -> Shot:
    hr = noisy(height, width)
    lq = imresize(hr[: height // scale * scale, : width // scale * scale], scale=1 / scale)
    return Shot("Set5", scale, name, lq, imresize(lq, scale=scale), hr)


def decode(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return read_image(base64.b64decode(data))


def embedded_data(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_layers_are_the_pictures():
    one = shot()
    found = embed(one, 10**7)
    assert list(found["layers"]) == ["LR", "bicubic", "SR", "HR", "error"]
    shown = {name: decode(uri) for name, uri in found["layers"].items()}
    wanted = {"LR": one.lq, "SR": one.sr, "HR": one.hr, "bicubic": imresize(one.lq, scale=2)}
    assert all(np.array_equal(shown[name], picture) for name, picture in wanted.items())
    assert (found["width"], found["height"], found["text"]) == (120, 96, "")
    grey = Shot("s", 2, "n", one.lq[..., :1], one.sr[..., 0], one.hr[..., :1])
    assert np.array_equal(decode(embed(grey, 10**7)["layers"]["SR"])[..., 2], one.sr[..., 0])
    deep = Shot("s", 2, "n", None, one.sr.astype(np.uint16) * 257, one.hr)
    layers = embed(deep, 10**7)["layers"]
    assert list(layers) == ["SR", "HR", "error"]
    assert np.array_equal(decode(layers["SR"]), one.sr)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_large_picture_is_cut_to_the_same_part_in_every_layer(scale):
    one = shot(700, 905, scale=scale)
    found = embed(one, 150_000)
    layers = found["layers"]
    assert sum(map(len, layers.values())) <= 150_000
    numbers = re.search(r"(\d+)x(\d+) of (\d+)x(\d+), from \((\d+), (\d+)\)", found["text"])
    columns, rows, width, height, left, top = map(int, numbers.groups())
    assert (width, height) == (one.sr.shape[1], one.sr.shape[0])
    assert decode(layers["HR"]).shape == (rows, columns, 3)
    assert decode(layers["LR"]).shape == (rows // scale, columns // scale, 3)
    assert left % scale == top % scale == 0
    part = one.hr[top : top + rows, left : left + columns]
    assert cv2.PSNR(decode(layers["HR"]), part) > 20


def album(*shots: Shot) -> list:
    taken = Album(len(shots))
    for one in shots:
        taken.add(one)
    return taken.shots


def test_of_many_pictures_some_are_taken_over_all_processes(monkeypatch):
    monkeypatch.setattr(embedding, "MAX_PICTURES", 5)
    albums = [Album(10, rank, 2) for rank in range(2)]
    for number in range(10):
        albums[number % 2].add(shot(name=str(number)))
    taken = [part for one in albums for part in one.shots]
    assert sorted(number for number, _ in taken) == [0, 2, 4, 6, 8]
    text = render_report(record(entry("ours", {str(n): 30.0 for n in range(10)})), taken)
    assert "5 of 10 pictures are in this report" in text
    assert [one["name"] for one in embedded_data(text)["shots"]] == ["0", "2", "4", "6", "8"]


def test_names_from_outside_are_harmless():
    results = [entry(NASTY, {NASTY: 30.0, "b": None}, set_name=NASTY)]
    content = record(*results, baselines=[entry("Bicubic", {NASTY: 28.0}, set_name=NASTY)])
    one = shot()
    one.set, one.name = NASTY, NASTY
    text = render_report(content, album(one), {"loss": {NASTY: [(1, 1.0), (2, 0.5)]}})
    assert "<script>alert" not in text
    assert text.count("<script") == 2  # the data and our own
    assert str(escape(NASTY)) in text
    assert embedded_data(text)["shots"][0]["name"] == NASTY
    assert "2.000" in text  # the gain
    assert "truncated" in text


def test_nothing_is_fetched():
    curves = {"loss": {"loss": [(1, 1.0), (2, 0.5)]}}
    text = render_report(record(entry("ours", {"a": 30.0})), album(shot()), curves)
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", text)
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)|https?://", re.sub(r"xmlns(:\w+)?=\S+", "", text))


def test_without_pictures_there_are_tables():
    text = render_report(record(entry("ours", {"a": math.inf, "b": 30.0})), [])
    assert "inf / 0.6500" in text
    assert 'id="viewer"' not in text


def test_curves_of_a_resumed_run(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [{"mode": "train", "iter": n, "loss": 1 / n, "lr": 1e-4} for n in (1, 2, 3)]
    lines += [{"mode": "train", "iter": n, "loss": 9.0, "lr": 1e-4} for n in (3, 4)]
    score = {"set": "Set5", "scale": 2, "protocol": "edsr-y", "psnr": 30.0}
    lines += [{"mode": "val", "iter": 4, "results": [score]}, {"mode": "event", "text": "x"}]
    lines += [{"mode": "train", "iter": 5, "loss": 0.1, "lr": None}]
    lines += [{"mode": "train", "loss": 0.1}, {"mode": "val", "iter": 5, "results": [3]}, 3]
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"mode": "tr')
    curves = read_curves(log)
    assert curves["loss"] == {"loss": [(1, 1.0), (2, 0.5), (3, 9.0), (4, 9.0), (5, 0.1)]}
    assert curves["PSNR in dB"] == {"Set5 x2 (edsr-y)": [(4, 30.0)]}
    chart = line_chart("loss", {"a<b": [(n, 1 / (n + 1)) for n in range(5000)]})
    assert "a&lt;b" in chart
    assert len(chart) < 30_000  # means of neighbours
