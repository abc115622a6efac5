"""``superres train CONFIG --check``."""

from __future__ import annotations

from pathlib import Path

import pytest

from superres.cli.main import main

from .conftest import CONFIG, ROOT


def tried(options, work, *extra):
    arguments = ["train", CONFIG, "--check", "--work-dir", str(work), "--cfg-options", *options]
    return main([*arguments, *extra])


def test_it_says_what_a_training_takes_and_leaves_nothing(options, tmp_path, capsys):
    assert tried(options, tmp_path / "runs/work", "max_iters=3000", "num_workers=1") == 0
    said = capsys.readouterr().out
    assert "tried: 5 iterations" in said
    assert "of 4 images each" in said
    assert "3,000 take" in said
    assert f"work dir {tmp_path / 'runs/work'}" in said
    assert "max_iters = 3000 (300000)" in said
    assert "model.backbone.channels = 8 (64)" in said
    assert list(tmp_path.iterdir()) == []


def test_notes_on_a_config_are_said_once(options, tmp_path, caplog):
    """Of one that is made of parts, and so is its own base, as a translated one is."""
    text = Path(CONFIG).read_text().replace("'../_base_", f"'{ROOT}/configs/_base_")
    (tmp_path / "mine.py").write_text(text + "log_processor = dict(window_size=9)\n")
    command = ["train", str(tmp_path / "mine.py"), "--check", "--work-dir", str(tmp_path / "work")]
    assert main([*command, "--cfg-options", *options]) == 0
    assert caplog.text.count("log_processor (") == 1


def test_a_run_that_is_there_is_not_touched(train, options, tmp_path, capsys):
    assert train(work_dir=tmp_path / "work") == 0
    before = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "work").rglob("*")}
    assert tried(options, tmp_path / "work") == 0
    assert {f.name: f.stat().st_mtime_ns for f in (tmp_path / "work").rglob("*")} == before


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("val_sets=[nosuch]", "nosuch"),
        ("optim_wrapper.optimizer.type=Adamm", "did you mean"),
        ("checkpoint_interval=1 max_iters=10000000000 max_keep_checkpoints=10000000000", "free"),
    ],
)
def test_what_would_end_the_training_later_is_told(option, words, options, tmp_path, capsys):
    assert tried(options, tmp_path / "work", *option.split()) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_from_where_the_training_would(train, options, tmp_path, capsys):
    work = tmp_path / "work"
    assert train("max_iters=6", work_dir=work) == 0
    capsys.readouterr()
    arguments = ["train", CONFIG, "--check", "--work-dir", str(work), "--resume"]
    assert main([*arguments, "nowhere.pth", "--cfg-options", *options]) == 2
    assert "nowhere.pth: no such file" in capsys.readouterr().err
    other = ["--cfg-options", *options, "model.backbone.channels=16"]
    assert main([*arguments, "auto", *other]) == 2
    assert main([*arguments, "auto", "--cfg-options", *options, "max_iters=20"]) == 0
    assert "14 take" in capsys.readouterr().out
    assert tried(options, work) == 0
    assert "will be moved to previous_runs" in capsys.readouterr().out
