"""The report's HTML: what is in it, what is harmless in it, and how large it gets."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest
from markupsafe import escape

from superres.cli.main import main
from superres.engine.config.load import load_config
from superres.evaluation import report_images as embedding
from superres.evaluation.curves import line_chart, log_lines, read_curves
from superres.evaluation.html_report import headline, render_report
from superres.evaluation.report_images import Shot, embed, embed_all
from superres.evaluation.results import write_results
from superres.imaging.io import read_image, write_image
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
    return Shot("Set5", scale, name, lq, {"ours": imresize(lq, scale=scale)}, hr)


def decode(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return read_image(base64.b64decode(data))


def embedded_data(text: str) -> list:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_layers_are_the_images():
    one = shot()
    found = embed(one, 10**7)
    assert [name for name, _ in found["layers"]] == ["LR", "bicubic", "ours", "HR"]
    shown = {name: decode(uri) for name, uri in found["layers"]}
    wanted = {"LR": one.lq, "HR": one.hr, "bicubic": imresize(one.lq, scale=2), **one.results}
    assert all(np.array_equal(shown[name], picture) for name, picture in wanted.items())
    assert (found["width"], found["height"], found["text"]) == (120, 96, "")
    assert (found["left"], found["right"]) == (1, 2)
    assert min(decode(found["thumb"]).shape[:2]) == 112
    (sr,) = one.results.values()
    mixed = {"HR": sr.astype(np.uint16) * 257, "b": sr[:, :-3, 1]}  # deep; grey and narrower
    found = embed(Shot("s", 2, "n", None, mixed, None), 10**7)
    assert [(name, decode(uri).shape) for name, uri in found["layers"]] == [
        ("HR", (96, 117, 3)),
        ("b", (96, 117, 3)),
    ]
    assert np.array_equal(decode(found["layers"][0][1]), sr[:, :-3])
    assert (found["left"], found["right"]) == (0, 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_large_picture_is_cut_to_the_same_part_in_every_layer(scale):
    one = shot(700, 905, scale=scale)
    found = embed(one, 150_000)
    layers = dict(found["layers"])
    assert sum(map(len, layers.values())) <= 150_000
    numbers = re.search(r"(\d+)x(\d+) of (\d+)x(\d+), from \((\d+), (\d+)\)", found["text"])
    columns, rows, width, height, left, top = map(int, numbers.groups())
    assert (width, height) == one.results["ours"].shape[1::-1]
    assert decode(layers["HR"]).shape == (rows, columns, 3)
    assert decode(layers["LR"]).shape == (rows // scale, columns // scale, 3)
    assert left % scale == top % scale == 0
    part = one.hr[top : top + rows, left : left + columns]
    assert cv2.PSNR(decode(layers["HR"]), part) > 20


def test_of_many_images_some_are_taken(monkeypatch):
    monkeypatch.setattr(embedding, "MAX_IMAGES", 5)
    taken = embed_all(range(10), lambda n: shot(name=str(n)))
    text = render_report(record(entry("ours", {str(n): 30.0 for n in range(10)})), taken)
    assert "5 of 10 images are in this report" in text
    assert [one["title"][-1] for one in embedded_data(text)] == ["0", "2", "4", "6", "8"]


def test_the_headline():
    base = entry("Bicubic", {"a": 33.67})
    assert headline(record(entry("ours", {"a": 37.54}), baselines=[base])) == (
        "37.54 dB on Set5 x2, +3.87 over bicubic"
    )
    two = [entry("one", {"a": 30.0}), entry("two", {"a": 31.5}), entry("two", {"b": 9.0}, "X")]
    assert headline(record(*two)) == "two: 31.50 dB on Set5 x2, +1.50 over one"
    assert headline(record(entry("ours", {"a": None}))) == ""


def test_names_from_outside_are_harmless():
    results = [entry(NASTY, {NASTY: 30.0, "b": None}, set_name=NASTY)]
    content = record(*results, baselines=[entry("Bicubic", {NASTY: 28.0}, set_name=NASTY)])
    one = shot()
    one.set, one.name = NASTY, NASTY
    text = render_report(content, [embed(one, 10**6)], {"loss": {NASTY: [(1, 1.0), (2, 0.5)]}})
    assert "<script>alert" not in text
    assert text.count("<script") == 2  # the data and our own
    assert str(escape(NASTY)) in text
    assert embedded_data(text)[0]["title"] == f"{NASTY} x2: {NASTY}"
    assert "2.000" in text  # the gain
    assert "truncated" in text


def fetched(text: str) -> list[str]:
    """What a browser would load from elsewhere; names of XML's languages are not addresses."""
    text = re.sub(r"xmlns(:\w+)?=\S+", "", text)
    return re.findall(r"(?:src|href)\s*=\s*[\"'](?!#|data:)|@import|url\((?!#)|https?://", text)


def test_nothing_is_fetched():
    curves = {"loss": {"loss": [(1, 1.0), (2, 0.5)]}}
    text = render_report(record(entry("ours", {"a": 30.0})), [embed(shot(), 10**6)], curves)
    assert "default-src 'none'" in text
    assert fetched(text) == []
    for added in ("<img src='a.png'>", "<a href='//b'>", "url(c.woff)", "fetch(`https://d`)"):
        assert len(fetched(text + added)) == 1


@pytest.fixture
def tested(tmp_path):
    """Folders A and B as of ``superres test --save-images``, and their truth."""
    scores = {"a": 30.0, "b": 31.0, "broken": None}
    for folder in ("HR", "A/images/Set5/x2", "B/images/Set5/x2"):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate(("A", "B")):
        for seed, image in enumerate(("a", "b")):
            hr = noisy(40, 48, seed)
            write_image(tmp_path / "HR" / f"{image}.png", hr)
            write_image(tmp_path / name / f"images/Set5/x2/{image}.png", hr // (2 + number))
        sets = [{"set": "Set5", "scale": 2, "gt": str(tmp_path / "HR"), "lq": None}]
        one = entry("ours", {image: psnr and psnr + number for image, psnr in scores.items()})
        one["notes"] = [f"not scored: {tmp_path}/HR/broken.png is damaged"]
        write_results(tmp_path / name, record(one, sha256=name, sets=sets))
    return tmp_path


def test_several_methods_are_shown_side_by_side(tested, capsys):
    page = tested / "report.html"
    assert main(["report", str(tested / "A"), f"other={tested / 'B'}", "-o", str(page)]) == 0
    text, err = page.read_text(), capsys.readouterr().err
    assert "other: 31.50 dB on Set5 x2, +1.00 over A" in text
    assert err == ""
    shots = embedded_data(text)
    assert [one["title"] for one in shots] == ["Set5 x2: a", "Set5 x2: b"]
    assert [label for label, _ in shots[0]["layers"]] == ["LR", "bicubic", "A", "other", "HR"]
    assert "A - other" in text  # the paired difference
    assert "A: 30.000 dB (edsr-y). other: 31.000 dB (edsr-y)." in shots[0]["text"]
    passed_on = [page, *(tested / "A").glob("results.[mct]*")]
    assert not [file for file in passed_on if str(tested) in file.read_text()]
    (tested / "HR").rename(tested / "gone")
    assert main(["report", str(tested / "A")]) == 0
    assert "Set5 x2 is shown without its ground truth" in capsys.readouterr().err
    (shown, _) = embedded_data((tested / "A" / "report.html").read_text())
    assert [label for label, _ in shown["layers"]] == ["ours"]


def test_a_training_has_curves_and_the_keys_that_were_changed(tmp_path, capsys):
    name = "edsr-s_x2c32b8_g1_24k_291"
    folder = tmp_path / name
    folder.mkdir()
    assert main(["report", str(folder)]) == 2
    assert "neither results.json" in capsys.readouterr().err
    load_config(name, {"max_iters": 77}).dump(str(folder / "config.py"))
    score = {"set": "Set5", "scale": 2, "protocol": "edsr-y"}
    lines = [{"mode": "val", "iter": n, "results": [{**score, "psnr": n}]} for n in (30, 32, 31)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert "<h1>32.00 dB on Set5 x2 (edsr-y) at iteration 32</h1>" in text
    assert "PSNR in dB over iterations" in text
    assert re.search(r"max_iters</th><td>24000</td><td>77</td>", text)
    assert "global_batch_size" not in text


def test_curves_of_a_resumed_run(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [{"mode": "train", "iter": n, "loss": 1 / n, "lr": 1e-4} for n in (1, 2, 3)]
    lines += [{"mode": "train", "iter": n, "loss": 9.0, "lr": 1e-4} for n in (3, 4)]
    score = {"set": "Set5", "scale": 2, "protocol": "edsr-y", "psnr": 30.0}
    lines += [{"mode": "val", "iter": 4, "results": [score]}, {"mode": "event", "text": "x"}]
    lines += [{"mode": "train", "iter": 5, "loss": 0.1, "lr": None}]
    lines += [{"mode": "train", "loss": 0.1}, {"mode": "val", "iter": 5, "results": [3]}, 3]
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"mode": "tr')
    damaged = []
    curves = read_curves(log_lines(log, damaged.append))
    assert [f"line {n} " in text for n, text in enumerate(damaged, 9)] == [True] * 4
    assert curves["loss"] == {"loss": [(1, 1.0), (2, 0.5), (3, 9.0), (4, 9.0), (5, 0.1)]}
    assert curves["PSNR in dB"] == {"Set5 x2 (edsr-y)": [(4, 30.0)]}
    chart = line_chart("loss", {"a<b": [(n, 1 / (n + 1)) for n in range(5000)]})
    assert "a&lt;b" in chart
    assert len(chart) < 30_000  # means of neighbours
