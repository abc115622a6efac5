"""A time limit under Slurm: saved, queued again, gone on with; the scheduler is a stand-in."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from superres.engine.train.checkpoint import iteration_files

from .conftest import CONFIG, ROOT, finish, read_trace, start
from .ranks import free_port
from .test_distributed import losses, samples

SBATCH = '''#!{python}
"""Runs a batch script as Slurm would: SIGUSR1 to the script alone when the limit is near, and once
more from the start for as long as the script has asked for it."""
import json, os, shutil, signal, subprocess, sys, time
from pathlib import Path
here = Path({here!r})
arguments = sys.argv[1:]
options = {{}}
while arguments[0].startswith("-"):
    option = arguments.pop(0)
    key, sign, value = option.partition("=")
    options[key] = value if sign else arguments.pop(0) if option == "-p" else ""
(here / "options.json").write_text(json.dumps(options))
script = shutil.copy(arguments[0], here / "spool.sh")  # Slurm runs a copy, too
which, _, name_and_time = options["--signal"].partition(":")
assert which == "B" and name_and_time.startswith("USR1@"), options
restarts = 0
while True:
    env = {{**os.environ, "SLURM_JOB_ID": "77"}}
    if restarts:
        env["SLURM_RESTART_COUNT"] = str(restarts)
    job = subprocess.Popen(["bash", script, *arguments[1:]], env=env, start_new_session=True)
    if restarts == 0:
        while not (Path({work!r}) / "iter_5.pth").exists() and job.poll() is None:
            time.sleep(0.02)
        started = time.monotonic()
        job.send_signal(signal.SIGUSR1)
    code = job.wait()
    if restarts == 0:
        (here / "seconds").write_text(str(time.monotonic() - started))
    if not (here / "requeue").exists():
        sys.exit(code)
    (here / "requeue").unlink()
    restarts += 1
'''
SRUN = '''#!{python}
"""Starts two tasks, passes signals on to them, ends with the highest exit code."""
import os, signal, subprocess, sys
arguments = sys.argv[1:]
while arguments[0].startswith("-"):
    arguments.pop(0)
env = {{**os.environ, "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0", "SLURM_NODELIST": "localhost",
        "SLURM_NTASKS_PER_NODE": "2", "MASTER_PORT": "{port}"}}
tasks = [subprocess.Popen(arguments, start_new_session=True,
                          env={{**env, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)}})
         for i in range(2)]
def forward(number, _):
    for task in tasks:  # to all processes of the step, data-loading ones too
        os.killpg(task.pid, number)
signal.signal(signal.SIGUSR1, forward)
sys.exit(max(task.wait() for task in tasks))
'''
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = requeue ]; then [ "$2" = 77 ] && touch {here}/requeue; else exit 1; fi
"""


@pytest.fixture
def scheduler(tmp_path: Path) -> Path:
    """A folder with stand-ins for sbatch, srun and scontrol."""
    here = tmp_path / "scheduler"
    here.mkdir()
    values = {
        "python": sys.executable,
        "here": str(here),
        "work": str(tmp_path / "work"),
        "port": free_port(),
    }
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        (here / name).write_text(text.format(**values))
        (here / name).chmod(0o755)
    return here


def test_the_time_limit_saves_requeues_and_resumes(scheduler, options, train, tmp_path):
    work, trace = tmp_path / "work", tmp_path / "trace.jsonl"
    often = ["max_iters=40", "checkpoint_interval=5", "val_interval=40"]
    assert train(*often, work_dir=tmp_path / "alone", trace=tmp_path / "alone.jsonl") == 0
    arguments = ["bash", str(ROOT / "tools/slurm_train.sh"), "part", "job", CONFIG]
    arguments += ["--work-dir", str(work), "--trace", str(trace), "--cfg-options", *options]
    output = finish(
        start(
            [*arguments, *often, "num_workers=1"],
            PATH=f"{scheduler}:{os.environ['PATH']}",
            PYTHON=sys.executable,
            GPUS="2",
            TIME="4:00:00",
            NOTICE="30",
        )
    )
    given = json.loads((scheduler / "options.json").read_text())
    assert given["--time"] == "4:00:00"
    assert given["--signal"] == "B:USR1@30"
    assert {"--requeue", "--open-mode", "--ntasks", "--gres"} <= set(given)
    seconds = float((scheduler / "seconds").read_text())
    print(f"{seconds:.1f} s from the signal to the end of the job")
    assert seconds < 30
    assert "time limit ahead: saving" in output
    assert "saved; continue with --resume" in output
    assert "resumed from" in output
    assert output.count("over 2 processes") == 2
    assert iteration_files(work)[0][0] == 40
    # No iteration is done twice, none is left out, and all are those of an undisturbed run.
    lines, alone = read_trace(trace), read_trace(tmp_path / "alone.jsonl")
    assert sorted((line["iter"], line["rank"]) for line in lines) == [
        (i, rank) for i in range(1, 41) for rank in (0, 1)
    ]
    assert samples(lines) == samples(alone)
    assert losses(lines) == pytest.approx(losses(alone), rel=1e-5)


def test_a_job_that_fails_is_not_queued_again(scheduler, options, tmp_path):
    arguments = ["bash", str(ROOT / "tools/slurm_batch.sh"), sys.executable]
    arguments += [str(ROOT / "tools/train.py"), "no_such_config", "--launcher", "slurm"]
    path = f"{scheduler}:{os.environ['PATH']}"
    output = finish(start(arguments, PATH=path, SLURM_JOB_ID="77"), code=2)
    assert "no_such_config" in output
    assert not (scheduler / "requeue").exists()
