"""A Slurm of two nodes on this machine, on the loopback device."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol")

# cred_expire is also how long a job that is queued again has to wait. Nodes have more CPUs than
# this machine, and no GPUs though the cluster knows of such a thing.
CONF = """
ClusterName=test
FirstJobId={job}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={here}/munge.sock,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd-%n.pid
SlurmdSpoolDir={here}/spool-%n
StateSaveLocation={here}/state
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd-%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=30
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=8
PartitionName=low Nodes=n[1-2] Default=YES PriorityTier=1
PartitionName=graceful Nodes=n[1-2] PriorityTier=1 GraceTime=30
PartitionName=high Nodes=n[1-2] PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why Slurm cannot be started here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    return ""


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Cluster:
    """What tests ask of it. ``env`` is the environment of its commands."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.env = {**os.environ, "PATH": _path(), "SLURM_CONF": str(here / "slurm.conf")}
        self.env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def call(self, *command: str, code: int | None = 0, **env: str) -> str:
        """The output of a command that has to end with ``code``; None: with any."""
        found = subprocess.run(
            command, env={**self.env, **env}, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, cwd=self.here,
        )  # fmt: skip
        assert code in (None, found.returncode), f"ended with {found.returncode}: {found.stdout}"
        return found.stdout

    def job(self, number: str) -> dict[str, str]:
        """What Slurm says of a job, by its words: JobState, ExitCode, Restarts, ..."""
        words = self.call("scontrol", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, number: str, *states: str, seconds: float = 120) -> dict[str, str]:
        """The job, once it is in one of ``states``."""
        until(
            lambda: self.job(number)["JobState"] in states, seconds, lambda: str(self.job(number))
        )
        return self.job(number)


def until(true: Callable[[], object], seconds: float, told: Callable[[], str] = str) -> None:
    """Wait until something holds; fails with ``told()`` where it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, told()
        time.sleep(0.1)


@contextlib.contextmanager
def running(here: Path) -> Iterator[Cluster]:
    """The cluster, ended with all its processes afterwards."""
    cluster = Cluster(here)
    key, user = here / "munge.key", getpass.getuser()
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    here.chmod(0o755)
    for folder in ("state", "spool-n1", "spool-n2"):
        (here / folder).mkdir()
    # Test workers may each have a cluster: their jobs must not meet on one port.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    values = {"host": socket.gethostname().split(".")[0], "user": user, "job": 1 + 1000 * worker}
    values["ports"] = _ports(17000 + 500 * worker, 3)
    (here / "slurm.conf").write_text(CONF.format(here=here, **values))
    files = {"key-file": key, "socket": here / "munge.sock", "pid-file": here / "munged.pid"}
    files |= {"log-file": here / "munged.log", "seed-file": here / "munge.seed"}
    daemons = [
        ["munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in files.items())],
        *(["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"]),
    ]
    started = []
    try:
        for daemon in daemons:
            program = shutil.which(daemon[0], path=_path())
            with open(here / "said.log", "a") as log:
                command = [program, *daemon[1:]]
                started.append(subprocess.Popen(command, env=cluster.env, stdout=log, stderr=log))
            if daemon[0] == "munged":
                until((here / "munge.sock").exists, 20)
        up = ("sinfo", "--noheader", "--partition=low", "--states=idle", "--format=%D")
        until(
            lambda: cluster.call(*up, code=None).strip() == "2",
            60,
            lambda: "".join(log.read_text() for log in here.glob("*.log"))[-3000:],
        )
        yield cluster
    finally:
        if len(started) > 1:
            cluster.call("scancel", f"--user={user}", "--signal=KILL", "--full", code=None)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _ports(start: int, count: int) -> list[int]:
    """Free ports that follow each other, below those that jobs take."""
    for first in range(start, start + 490, 7):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return list(range(first, first + count))
    raise AssertionError("no free ports")
