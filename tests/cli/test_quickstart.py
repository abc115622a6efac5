"""The quick start: its photographs, its data, and, slowly, the whole of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from superres.cli.main import main
from superres.cli.quickstart import PHOTOGRAPHS, prepare
from superres.datasets.storage import open_store
from superres.imaging.io import read_image
from superres.imaging.resize import imresize


def test_held_out_photographs_are_not_trained_on():
    sets = {}
    for package, inside, where in PHOTOGRAPHS:
        sets.setdefault(where, set()).add((package, inside))
    assert set(sets) == {"train", "valid", "holdout"}
    assert sum(map(len, sets.values())) == len(set.union(*sets.values()))


def test_the_data_are_exact_pairs(tmp_path):
    prepare(tmp_path)
    for name in ("train", "valid", "holdout"):
        hr = open_store(tmp_path / name / "HR.lmdb")
        lr = open_store(tmp_path / name / "LR_bicubic_X2.lmdb")
        assert list(hr.names()) == list(lr.names())
        for picture in hr.names():
            assert np.array_equal(
                imresize(np.asarray(hr.read(picture)), scale=0.5), lr.read(picture)
            )


@pytest.mark.slow
def test_the_whole_quick_start(tmp_path, capsys):
    arguments = ["quickstart", "--data-root", str(tmp_path / "data"), "--work-dir"]
    assert main([*arguments, str(tmp_path / "work")]) == 0
    record = json.loads((tmp_path / "work/test/results.json").read_text())
    assert record["results"][0]["psnr"] - record["baselines"][0]["psnr"] > 1.0
    assert read_image(tmp_path / "work/comparison.png").shape[2] == 3
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "work")]) == 0
    assert "nothing to do" in capsys.readouterr().out
