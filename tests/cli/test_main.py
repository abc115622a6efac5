"""The command line itself: help, unknown words, quick answers, missing libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from superres.cli.main import GROUPS, commands, main
from superres.options import whole_scale

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
    )


HELP = """
import sys
from superres.cli.main import GROUPS, commands, main
codes = [main([name, "--help"]) for name in commands()] + [main(["data", "prepare", "--help"])]
heavy = {"torch", "numpy", "cv2", "lmdb", "rich", "mmengine"} & set(sys.modules)
sys.exit(f"{heavy} imported" if heavy else any(codes))
"""


def test_help_needs_no_heavy_imports():
    done = run("-c", HELP)
    assert done.returncode == 0, done.stderr
    for word in (*commands(), "div2k", "--root", "fingerprint", "unpack", "five-crop", "browse"):
        assert word in done.stdout


def test_every_tool_is_the_command_of_its_name():
    for path in (ROOT / "tools").glob("[!_]*.py"):
        if path.name != "benchmark.py":
            code = path.read_text().split('"""')[2]
            assert code == (ROOT / "tools/train.py").read_text().split('"""')[2]
            assert path.stem.replace("_", "-") in commands()
    done = run("tools/models.py", "list", "rcan_x2*")
    assert "15.44" in done.stdout


def test_overview_has_every_command_in_one_group(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(":")] == [*(f"{g}:" for g in GROUPS), "Other:"]
    assert sorted(line.split()[0] for line in lines if line[:2] == "  " != line[1:3]) == commands()


def test_unknown_words(capsys):
    assert main(["trian"]) == 2
    assert "did you mean train" in capsys.readouterr().err
    for words in ([], ["train"], ["train", "x.py", "--no-such-option"], ["upscale"]):
        assert main(words) == 2
    assert main(["models", "gallery"]) == 2
    assert "docs/gallery.md" in capsys.readouterr().err


def test_the_shell_completes_words(tmp_path):
    pytest.importorskip("argcomplete")
    for line, found in (("superres tr", "train"), ("superres train --aut", "--auto-scale-lr")):
        env = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        env |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "found")}
        run("-m", "superres", **env)
        assert (tmp_path / "found").read_text().strip() == found


def log_of(folder, *lines):
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cut')


def test_runs_are_listed_the_best_last(tmp_path, capsys):
    def scored(*psnr):
        result = {"set": "Set5", "scale": 2, "protocol": "edsr-y"}
        results = [[{**result, "psnr": p}] for p in psnr]
        return [{"mode": "val", "iter": n, "results": r} for n, r in enumerate(results, 1)]

    start = {"mode": "event", "config": "edsr-s", "changes": {"seed": "1", "ema": "0.9"}}
    log_of(tmp_path / "a/good", start, *scored(37.25, 37.5, None, 37.0))
    log_of(tmp_path / "bad", *scored(30.0))
    log_of(tmp_path / "bad/previous_runs/1", *scored(39.0))
    assert main(["runs", str(tmp_path)]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[0] == "run"
    assert rows[0] == ["bad", "1", "30.00", "Set5", "x2", "(edsr-y)", "-", "-"]
    best = ["a/good", "4", "37.50", "Set5", "x2", "(edsr-y)", "edsr-s", "seed=1", "ema=0.9"]
    assert rows[1] == best
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert [run["psnr"] for run in json.loads(capsys.readouterr().out)] == [30.0, 37.5]
    (tmp_path / "bad/log.jsonl").write_text("[]\n")
    assert main(["runs", str(tmp_path)]) == 0
    said = capsys.readouterr()
    for damaged in ("bad/log.jsonl: line 1 ", "a/good/log.jsonl: line 6 "):
        assert said.err.count(damaged) == 1
    assert "a/good" in said.out


def test_a_scale_as_people_write_it():
    assert {whole_scale(text) for text in ("2", "x2", "2x", "X2")} == {2}
    for text in ("two", "x", "x2x", "2.5"):
        with pytest.raises(ArgumentTypeError, match=f"'{text}': a whole number such as 2 or x2"):
            whole_scale(text)


def test_a_missing_system_library_is_explained(tmp_path):
    (tmp_path / "cv2").mkdir()
    message = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({message!r})\n")
    words = ["train", "edsr_x2c64b16_g1_300k_div2k"]
    result = run("-m", "superres", *words, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert "libgl1" in result.stderr


def test_a_missing_package_is_named(tmp_path):
    (tmp_path / "mmengine.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'mmengine'\", name='mmengine')\n"
    )
    result = run("-m", "superres", "train", "x", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert result.returncode == 2
    assert "'mmengine' is not installed" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_output_onto_a_full_disk_is_told():
    command = [sys.executable, "-m", "superres"]
    with open("/dev/full", "w") as full:
        for words in (["models", "list"], ["--help"]):
            done = subprocess.run([*command, *words], stdout=full, stderr=-1, text=True)
            assert done.returncode == 2
            told = "error: the output could not be written: no space is left where it goes\n"
            assert done.stderr == told
        # A mistake that cannot be told keeps its exit code.
        words = ["table", "no-such-file"]
        assert subprocess.run([*command, *words], stdout=full, stderr=full).returncode == 2


def test_standard_input_that_is_closed_is_told():
    command = f"{sys.executable} -m superres upscale - -o - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert "standard input" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["table", "upscale -m edsr-s", "quickstart --data-root"])
def test_a_name_longer_than_any_file_has_is_one_message(command, capsys):
    assert main([*command.split(), "x" * 5000]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error) < 6000


@pytest.mark.skipif(os.name == "nt", reason="a folder in use cannot be removed there")
def test_a_current_folder_that_is_gone_is_told(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone}; rmdir {gone}; {sys.executable} -m superres models list"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "the current folder is gone" in done.stderr
