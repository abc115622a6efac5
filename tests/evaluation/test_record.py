"""results.json files that are damaged, of other programs or changed by hand."""

from __future__ import annotations

import json
import math

import pytest

from superres.cli.main import main
from superres.errors import UserError
from superres.evaluation.results import read_results, write_results

from .records import entry, record

DROP = object()


def written(tmp_path, change) -> str:
    """A file in which ``change`` has changed something."""
    path = write_results(tmp_path, record(entry("ours", {"a": 30.0, "b": 32.0})))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return str(path)


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(content):
        node = content
        for key in keys:
            node = node[key]
        if value is DROP:
            del node[last]
        else:
            node[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("schema", 2), "its schema is 2"),
        (put("results", []), "no results in it"),
        (put("results", {}), "results is '{}', no list"),
        (put("baselines", None), "baselines is 'None', no list"),
        (put("sets", [{}]), "sets[0] has no set"),
        (put("sets", [{"set": "a", "scale": 2, "gt": "a\0b"}]), "sets[0].gt is"),
        (put("costs", [{}]), "costs[0] has no scale"),
        (put("checkpoint", "x"), "checkpoint is 'x', no object"),
        (put("metrics", {"lpips": 3}), "metrics['lpips'] is '3', no object"),
        (put("protocols", "edsr-y", {}), "protocols['edsr-y'] has no line"),
        (put("protocols", {}), "protocol 'edsr-y' of ours on Set5 is not described"),
        (put("results", 0, 3), "results[0] is '3', no object"),
        (put("results", 0, "psnr", DROP), "results[0] has no psnr"),
        (put("results", 0, "psnr", "38"), "results[0].psnr is '38', no number"),
        (put("results", 0, "psnr", True), "results[0].psnr is 'True', no number"),
        (put("results", 0, "scale", 10**30), "results[0].scale is '1000000"),
        (put("results", 0, "scale", 0), "results[0].scale is '0'"),
        (put("results", 0, "notes", [3]), "results[0].notes[0] is '3', no text"),
        (put("results", 0, "published", {"psnr": 3}), "results[0].published has no method"),
        (put("results", 0, "images", 0, "psnr", "x"), "results[0].images[0].psnr is 'x'"),
        (put("results", 0, "images", 0, "ssim", None), "of ours on Set5 has a psnr and no ssim"),
        (put("results", 0, "images", 0, "name", "b"), "two images of ours on Set5"),
    ],
)
def test_one_message_names_the_fault(tmp_path, capsys, change, message):
    path = written(tmp_path, change)
    with pytest.raises(UserError) as raised:
        read_results(path)
    assert message in str(raised.value)
    assert path in str(raised.value)
    for command in (["table", path], ["report", str(tmp_path)]):
        assert main(command) == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("cut", [0, 1, 200])
def test_a_part_of_a_file(tmp_path, cut):
    path = write_results(tmp_path, record(entry("ours", {"a": 30.0})))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="only a part of a file"):
        read_results(path)
    path.write_bytes(b"\xff\xfe" + bytes(range(256)))
    with pytest.raises(UserError, match="no JSON"):
        read_results(path)


def test_a_score_that_somebody_improved(tmp_path, capsys):
    path = written(tmp_path, put("results", 0, "psnr", 39.0))
    assert main(["table", path]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "PSNR 39.0 in the file is not the mean of its images, 31.0" in said


def test_what_is_written_is_right(tmp_path):
    mixed = entry("ours", {"a": math.inf, "b": 30.0, "c": None})
    path = write_results(tmp_path, record(mixed, entry("none", {"a": None}, "Set14")))
    first, second = read_results(path)["results"]
    assert first["psnr"] == math.inf
    assert [note for note in first["notes"] if "not the mean" in note] == []
    assert "identical to HR, which makes the mean infinite: a" in first["notes"]
    assert second["psnr"] is None
