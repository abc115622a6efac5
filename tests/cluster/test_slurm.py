"""Trainings under a real Slurm: stopped, queued again, gone on with, and refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import CONFIG, ROOT, differences, read_trace, tiny_options

from .slurm import Cluster, until

ITERATIONS = 300
NODES = {"GPUS": "2", "GPUS_PER_NODE": "1", "CPUS_PER_TASK": "1", "MASTER_ADDR": "127.0.0.1"}
slow = pytest.mark.slurm


class Run:
    """A training of two ranks on two nodes, not yet started."""

    def __init__(self, cluster: Cluster, world: Path, folder: Path, *options: str) -> None:
        self.cluster, self.work, self.trace = cluster, folder / "work", folder / "trace.jsonl"
        self.log, self.number = folder / "job.log", ""
        self.options = [*tiny_options(world), f"max_iters={ITERATIONS}", "val_sets=[]"]
        self.options += ["test_sets=[]", "checkpoint_interval=20", *options]

    def start(self, partition: str = "low", code: int | None = 0, **env: str) -> str:
        """By tools/slurm_train.sh; its output. With TIME it is a batch job, of ``number``."""
        script = str(ROOT / "tools/slurm_train.sh")
        arguments = [partition, "job", CONFIG, "--work-dir", str(self.work)]
        arguments += ["--trace", str(self.trace), "--cfg-options", *self.options]
        env = {**NODES, "PYTHON": sys.executable, "LOG": str(self.log)} | env
        output = self.cluster.call("bash", script, *arguments, code=code, **env)
        found = re.search(r"Submitted batch job (\d+)", output)
        self.number = found[1] if found else ""
        return output

    def wait_until_it_trains(self) -> None:
        """For its second checkpoint."""
        until(lambda: len(list(self.work.glob("iter_*.pth"))) > 1, 120, self.text)

    def text(self) -> str:
        """The batch job's log so far."""
        return self.log.read_text() if self.log.exists() else "no log"

    def equals(self, other: Run) -> bool:
        """Whether it has trained as another: no iteration left out, none twice, all of one size."""
        lines, others = (sorted(map(str, read_trace(run.trace))) for run in (self, other))
        name = f"iter_{ITERATIONS}.pth"
        return lines == others and differences(self.work / name, other.work / name) == []


@pytest.fixture(scope="module")
def undisturbed(cluster, world, tmp_path_factory) -> Run:
    """In the foreground."""
    run = Run(cluster, world, tmp_path_factory.mktemp("undisturbed"))
    said = run.start()
    assert "over 2 processes" in said
    assert "partition low has no GPUs: 2 processes on its CPUs" in said
    return run


@pytest.fixture
def run(cluster, world, tmp_path) -> Run:
    """One to start."""
    return Run(cluster, world, tmp_path)


def test_notice_of_the_time_limit_saves_and_the_job_goes_on(run, undisturbed):
    run.start(TIME="5:00", NOTICE="120")
    run.wait_until_it_trains()
    # As Slurm does near the limit, to the batch script alone (--signal=B:USR1@120).
    run.cluster.call("scancel", "--batch", "--signal=USR1", run.number)
    job = run.cluster.wait_for(run.number, "COMPLETED", "FAILED")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), run.text()
    for words in ("time limit ahead: saving", "continue with --resume", "resumed from"):
        assert words in run.text()
    assert run.equals(undisturbed)


def test_scancel_saves_and_the_job_is_not_queued_again(run):
    run.options += ["max_iters=100000"]
    run.start(TIME="5:00")
    run.wait_until_it_trains()
    run.cluster.call("scancel", run.number)
    job = run.cluster.wait_for(run.number, "CANCELLED")
    assert job["Restarts"] == "0"
    until(lambda: "saved; continue with --resume" in run.text(), 30, run.text)


def test_several_processes_that_do_not_know_of_each_other_are_refused(run):
    command = ["srun", "-n2", "-N2", sys.executable, str(ROOT / "tools/train.py"), CONFIG]
    output = run.cluster.call(*command, "--work-dir", str(run.work), code=2)
    assert output.count("error:") - output.count("srun: error:") == 1
    assert "2 processes were started, by srun" in output
    assert "--launcher slurm" in output
    assert not run.work.exists()


@pytest.mark.parametrize("time", ["2:00", "2", "0:02:00", "0-0:2"])
def test_notice_that_leaves_no_time_is_refused(run, time):
    output = run.start(TIME=time, NOTICE="61", code=2)
    assert f"NOTICE=61 leaves less than a minute of TIME={time}" in output
    assert not run.number


@slow
def test_the_time_limit_itself(run):
    run.options += ["max_iters=1000000", "max_keep_checkpoints=2", "log_interval=1000"]
    run.start(TIME="2:00", NOTICE="60")
    for words in ("time limit ahead: saving", "resumed from"):
        until(lambda words=words: words in run.text(), 150, run.text)
    run.cluster.call("scancel", run.number)
    assert run.cluster.wait_for(run.number, "CANCELLED")["Restarts"] == "1"


@slow
@pytest.mark.parametrize(
    ("partition", "ours"), [("low", False), ("graceful", True)], ids=["at once", "with grace"]
)
def test_a_job_that_goes_before(run, undisturbed, partition, ours):
    """Whether the batch script has to queue its job again, or Slurm does."""
    run.start(partition, TIME="5:00")
    run.wait_until_it_trains()
    first = "sbatch --partition=high --nodes=2 --ntasks=16 --output=/dev/null --wrap=true"
    run.cluster.call(*first.split())
    job = run.cluster.wait_for(run.number, "COMPLETED", "FAILED", "CANCELLED")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), run.text()
    assert ("stopped from outside, and saved: to be queued again" in run.text()) == ours
    assert "resumed from" in run.text()
    assert run.equals(undisturbed)


@slow
def test_notice_while_python_starts(run, undisturbed):
    run.start(TIME="5:00")
    run.cluster.wait_for(run.number, "RUNNING")
    until(lambda: run.cluster.call("squeue", "--steps", "--noheader").strip(), 20)
    run.cluster.call("scancel", "--batch", "--signal=USR1", run.number)
    job = run.cluster.wait_for(run.number, "COMPLETED", "FAILED")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), run.text()
    assert run.equals(undisturbed)


@slow
def test_a_rank_that_is_killed(run):
    import psutil

    run.options += ["max_iters=100000"]
    run.start(TIME="5:00")
    run.wait_until_it_trains()
    mine = [
        p for p in psutil.process_iter(["cmdline"]) if str(run.work) in (p.info["cmdline"] or [])
    ]
    rank = next(p for p in mine if "train.py" in " ".join(p.info["cmdline"][:3]))
    rank.kill()
    job = run.cluster.wait_for(run.number, "FAILED", "COMPLETED")
    assert job["ExitCode"] == "1:0", run.text()
    assert run.text().count("error: a process") == 1
    assert "memory runs out" in run.text()


@slow
def test_two_jobs_that_meet_on_one_port(cluster, world, tmp_path_factory, undisturbed):
    first, second = (Run(cluster, world, tmp_path_factory.mktemp("job")) for _ in range(2))
    first.options += ["max_iters=3000"]
    first.start(TIME="5:00", MASTER_PORT="21999")
    first.wait_until_it_trains()
    second.start(TIME="5:00", MASTER_PORT="21999")
    assert cluster.wait_for(second.number, "FAILED", "COMPLETED")["ExitCode"] == "2:0"
    assert "port 21999 is in use" in second.text(), second.text()
    assert cluster.wait_for(first.number, "FAILED", "COMPLETED")["ExitCode"] == "0:0", first.text()
