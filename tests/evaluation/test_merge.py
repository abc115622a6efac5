"""Several runs in one table."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from superres.cli.main import main
from superres.errors import UserError
from superres.evaluation.merge import Run, compare, merge_runs
from superres.evaluation.results import read_results, write_results

from .records import entry, record

SEEDS = [{"a": 30.0, "b": 34.0}, {"a": 31.0, "b": 36.0}, {"a": 30.5, "b": 33.0}]
OTHER = {"a": 30.2, "b": 34.5}
BASE = {"a": 28.0, "b": 30.0}


@pytest.fixture
def folders(tmp_path):
    """Three seeds of one method and one run of another, as their folders."""
    found = []
    for number, scores in enumerate([*SEEDS, OTHER]):
        method = "ours" if number < 3 else "theirs"
        content = record(
            entry(method, scores),
            entry(method, {"c": 27.0 + number}, set_name="Set14", scale=4),
            sha256=f"{number}",
            baselines=[entry("Bicubic", BASE)],
            config=f"configs/{method}_x2.py",
        )
        write_results(tmp_path / f"run{number}", content)
        found.append(str(tmp_path / f"run{number}"))
    return found


def runs(folders):
    return [Run(path, read_results(path)) for path in folders]


def test_seeds_become_mean_and_deviation(folders):
    merged, warnings = merge_runs(runs(folders))
    assert warnings == []
    (bicubic,) = merged["baselines"]
    assert "psnr_std" not in bicubic
    assert bicubic["psnr"] == 29.0
    ours = next(e for e in merged["results"] if (e["method"], e["set"]) == ("ours", "Set5"))
    means = [np.mean(list(scores.values())) for scores in SEEDS]
    assert ours["psnr"] == pytest.approx(np.mean(means))
    assert ours["psnr_std"] == pytest.approx(np.std(means, ddof=1))
    assert ours["ssim_std"] == pytest.approx(np.std(means, ddof=1) / 100)
    assert ours["runs"] == 3
    assert ours["images"][1]["psnr"] == pytest.approx(np.mean([34, 36, 33]))


def test_two_methods_are_compared_image_by_image(folders):
    merged, _ = merge_runs(runs(folders))
    lines = compare(merged, "ours", "theirs")
    assert [(line["set"], line["scale"]) for line in lines] == [("Set5", 2), ("Set14", 4)]
    found = lines[0]["psnr"]
    differences = np.array([30.5 - 30.2, np.mean([34, 36, 33]) - 34.5])
    assert found["mean"] == pytest.approx(differences.mean())
    half = 12.7062047 * differences.std(ddof=1) / math.sqrt(2)  # t(0.975; 1)
    assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-6)
    with pytest.raises(UserError, match="no method 'nobody', but Bicubic, ours, theirs"):
        compare(merged, "ours", "nobody")


def test_the_same_weights_with_other_scores_are_refused(tmp_path):
    first = Run("one", record(entry("ours", {"a": 30.0})))
    second = Run("two", record(entry("ours", {"a": 30.1})))
    with pytest.raises(UserError, match=r"30\.10 / .* and 30\.00 / .*NAME=PATH"):
        merge_runs([first, second])
    merged, _ = merge_runs([first, first, Run("two", second.record, "chopped")])
    assert [e["method"] for e in merged["results"]] == ["ours", "chopped"]


def test_two_configs_of_one_published_method_are_two_rows():
    one = Run("one", record(entry("EDSR", {"a": 30.0}), config="configs/edsr_x2c64.py"))
    four = Run("two", record(entry("EDSR", {"a": 28.0}, scale=4), config="c/edsr_x4c64.py"))
    wide = Run("three", record(entry("EDSR", {"a": 31.0}), sha256="1", config="edsr_x2c256.py"))
    for other, names in ((four, {"EDSR"}), (wide, {"edsr_x2c64", "edsr_x2c256"})):
        merged, _ = merge_runs([one, other])
        assert {e["method"] for e in merged["results"]} == names


def test_a_published_name_that_is_given_in_the_table_is_told():
    own = record(entry("EDSR 16x64", {"a": 30.0}), config="configs/EDSR-baseline.py")
    told = "called so here, EDSR 16x64 in its results.json: not known to be the published network"

    def notes(*runs):
        return {e["method"]: e.get("notes", []) for e in merge_runs(runs)[0]["results"]}

    assert notes(Run("own", own, "RCAN")) == {"RCAN": [told]}
    assert notes(Run("own", own, "ours")) == {"ours": []}
    other = record(entry("EDSR 16x64", {"a": 31.0}), sha256="1", config="configs/mine.py")
    assert notes(Run("own", own), Run("other", other)) == {"EDSR-baseline": [told], "mine": []}
    theirs = {**record(entry("theirs", {"a": 30.0})), "published_network": {"method": "RCAN"}}
    assert notes(Run("theirs", theirs, "RCAN")) == {"RCAN": []}
    assert len(notes(Run("theirs", theirs, "EDSR"))["EDSR"]) == 1


def test_a_mean_has_the_published_score_that_stands_beside_all_of_it():
    theirs = {"method": "EDSR", "psnr": 38.0, "ssim": None, "source": "Lim et al."}
    seeds = [entry("EDSR", {"a": psnr}) | {"published": theirs} for psnr in (37.0, 38.0)]
    runs = [Run(sha, record(seed, sha256=sha)) for seed, sha in zip(seeds, "12")]
    (merged,) = merge_runs(runs)[0]["results"]
    assert merged["published"] == {**theirs, "difference": {"psnr": -0.5, "ssim": None}}
    del seeds[1]["published"]
    assert "published" not in merge_runs(runs)[0]["results"][0]


def test_what_cannot_be_compared_is_told():
    sets = [{"set": "Set5", "scale": 2, "lq_fingerprint": {"sha256": digest}} for digest in "ab"]
    one = Run("one", record(entry("ours", {"a": 30.0}), sets=sets[:1]))
    two = Run("two", record(entry("theirs", {"a": 31.0}), sets=sets[1:]))
    _, warnings = merge_runs([one, two])
    assert "low-quality images of one and two differ" in warnings[0]
    seeds = [Run("s1", record(entry("m", {"a": 1.0, "b": 2.0}), sha256="1"))]
    seeds.append(Run("s2", record(entry("m", {"a": 1.0}), sha256="2")))
    _, warnings = merge_runs(seeds)
    assert "scored on different images" in warnings[0]
    bent = record(entry("theirs", {"a": 31.0}))
    bent["protocols"]["edsr-y"]["border_extra"] = 4
    with pytest.raises(UserError, match="protocol 'edsr-y' is not that"):
        merge_runs([one, Run("bent", bent)])


def test_the_command(folders, tmp_path, capsys):
    assert main(["table", *folders]) == 0
    printed = capsys.readouterr().out
    assert "32.42 ± 0.95 / 0.3242 ± 0.0095 (n=3)" in printed
    assert "[-2.898, +3.031]" in printed
    out = tmp_path / "table.csv"
    assert main(["table", *folders, "--format", "csv", "--out", str(out)]) == 0
    lines = list(csv.DictReader(io.StringIO(out.read_text())))
    cells = {(line["method"], line["set"]): line for line in lines}
    assert float(cells["theirs", "Set5"]["psnr"]) == pytest.approx(32.35)
    capsys.readouterr()
    pair = ["--compare", "ours", "Bicubic"]
    for style, sign in (("md", "|---|---:|"), ("latex", "\\begin{tabular}{lrr}"), ("json", "[")):
        assert main(["table", f"ours={folders[0]}", "--format", style, *pair]) == 0
        text = capsys.readouterr().out
        assert sign in text
        assert "ours - Bicubic" in text or style == "json"
    comparison = json.loads(text, parse_constant=pytest.fail)["comparison"]
    assert comparison["cells"][0]["psnr"]["count"] == 2
