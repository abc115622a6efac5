"""Trainings on record: written from a work dir and a result, shown in tables and cards."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import yaml

from maintain import ROOT, charts, docs
from superres.checkpoints.weight_files import sha256
from superres.checkpoints.zoo import shipped
from superres.errors import UserError

SCORES = {"method": "edsr", "scale": 2, "protocol": "edsr-y", "ssim": 0.95}


def scored(name: str, psnr: float) -> dict:
    """An entry of results.json, beside a published score."""
    beside = {"method": "EDSR", "source": "x", "psnr": 38.0, "ssim": 0.96}
    published = {**beside, "difference": {"psnr": psnr - 38.0}}
    images = [{"name": "a", "psnr": psnr, "ssim": 0.95}]
    return {**SCORES, "set": name, "psnr": psnr, "images": images, "published": published}


RESULTS = {
    "schema": 1,
    "checkpoint": {"path": "best.pth", "sha256": "0" * 64},
    "config": "configs/edsr/edsr_x2c64b16_g1_300k_div2k.py",
    "protocols": {"edsr-y": {"name": "edsr-y", "line": "edsr-y: on luma"}},
    "results": [scored("Set14", 33.5), scored("Set5", 38.125)],
}
BEGUN = [
    {"mode": "event", "time": 1.0, "hardware": "GPU", "commit": "abc"},
    {"mode": "event", "time": 2.0, "hardware": "GPU", "commit": "def"},  # after a break
]
LOG = [
    {"mode": "train", "iter": 100, "it_per_s": 10.0},
    {"mode": "val", "iter": 100, "seconds": 5.0},
    {"mode": "train", "iter": 200, "it_per_s": 10.0},
    {"mode": "train", "iter": 150, "it_per_s": 5.0},  # after a kill, from the checkpoint at 100
    {"mode": "train", "iter": 200, "it_per_s": 5.0},
]


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    lines = "".join(json.dumps(line) + "\n" for line in [*BEGUN, *LOG])
    (folder / "log.jsonl").write_text(lines + '{"mode": "train", "iter": 3')  # cut off by a kill
    (folder / "config.py").write_text("scale = 2\nseed = 3\n")
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return folder


def test_record_and_table(work_dir, tmp_path):
    root = tmp_path / "docs"
    folder = docs.write_record(work_dir, tmp_path, note="a short one", root=root)
    (record,) = docs.find_records(root)
    assert folder == root / record.name == root / "edsr_x2c64b16_g1_300k_div2k"
    assert record.run["iterations"] == 200
    assert record.run["seconds"] == 10 + 5 + 10 + 10  # the repeated iterations only once more
    assert (record.run["seed"], record.run["hardware"], record.run["commit"]) == (3, "GPU", "abc")
    log = (folder / "log.jsonl.gz").read_bytes()
    assert gzip.decompress(log) == (work_dir / "log.jsonl").read_bytes()
    text = "\n".join(docs.results_table([record], "results"))
    head = text.splitlines()[0]
    assert head.index("Set5") < head.index("Set14")  # in the order of papers
    assert "| 38.12 / 0.9500 (+0.12) | 33.50 / 0.9500 (-4.50) | 1 min |" in text
    assert text.endswith("edsr_x2c64b16_g1_300k_div2k: a short one.")
    docs.write_record(work_dir, tmp_path, root=root)
    assert (folder / "log.jsonl.gz").read_bytes() == log


def test_records_are_whole():
    for record in docs.find_records():
        there = {path.name for path in (docs.RECORDS / record.name).iterdir()}
        assert there >= {*docs.FILES.values()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"work_dir": Path("nowhere")}, "not the work dir of a training"),
        ({"results": {"config": ""}}, "names no config"),
        ({"config": "max_iters = 201\n"}, "not finished, 200 of 201 iterations"),
        ({"log": "[]\n"}, "not finished, 0 of"),
    ],
)
def test_what_is_not_a_finished_training_is_refused(work_dir, tmp_path, change, told):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(RESULTS | change.get("results", {})))
    for name in ("config.py", "log.jsonl"):
        if text := change.get(name.partition(".")[0]):
            (work_dir / name).write_text(text)
    with pytest.raises(UserError, match=told):
        docs.write_record(change.get("work_dir", work_dir), results, root=tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_pages_are_those_of_the_records():
    made = docs.pages() | charts.pages()
    told = "run tools/maintain/docs.py and charts.py"
    assert {path: path.read_text("utf-8") for path in made} == made, told


def test_metafiles_name_files_that_are_there():
    weights = set()
    for path in (ROOT / "configs").glob("*/metafile.yml"):
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["Models"]:
            ours = [r["Source"] for r in model["Results"] if r["Source"].startswith("docs/results")]
            named = {model.get("Weights"), model.get("Training Log"), *ours} - {None}
            assert [file for file in named if not (ROOT / file).is_file()] == []
            weights.add(model.get("Weights"))
    assert weights >= {f"superres/weights/edsr-s_x{s}.safetensors" for s in (2, 3, 4)}


@pytest.mark.parametrize("name", shipped())
def test_the_card_of_a_weight_file_is_that_of_its_record(name):
    path = shipped()[name]
    card, digest = path.with_suffix(".md").read_text(encoding="utf-8"), sha256(path)
    assert f"{path.stat().st_size:,} bytes, sha256 `{digest}`" in card
    of = [r for r in docs.find_records() if r.results["checkpoint"]["sha256"] == digest]
    assert f"{of[0].results['parameters']:,} parameters" in card
    assert f"`{of[0].run['config']}`" in card
    assert f"{of[0].run['iterations']:,} iterations" in card
    scores = re.findall(r"(\d+\.\d\d) / (0\.\d{4})", card.partition("## Scores")[2])
    wanted = [(f"{s['psnr']:.2f}", f"{s['ssim']:.4f}") for s in of[0].results["results"]]
    assert sorted(scores) == sorted(wanted)
