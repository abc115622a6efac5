"""Joining the other processes of a run: torchrun, Slurm, or none."""

from __future__ import annotations

import contextlib
import datetime
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

from .failure_report import Peers

LAUNCHERS = ("none", "pytorch", "slurm")
JOINED = "SUPERRES_JOINED"
"""Set while processes may fail differently from each other: then each tells of its own failure."""
TIMEOUT = "SUPERRES_DIST_TIMEOUT_MINUTES"

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


def speak_as_one() -> None:
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
        UserError: the environment variable is no positive number.
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
    """Initialise torch.distributed as the launcher says; gives the device to work on.

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
    device, backend, note = choose(
        cards, local_rank, local_size, distributed.is_nccl_available(), launcher == "slurm"
    )
    if wanted == "nccl" and backend == "gloo" and not note:
        note = "env_cfg.dist_cfg.backend = 'nccl' needs a GPU; gloo connects the processes"
    if wanted == "gloo":
        backend, note = wanted, note if device.type == "cpu" else ""
    if note and os.environ["RANK"] == "0":
        print(f"warning: {note}", file=sys.stderr, flush=True)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    os.environ[JOINED] = "1"  # already now: who does not meet the others has to say so itself
    _meet(backend, timeout(seconds))
    return device


def choose(
    cards: int, local_rank: int, local_size: int, nccl: bool, slurm: bool = False
) -> tuple[torch.device, str, str]:
    """(device, backend, warning) of a process.

    Args:
        cards: GPUs that it sees.
        local_rank, local_size: its number among those of its machine.
        nccl: whether this torch has NCCL.
        slurm: Slurm may show each task one GPU of its own.

    Raises:
        UserError: fewer GPUs than processes.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if cards == 0:
        empty = visible is not None and visible.strip() in ("", "-1")
        note = f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs: training on the CPU"
        return torch.device("cpu"), "gloo", note if empty else ""
    if cards == 1 and slurm:
        local_rank, local_size = 0, 1
    if cards < local_size:
        raise UserError(
            f"{local_size} processes were started on {socket.gethostname()}, but torch sees "
            f"{cards} GPU{'s' * (cards > 1)} there"
            + (f" (CUDA_VISIBLE_DEVICES={visible!r})" if visible is not None else "")
            + "; start as many as there are GPUs, or set CUDA_VISIBLE_DEVICES= (empty) for the CPU"
        )
    note = "" if nccl else "this torch has no NCCL: gloo connects the GPUs, which is slow"
    return torch.device("cuda", local_rank), "nccl" if nccl else "gloo", note


def _meet(backend: str, wait: datetime.timedelta) -> None:
    """Find the other processes and connect to them.

    Raises:
        UserError: they do not all come, or the place to meet cannot be had.
    """
    global _control, _peers
    host, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    address = f"{host}:{port}"
    try:
        socket.getaddrinfo(host, port)  # torch would say so in pages of frames
    except OSError as error:
        raise UserError(
            f"no machine is known by the name MASTER_ADDR={host!r} on {socket.gethostname()} "
            f"({error.strerror}); set it to an address of rank 0's machine"
        ) from None
    try:
        store, number, size = next(distributed.rendezvous("env://", timeout=wait))
    except (distributed.DistError, ValueError) as error:
        raise UserError(_no_meeting(address, str(error), wait)) from error
    _same_job(store, number, address)
    # torchrun keeps one store over all restarts (torch 2.13), and addresses that the ranks of an
    # earlier attempt left there make the new ranks wait for each other for ever.
    store = distributed.PrefixStore(_word(store, number, size, wait.total_seconds()), store)
    if backend == "nccl" and "NCCL_SOCKET_IFNAME" in os.environ:
        interface = os.environ["NCCL_SOCKET_IFNAME"].split(",")[0]
        if interface[:1] not in ("^", "="):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
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
            f"rank {number} on {socket.gethostname()} cannot connect to the other processes: "
            f"{str(error).splitlines()[0][:300]}. On machines with several networks name the one "
            "that they share in GLOO_SOCKET_IFNAME (and NCCL_SOCKET_IFNAME)"
        ) from error
    if size > 1:
        own = f"process {os.getpid()} on {socket.gethostname()}"
        _peers = Peers(store, number, gather(own))


def _same_job(store: Any, number: int, address: str) -> None:
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


def _no_meeting(address: str, error: str, wait: datetime.timedelta) -> str:
    if "EADDRINUSE" in error or "already in use" in error:
        return (
            f"port {address.rpartition(':')[2]} is in use on {socket.gethostname()}, where the "
            "processes are to meet; set MASTER_PORT to a free one on all machines"
        )
    came = re.search(r"(\d+)/(\d+) clients joined", error)
    what = f"rank {os.environ['RANK']} on {socket.gethostname()} could not reach {address}"
    if came:
        what = f"only {came[1]} of {came[2]} processes have come to {address}"
    return (
        f"{what} within {wait.total_seconds():g} s: is MASTER_ADDR right, is rank 0 running there, "
        f"and what does the others' own output say? {TIMEOUT} sets how long one waits "
        f"({error.splitlines()[0][:200] if error else 'no answer'})"
    )


def _word(store: Any, number: int, size: int, wait: float) -> str:
    """A word that the ranks of this attempt share, and no rank of an earlier one has heard.

    Rank 0 makes it and answers every greeting with it until each rank has confirmed it: what it
    first finds in the store may be a greeting of a rank that has died since. (torchrun's count of
    restarts cannot serve: each machine counts its own.)

    Raises:
        UserError: a rank did not come in time.
    """
    own = uuid.uuid4().hex[:16]
    if number:
        store.set(f"hello/{number}", own)
        try:
            word = store.get(f"welcome/{own}").decode()
        except distributed.DistError as error:
            raise UserError(
                f"rank {number} on {socket.gethostname()}: rank 0 gave no answer within {wait:g} "
                "s; its own output may say why"
            ) from error
        store.set(f"heard/{word}/{number}", "1")
        return word
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
            f"{len(absent)} of {size} processes have not come within {wait:g} s: "
            f"{name_ranks(sorted(absent))}; their own output may say why. {TIMEOUT} sets how "
            "long one waits"
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
    """Undo :func:`join`."""
    global _control, _peers
    if _peers is not None:
        _peers.close()
    _control = _peers = None
    hang_up()


def hang_up() -> None:
    """Close the connections, of which the others hear; where there are none, nothing."""
    if distributed.is_initialized():
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
    """The first host of Slurm's notation: ``'gpu[003-007,12],login1'`` gives ``'gpu003'``."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", node_list)
    if not match:
        raise UserError(f"cannot read a host name from SLURM_NODELIST={node_list!r}")
    return match[1] + (match[2] or "")


def _refuse_several() -> None:
    """One process is to train, but several were started.

    Raises:
        UserError: by srun or mpirun; each would train the whole in the same folder.
    """
    env = os.environ
    advice = "start with tools/dist_train.sh CONFIG GPUS on each machine"
    several = (
        ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "name --launcher slurm"),
        ("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", advice),
        ("mpirun", "PMI_SIZE", "PMI_RANK", advice),
    )
    for program, size, number, instead in several:
        if int(env.get(size) or 1) > 1:
            if int(env.get(number) or 0):
                raise SystemExit(2)  # the first one says why
            message = (
                f"{program} has started {env[size]} processes, each of which would train alone"
            )
            raise UserError(f"{message}; {instead}")


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
