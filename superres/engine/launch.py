"""Joining the other processes of a run: torchrun, Slurm, or none."""

from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import sys

import torch
from torch import distributed

from superres.errors import UserError

LAUNCHERS = ("none", "pytorch", "slurm")
JOINED = "SUPERRES_JOINED"
"""Set once the processes have found each other: until then all of them fail in the same way."""
_TIMEOUT = datetime.timedelta(minutes=int(os.environ.get("SUPERRES_DIST_TIMEOUT_MINUTES", "30")))


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Number of processes of the run."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def barrier() -> None:
    """Wait for all processes."""
    if distributed.is_initialized():
        distributed.barrier()


def gather(value: object) -> list:
    """The values of all ranks in their order, on every rank."""
    if world_size() == 1:
        return [value]
    values: list = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def broadcast(value: object) -> object:
    """Rank 0's value, on every rank."""
    if world_size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def join(launcher: str = "none") -> torch.device:
    """Initialise torch.distributed as the launcher says; gives the device to work on.

    NCCL where every process of this machine has a GPU of its own, gloo otherwise. Under torchrun
    'none' is taken for 'pytorch'.

    Raises:
        UserError: an unknown launcher, or its environment variables are not set.
    """
    if launcher not in LAUNCHERS:
        raise UserError(f"launcher {launcher!r} must be one of {', '.join(LAUNCHERS)}")
    if launcher == "none" and "TORCHELASTIC_RUN_ID" in os.environ:
        launcher = "pytorch"
    if launcher == "slurm":
        _slurm_environment()
    if launcher == "none":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    missing = [
        k for k in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if k not in os.environ
    ]
    if missing:
        raise UserError(
            f"launcher 'pytorch' needs {', '.join(missing)} in the environment: start with "
            "torchrun or tools/dist_train.sh CONFIG GPUS"
        )
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _end_with_parent()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available() and torch.cuda.device_count() >= local_size:
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        backend = "nccl" if distributed.is_nccl_available() else "gloo"
    else:
        device, backend = torch.device("cpu"), "gloo"
    # torchrun keeps one store over all restarts (torch 2.13), and addresses that the ranks of an
    # earlier attempt left there make the new ranks wait for each other for ever.
    store, number, size = next(distributed.rendezvous("env://", timeout=_TIMEOUT))
    store = distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    distributed.init_process_group(
        backend, store=store, rank=number, world_size=size, timeout=_TIMEOUT
    )
    os.environ[JOINED] = "1"
    return device


def _end_with_parent() -> None:
    """Get SIGTERM when the launcher dies, instead of waiting for the others until the timeout."""
    if sys.platform != "linux":
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def leave() -> None:
    """Undo :func:`join`."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def first_host(node_list: str) -> str:
    """The first host of Slurm's notation: ``'gpu[003-007,12],login1'`` gives ``'gpu003'``."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", node_list)
    if not match:
        raise UserError(f"cannot read a host name from SLURM_NODELIST={node_list!r}")
    return match[1] + (match[2] or "")


def _slurm_environment() -> None:
    """Translate Slurm's variables to torch.distributed's."""
    missing = [k for k in ("SLURM_PROCID", "SLURM_NTASKS") if k not in os.environ]
    if missing:
        raise UserError(
            f"launcher 'slurm' needs {', '.join(missing)} in the environment: start with srun or "
            "tools/slurm_train.sh PARTITION JOB CONFIG"
        )
    env = os.environ
    env["RANK"], env["WORLD_SIZE"] = env["SLURM_PROCID"], env["SLURM_NTASKS"]
    env.setdefault("LOCAL_RANK", env.get("SLURM_LOCALID", "0"))
    tasks = env.get("SLURM_NTASKS_PER_NODE") or env.get("SLURM_TASKS_PER_NODE") or env["WORLD_SIZE"]
    env.setdefault("LOCAL_WORLD_SIZE", re.match(r"\d+", tasks)[0])
    if "MASTER_ADDR" not in env:
        nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_NODELIST") or "localhost"
        try:
            shown = subprocess.run(
                ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
            )
            env["MASTER_ADDR"] = shown.stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            env["MASTER_ADDR"] = first_host(nodes)
    # The same on all tasks of a job step and different between them, without talking to anyone.
    job = int(env.get("SLURM_JOB_ID", "0")) + int(env.get("SLURM_STEP_ID", "0") or 0)
    env.setdefault("MASTER_PORT", str(20000 + job % 20000))
