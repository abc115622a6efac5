"""A folder of images: reading, network and writing overlap, and all is told as if in turn."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from PIL import Image

from superres.cli.main import main
from superres.imaging.io import read_image
from superres.upscaling import upscale_files as run
from superres.upscaling.networks import Networks, Options
from superres.upscaling.targets import list_jobs
from superres.upscaling.tiled_upscaler import TiledUpscaler
from superres.upscaling.upscale_files import run_jobs
from superres.upscaling.writing import DiskFull

from .conftest import scene


class Said:
    """A listener that keeps the names of what begins and ends."""

    def __init__(self):
        self.begun, self.ended = [], []

    def begin(self, job):
        self.begun.append(job.source.name)

    def end(self, job, result):
        self.ended.append((job.source.name, result.status))

    network = note = tiles = lambda *_: None


@pytest.fixture
def folder(tmp_path, weights):
    """``folder(count)``: jobs for images 0.png, 1.png, ..., and what runs them."""

    def make(count):
        for number in range(count):
            Image.fromarray(scene(seed=number)).save(tmp_path / f"{number}.png")
        jobs = list_jobs([str(tmp_path)], str(tmp_path / "out"), 2).jobs
        options, said = Options(weights(2), backend="torch", overwrite=True), Said()
        return jobs, said, lambda: run_jobs(jobs, Networks(options), options, said)

    return make


def test_reading_and_writing_go_on_beside_the_network(folder, monkeypatch):
    """Each network's work waits for the next read, each writing for the next network's work."""
    jobs, said, start = folder(4)
    read, computed = ({job.source: threading.Event() for job in jobs} for _ in range(2))
    real = run._read, run.save, TiledUpscaler.rows
    waited = []

    def reading(job, options):
        found = real[0](job, options)
        read[job.source].set()
        return found

    def rows(enlarger, pixels, *rest):
        place = len(said.begun)
        if place < len(jobs):
            waited.append(read[jobs[place].source].wait(20))
        computed[jobs[place - 1].source].set()
        return real[2](enlarger, pixels, *rest)

    def save(out, made, *rest):
        place = [job.target for job in jobs].index(out)
        if 0 < place < 3:  # the first is done in turn: it shows that the network works
            waited.append(computed[jobs[place + 1].source].wait(20))
        return real[1](out, made, *rest)

    monkeypatch.setattr(run, "_read", reading)
    monkeypatch.setattr(run, "save", save)
    monkeypatch.setattr(TiledUpscaler, "rows", rows)
    assert start()[1] == 0
    assert waited == [True] * 5
    assert said.ended == [(f"{number}.png", "done") for number in range(4)]
    monkeypatch.undo()
    before = [read_image(job.target) for job in jobs]
    monkeypatch.setattr(run, "_BESIDE", 0)  # all in turn
    assert start()[1] == 0
    assert all(np.array_equal(read_image(job.target), old) for job, old in zip(jobs, before))


def test_one_damaged_file_among_many(folder, tmp_path):
    _, said, start = folder(5)
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2])
    results, code = start()
    assert code == 1
    assert [name for name, status in said.ended if status == "done"] == [
        "0.png", "1.png", "2.png", "4.png",
    ]  # fmt: skip
    assert results[3].error.startswith(f"{tmp_path / '3.png'}: ")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), DiskFull("full")])
def test_a_stop_leaves_whole_files_and_says_what_was_done(stop, folder, tmp_path, monkeypatch):
    jobs, said, start = folder(8)
    full = isinstance(stop, DiskFull)
    place, name = (run, "save") if full else (TiledUpscaler, "rows")
    real = getattr(place, name)

    def stopping(first, *rest):
        if first == jobs[3].target or (not full and len(said.begun) == 4):
            raise stop
        return real(first, *rest)

    monkeypatch.setattr(place, name, stopping)
    results, code = start()
    assert code == (1 if full else 130)
    assert said.ended == [(job.source.name, r.status) for job, r in zip(jobs, results)]
    assert [s for _, s in said.ended[:4]] == ["done"] * 3 + ["failed" if full else "interrupted"]
    assert len(results) < 8
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {name for name, status in said.ended if status == "done"}


def test_shards_make_up_the_whole(tmp_path, weights, capsys):
    (tmp_path / "in").mkdir()
    for number in range(5):
        Image.fromarray(scene(8, 9)).save(tmp_path / "in" / f"{number}.png")
    words = ["upscale", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", weights(2)]
    for part, names in ((2, "14"), (3, "2"), (1, "03")):
        assert main([*words, "--shard", f"{part}/3", "--json", str(tmp_path / "r.json")]) == 0
        assert len(json.loads((tmp_path / f"r-{part}of3.json").read_text())["results"]) == len(
            names
        )
        said = capsys.readouterr().out
        assert f"part {part} of 3: {len(names)} of 5 inputs" in said
        assert all(f"{name}.png -> " in said for name in names)
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert main([*words, "--shard", "7/7"]) == 0
    for bad in ("0/3", "4/3", "1", "a/b"):
        assert main([*words, "--shard", bad]) == 2
        assert "a part such as 3/16" in capsys.readouterr().err
