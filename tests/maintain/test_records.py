"""Trainings on record: written from a work dir and a result, shown in a table."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from maintain import ROOT, cards, docs, filled, gallery, methods, records, reproduce
from superres.checkpoints.shipped import variants
from superres.engine.train import provenance
from superres.errors import UserError

RESULTS = {
    "schema": 1,
    "checkpoint": {"path": "best.pth", "sha256": "0" * 64},
    "config": "configs/edsr/edsr_x2c64b16_g1_300k_div2k.py",
    "protocols": {"edsr-y": {"name": "edsr-y", "line": "edsr-y: on luma"}},
    "results": [
        {
            "method": "edsr",
            "set": name,
            "scale": 2,
            "protocol": "edsr-y",
            "psnr": psnr,
            "ssim": 0.95,
            "images": [{"name": "a", "psnr": psnr, "ssim": 0.95}],
            "published": {
                "method": "EDSR",
                "source": "x",
                "psnr": 38.0,
                "ssim": 0.96,
                "difference": {"psnr": psnr - 38.0},
            },
        }
        for name, psnr in (("Set14", 33.5), ("Set5", 38.125))
    ],
}
LOG = [
    {"mode": "train", "iter": 100, "it_per_s": 10.0},
    {"mode": "val", "iter": 100, "seconds": 5.0},
    {"mode": "train", "iter": 200, "it_per_s": 10.0},
    {"mode": "train", "iter": 150, "it_per_s": 5.0},  # after a kill, from the checkpoint at 100
    {"mode": "train", "iter": 200, "it_per_s": 5.0},
]


@pytest.fixture
def work_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORDS", tmp_path / "results")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    (folder / "config.py").write_text("scale = 2\nseed = 3\n")
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return folder


def test_record_and_table(work_dir, tmp_path):
    folder = records.write_record(work_dir, tmp_path / "results.json", note="a short one")
    (record,) = records.find_records("edsr_x2c64b16_g1_300k_div2k")
    assert record.folder == folder
    assert record.run["iterations"] == 200
    assert record.run["seconds"] == 10 + 5 + 10 + 10  # the repeated iterations only once more
    assert record.run["seed"] == 3
    assert gzip.decompress((folder / "log.jsonl.gz").read_bytes()).count(b"\n") == len(LOG)
    text = "\n".join(records.results_table([record], "results"))
    head = text.splitlines()[0]
    assert head.index("Set5") < head.index("Set14")  # in the order of papers
    assert "38.12 / 0.9500 (+0.12)" in text
    assert "33.50 / 0.9500 (-4.50)" in text
    assert "1 min" in text
    assert "a short one" in text
    before = (folder / "log.jsonl.gz").read_bytes()
    records.write_record(work_dir, tmp_path)
    assert (folder / "log.jsonl.gz").read_bytes() == before


def test_a_note_that_many_share_is_said_once(work_dir, tmp_path):
    for name, note in (("a", "slow"), ("b", "slow"), ("c", "quick")):
        records.write_record(work_dir, tmp_path / "results.json", name, note)
    found = records.find_records()
    assert records.results_table(found, "results")[-3:] == ["c: quick.", "", "All others: slow."]
    assert records.results_table(found[:2], "results")[-1] == "All of them: slow."
    assert records.results_table(found[:1], "results")[-1] == "a: slow."
    assert records.results_table(found[1:], "results")[-1] == "c: quick."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "../x"}, "make a record's name"),
        ({"name": ""}, "make a record's name"),
        ({"work_dir": Path("nowhere")}, "not the work dir of a training"),
        ({"results": {"config": ""}}, "names no config"),
        ({"config": "scale = 3\n"}, "not a training of .*edsr_x2c64b16.*scale differ"),
        ({"config": "max_iters = 201\n"}, "not finished, 200 of 201 iterations"),
        ({"config": "max_iters = 200\n"}, "max_iters differ"),
        ({"config": "scale = (\n"}, "config.py"),
        ({"log": "[]\n"}, "not finished, 0 of"),
        ({"log": '{"mode": "train", "iter": 1'}, "not finished, 0 of"),
    ],
)
def test_what_is_not_a_finished_training_of_this_config_is_refused(
    work_dir, tmp_path, change, told
):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(RESULTS | change.get("results", {})))
    for name in ("config.py", "log.jsonl"):
        if text := change.get(name.partition(".")[0]):
            (work_dir / name).write_text(text)
    with pytest.raises(UserError, match=told):
        records.write_record(change.get("work_dir", work_dir), results, change.get("name"))
    assert not (tmp_path / "results").exists()


def test_a_line_that_a_kill_cut_off_is_left_out(work_dir, tmp_path):
    with open(work_dir / "log.jsonl", "a") as file:
        file.write('{"mode": "train", "iter": 3')
    folder = records.write_record(work_dir, tmp_path / "results.json")
    assert json.loads((folder / "run.json").read_text())["iterations"] == 200


def test_the_commit_is_the_one_that_the_training_began_with(work_dir, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    (repository / "configs").mkdir(parents=True)
    monkeypatch.setattr(provenance, "share_dir", lambda name: repository / name)

    def git(*words, time=0):
        return subprocess.run(
            ["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", *words],
            env={**os.environ, "GIT_COMMITTER_DATE": f"{time} +0000"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    git("init")
    git("commit", "--allow-empty", "-m", "one", time=1_700_000_000)
    first = git("rev-parse", "HEAD")
    git("commit", "--allow-empty", "-m", "two", time=1_700_000_100)
    assert provenance.commit(1_700_000_050.5) == first
    assert provenance.commit(None) == provenance.commit(1_800_000_000) == git("rev-parse", "HEAD")
    assert provenance.commit(1_600_000_000) is None


def test_what_the_training_wrote_of_itself_is_recorded(work_dir, tmp_path):
    begun = [
        {"mode": "event", "time": 1.0, "hardware": "GPU", "commit": "abc"},
        {"mode": "event", "time": 2.0, "hardware": "GPU", "commit": "def"},  # after a break
    ]
    text = (work_dir / "log.jsonl").read_text()
    (work_dir / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in begun) + text)
    folder = records.write_record(work_dir, tmp_path / "results.json")
    run = json.loads((folder / "run.json").read_text())
    assert (run["hardware"], run["commit"]) == ("GPU", "abc")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        *((name, None, f"{name} missing") for name in records.FILES),
        ("log.jsonl.gz", b"x", r"log\.jsonl\.gz: cannot be read"),
        ("log.jsonl.gz", gzip.compress(b"x" * 99, mtime=0)[:-9], r"log\.jsonl\.gz: cannot be read"),
        ("run.json", b"{", r"run\.json: cannot be read"),
        ("run.json", b"[]", r"run\.json: cannot be read"),
        ("run.json", b"{}", r"run\.json: cannot be read .*config"),
    ],
)
def test_damaged_records_are_told(work_dir, tmp_path, file, content, told):
    path = records.write_record(work_dir, tmp_path / "results.json") / file
    path.unlink() if content is None else path.write_bytes(content)
    records._all_records.cache_clear()
    with pytest.raises(UserError, match=told):
        reproduce.pages()


def test_two_ways_of_one_config_are_drawn_and_told_how_to_repeat(work_dir, tmp_path):
    line = {"mode": "val", "iter": 100, "seconds": 1.0}
    line["results"] = [{"set": "V", "scale": 2, "protocol": "edsr-y", "psnr": 33.0}]
    with open(work_dir / "log.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    records.write_record(work_dir, tmp_path / "results.json", name="a")
    (work_dir / "config.py").write_text("scale = 2\nseed = 3\nload_from = 'edsr-s_x2'\n")
    records.write_record(work_dir, tmp_path / "results.json", name="b")
    (page, text), (chart, svg) = reproduce.pages().items()
    assert page == ROOT / "docs/reproduce.md"
    assert text.count(f"](images/{chart.name})") == 1
    assert "V x2 (edsr-y), from edsr-s_x2" in svg
    assert "V x2 (edsr-y), from scratch" in svg
    config = "edsr_x2c64b16_g1_300k_div2k"
    assert f"superres train {config} --seed 3 --work-dir work_dirs/a\n" in text
    assert "--work-dir work_dirs/b --cfg-options load_from=edsr-s_x2\n" in text


def test_whether_a_curve_still_rises_is_told(work_dir, tmp_path):
    for i, psnr in ((100, 30.0), (140, 33.0), (160, 33.5), (200, 33.75)):
        line = {"mode": "val", "iter": i, "seconds": 1.0}
        line["results"] = [{"set": "V", "scale": 2, "protocol": "edsr-y", "psnr": psnr}]
        with open(work_dir / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
    records.write_record(work_dir, tmp_path / "results.json", name="a")
    (text,) = reproduce.pages().values()
    assert "V x2 (edsr-y): 33.75 dB at iteration 200, +0.75 dB since iteration 140" in text


def test_pages_and_cards_are_those_of_the_records():
    assert docs.changes(docs.ALWAYS) == {}, "run tools/maintain/docs.py"


def test_metafiles_hold_what_was_trained_and_where_it_is():
    found = {}
    for path in (ROOT / "configs").glob("*/metafile.yml"):
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["Models"]:
            found[model["Name"]] = model
            ours = [r["Source"] for r in model["Results"] if r["Source"].startswith("docs/results")]
            for file in (model.get("Weights"), model.get("Training Log"), *ours):
                assert file is None or (ROOT / file).is_file()
    for record in records.find_records():
        if record.name in found:
            model = found[record.name]
            assert model["Training Log"].startswith(f"docs/results/{record.name}/")
            metrics = [r["Metrics"]["PSNR"] for r in model["Results"]]
            wanted = [round(r["psnr"], 4) for r in record.results["results"]]
            assert metrics[: len(wanted)] == wanted
    for scale, name in variants("edsr-s").items():
        (weights,) = [w for m in found.values() if name in (w := m.get("Weights", ""))]
        assert weights == f"superres/weights/edsr-s_x{scale}.safetensors"


def test_a_method_folder_that_lost_its_readme_is_told(tmp_path, monkeypatch):
    (tmp_path / "configs/mine").mkdir(parents=True)
    (tmp_path / "configs/mine/metafile.yml").write_text("Models: []\n")
    monkeypatch.setattr(methods, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"mine.README\.md is missing"):
        methods.pages()


def test_weights_without_a_training_on_record_are_told(work_dir, tmp_path):
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"x")
    with pytest.raises(UserError, match="no training in docs/results was tested with this file"):
        cards.card("mine", weights)


def test_the_gallery_shows_every_scale(tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(gallery, "DOCS", tmp_path)
    monkeypatch.setattr(gallery, "PHOTOGRAPHS", {"chelsea": ("Chelsea the cat", "CC0")})
    monkeypatch.setattr(gallery, "filled", lambda page, text: text)
    (tmp_path / "images").mkdir()
    (text,) = gallery.pages().values()
    assert len(list((tmp_path / "images").iterdir())) == len(variants("edsr-s"))
    assert "CC0" in text
    for bicubic, ours in re.findall(r"edsr-s ([\d.]+) dB, [\d.]+ / ([\d.]+) dB", text):
        assert float(ours) > float(bicubic) + 0.5


def test_a_page_without_marks_is_told(tmp_path):
    (tmp_path / "page.md").write_text("# A page\n")
    with pytest.raises(UserError, match="it needs the lines"):
        filled(tmp_path / "page.md", "text")
