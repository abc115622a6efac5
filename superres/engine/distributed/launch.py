"""Joining the other processes of a run: torchrun, Slurm, or none."""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import re
import signal
import socket
import sys
import time
import uuid
from typing import Any

import torch
from mmengine import dist
from torch import distributed

from superres.errors import UserError, some

from .failure_report import TIMEOUT, Peers

LAUNCHERS = ("none", "pytorch", "slurm")
JOINED = "SUPERRES_JOINED"
"""Set while processes may fail differently from each other: then each tells of its own failure."""

_control: Any = None  # a gloo group beside NCCL's, for what concerns no GPU; None: the default one
_peers: Peers | None = None


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return dist.get_rank()


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size()


def peers() -> Peers | None:
    """The other processes of the run, None where there are none."""
    return _peers


def barrier() -> None:
    """Wait for all processes."""
    gather(None)


def gather(value: object) -> list:
    """The values of all ranks in their order, on every rank."""
    return dist.all_gather_object(value, _control)


def broadcast(value: object) -> object:
    """Rank 0's value, on every rank."""
    box = [value]
    dist.broadcast_object_list(box, 0, _control)
    return box[0]


def largest(number: int) -> int:
    """The largest of the ranks' numbers, without a word to the GPU."""
    box = torch.tensor([number])
    dist.all_reduce(box, "max", _control)
    return int(box.item())


def mean(numbers: list[float]) -> list[float]:
    """The means of the ranks' numbers, without a word to the GPU."""
    box = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(box, "mean", _control)
    return box.tolist()


def report_once() -> None:
    """All ranks are about to raise the same mistake: rank 0 shall print it, and where torchrun was
    started by hand on each machine, the first rank of each."""
    first = rank() == 0
    if "TORCHELASTIC_RUN_ID" in os.environ:
        first = os.environ.get("LOCAL_RANK", "0") == "0"
    if not first:
        os.environ.pop(JOINED, None)


def name_ranks(ranks: list[int]) -> str:
    """``'rank 3 (process 17 on gpu2)'``, ``'ranks 3, 4, 5 and 9 more'``."""
    if len(ranks) > 1:
        return f"ranks {some(ranks)}"
    return f"rank {ranks[0]}" + (f" ({_peers.processes[ranks[0]]})" if _peers else "")


def timeout(seconds: float | None = None) -> datetime.timedelta:
    """How long processes wait for each other: as the environment says, the config, or 15 minutes.

    Raises:
        UserError: the environment variable is not a positive number.
    """
    text = os.environ.get(TIMEOUT, str(seconds / 60 if seconds else 15))
    with contextlib.suppress(ValueError, OverflowError):  # text, nan, inf
        found = datetime.timedelta(minutes=float(text))
        if found > datetime.timedelta():
            return found
    raise UserError(f"{TIMEOUT}={text!r} must be a number of minutes, e.g. 15")


def join(
    launcher: str = "none", wanted: str | None = None, seconds: float | None = None
) -> torch.device:
    """Initialise torch.distributed as the launcher says; returns the device to work on.

    NCCL where every process of this machine has a GPU of its own, gloo otherwise, or where it is
    ``wanted``. Under torchrun 'none' is taken for 'pytorch'. ``seconds``: see :func:`timeout`.

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
        _refuse_several()
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    _need("pytorch", needed, "torchrun or tools/dist_train.sh CONFIG GPUS")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _end_with_parent()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = choose(cards, local_rank, local_size, launcher == "slurm")
    nccl = device.type == "cuda" and distributed.is_nccl_available()
    backend = "nccl" if nccl and wanted != "gloo" else "gloo"
    if backend == "gloo" and wanted != "gloo" and os.environ["RANK"] == "0":
        why = "this torch has no NCCL" if device.type == "cuda" else "NCCL needs a GPU"
        if wanted or device.type == "cuda":
            print(f"warning: {why}; gloo connects the processes", file=sys.stderr, flush=True)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    os.environ[JOINED] = "1"  # already now: a rank that does not find the others has to say so
    _rendezvous(backend, timeout(seconds))
    return device


def choose(cards: int, local_rank: int, local_size: int, slurm: bool = False) -> torch.device:
    """The device of a process.

    Args:
        cards: GPUs that it sees.
        local_rank, local_size: its number among those of its machine.
        slurm: Slurm may show each task one GPU of its own.

    Raises:
        UserError: fewer GPUs than processes.
    """
    if cards == 0:
        return torch.device("cpu")
    if cards == 1 and slurm:
        local_rank, local_size = 0, 1
    if cards < local_size:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise UserError(
            f"{local_size} processes were started on {socket.gethostname()}, but torch sees "
            f"{cards} GPU{'s' * (cards > 1)} there (CUDA_VISIBLE_DEVICES={visible!r}); start as "
            "many as there are GPUs, or set CUDA_VISIBLE_DEVICES= (empty) for the CPU"
        )
    return torch.device("cuda", local_rank)


def _rendezvous(backend: str, wait: datetime.timedelta) -> None:
    """Find the other processes and connect to them.

    Raises:
        UserError: not all join in time, or the address cannot be used.
    """
    global _control, _peers
    host, seconds = socket.gethostname(), wait.total_seconds()
    address, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    try:
        socket.getaddrinfo(address, port)  # torch would say so in pages of frames
    except OSError as error:
        raise UserError(
            f"no machine is known by the name MASTER_ADDR={address!r} on {host} "
            f"({error.strerror}); set it to an address of rank 0's machine"
        ) from None
    try:
        store, number, size = next(distributed.rendezvous("env://", timeout=wait))
        _require_same_job(store, number, f"{address}:{port}")
        # torchrun keeps one store over all restarts (torch 2.13), and addresses that the ranks of
        # an earlier attempt left there make the new ranks wait for each other for ever.
        store = distributed.PrefixStore(_attempt_id(store, number, size, seconds), store)
    except (distributed.DistError, ValueError) as error:
        text, first = str(error), str(error).partition("\n")[0][:200]
        if "EADDRINUSE" in text or "already in use" in text:
            raise UserError(
                f"port {port} is in use on {host}; set MASTER_PORT to a free one on all machines"
            ) from error
        joined = re.search(r"(\d+)/(\d+) clients joined", text)
        what = f"rank {os.environ['RANK']} on {host} could not reach {address}:{port}"
        what = f"{joined[1]} of {joined[2]} ranks joined {address}:{port}" if joined else what
        raise UserError(
            f"{what} within {seconds:g} s: is MASTER_ADDR right, is rank 0 running there, and what "
            f"does the others' own output say? {TIMEOUT} sets how long ranks wait ({first})"
        ) from error
    # Where gloo watches over the run, NCCL's own watch, which ends the process, comes later.
    later = datetime.timedelta(minutes=1) if backend == "nccl" else datetime.timedelta()
    try:
        distributed.init_process_group(
            backend, store=store, rank=number, world_size=size, timeout=wait + later
        )
        if backend == "nccl":
            _control = distributed.new_group(backend="gloo", timeout=wait)
    except RuntimeError as error:
        raise UserError(
            f"rank {number} on {host} cannot connect to the other processes: "
            f"{str(error).splitlines()[0][:300]}. On machines with several networks name the one "
            "that they share in GLOO_SOCKET_IFNAME (and NCCL_SOCKET_IFNAME)"
        ) from error
    if size > 1:
        _peers = Peers(store, number, gather(f"process {os.getpid()} on {host}"))


def _require_same_job(store: Any, number: int, address: str) -> None:
    """Keep out of a store in which another job's processes meet, on a port that both have taken.

    Raises:
        UserError: rank 0 is another job's.
    """
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID")
    own = ".".join(os.environ.get(name, "") for name in names)
    if number == 0:
        store.set("job", own)
    elif (other := store.get("job").decode()) != own:
        raise UserError(
            f"rank {number} on {socket.gethostname()} has met another job at {address} "
            f"({other.strip('.')}, not {own.strip('.')}): set MASTER_PORT to a free port"
        )


def _attempt_id(store: Any, number: int, size: int, wait: float) -> str:
    """Unique id of this restart attempt, agreed on by all ranks.

    Rank 0 makes it and answers every greeting with it until each rank has confirmed it: what it
    first finds in the store may be a greeting of a rank that has died since. (torchrun's count of
    restarts cannot serve: each machine counts its own.)

    Raises:
        UserError: a rank did not come in time.
    """
    own = uuid.uuid4().hex[:16]
    if number:
        store.set(f"hello/{number}", own)
        attempt = store.get(f"welcome/{own}").decode()
        store.set(f"heard/{attempt}/{number}", "1")
        return attempt
    absent = set(range(1, size))
    deadline = time.monotonic() + wait
    while absent and time.monotonic() < deadline:
        for other in sorted(absent):
            if store.check([f"heard/{own}/{other}"]):
                absent.discard(other)
            elif store.check([f"hello/{other}"]):
                store.set("welcome/" + store.get(f"hello/{other}").decode(), own)
        time.sleep(0.005)
    if absent:
        raise UserError(
            f"{size - len(absent)} of {size} ranks joined within {wait:g} s, but not "
            f"{name_ranks(sorted(absent))}: see their own output. {TIMEOUT} sets how long ranks "
            "wait"
        )
    return own


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
    """Close the connections, which the other ranks notice; do nothing without any."""
    global _control, _peers
    _control = _peers = None
    if distributed.is_initialized():
        gc.collect()  # a model that still holds the group keeps its threads, which outlive Python
        # What is left to say to processes that are gone must not hide why we leave.
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()


def _need(launcher: str, names: tuple[str, ...], start: str) -> None:
    missing = ", ".join(name for name in names if name not in os.environ)
    if missing:
        raise UserError(
            f"launcher {launcher!r} needs {missing} in the environment: start with {start} "
            "(--launcher none: one process)"
        )


def first_host(node_list: str) -> str:
    """The first host of Slurm's notation: ``'gpu[003-007,12],login1'`` is ``'gpu003'``."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", node_list)
    if not match:
        raise UserError(f"cannot read a host name from SLURM_NODELIST={node_list!r}")
    return match[1] + (match[2] or "")


def _refuse_several() -> None:
    """One process is to train, but several were started.

    Raises:
        UserError: by srun or mpirun; each would train the whole in the same folder.
    """
    sizes = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
    number = max(int(os.environ.get(name) or 1) for name in sizes)
    if number == 1:
        return
    ranks = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
    if any(int(os.environ.get(name) or 0) for name in ranks):
        raise SystemExit(2)  # the first one says why
    raise UserError(
        f"{number} processes were started, by srun or mpirun, each would train alone: name "
        "--launcher slurm (srun), or start with tools/dist_train.sh CONFIG GPUS on each machine"
    )


def _slurm_environment() -> None:
    """Translate Slurm's variables to torch.distributed's."""
    _need("slurm", ("SLURM_PROCID", "SLURM_NTASKS"), "srun or tools/slurm_train.sh PARTITION JOB")
    env = os.environ
    env["RANK"], env["WORLD_SIZE"] = env["SLURM_PROCID"], env["SLURM_NTASKS"]
    env.setdefault("LOCAL_RANK", env.get("SLURM_LOCALID", "0"))
    tasks = env.get("SLURM_NTASKS_PER_NODE") or env.get("SLURM_TASKS_PER_NODE") or env["WORLD_SIZE"]
    env.setdefault("LOCAL_WORLD_SIZE", re.match(r"\d+", tasks)[0])
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_NODELIST") or "localhost"
    env.setdefault("MASTER_ADDR", first_host(nodes))
    # The same on all tasks of a job step and different between them, without talking to anyone.
    # Below 32768, where systems take the ports of outgoing connections from.
    job, step = (int(env.get(f"SLURM_{what}_ID") or 0) for what in ("JOB", "STEP"))
    env.setdefault("MASTER_PORT", str(20000 + (job * 131 + step) % 12000))
