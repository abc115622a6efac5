"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.crashes"]

# For the packages benchmarks and maintain; last, since its scripts have everyday names.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

# A shell ignores Ctrl-C for what it runs in the background, nohup the end of the terminal, and
# children inherit that; the tests that send these to a process of their own need them to be heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Caches of decoded images lie there; no test sees those of another run.
_temporary = tempfile.TemporaryDirectory(prefix="superres-tests-", ignore_cleanup_errors=True)
os.environ["TMPDIR"] = _temporary.name

_HERE = {"localhost", "::1", "0.0.0.0", "", None, socket.gethostname()}


@pytest.fixture(autouse=True)
def _heard() -> None:
    """What other tests of this process left: logging that packages configured, a rank's name."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SLURM_PROCID"):
        os.environ.pop(name, None)
    logger = logging.getLogger("superres")
    logger.disabled, logger.propagate = False, True
    logger.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)


def _only_here(name: str, call: Callable[..., Any], position: int) -> Callable[..., Any]:
    """``call``, which refuses to leave this machine: no test may depend on the network."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        target = args[position] if len(args) > position else None
        host = target[0] if isinstance(target, tuple) else target
        host = host.decode() if isinstance(host, bytes) else host
        unix = position == 1 and not isinstance(target, tuple)
        if not unix and host not in _HERE and not str(host).startswith("127."):
            told = f"tests reach this machine only, and {name} was called for {host!r}"
            if name == "getaddrinfo":  # as where there is no network
                raise socket.gaierror(socket.EAI_NONAME, told)
            raise OSError(told)
        return call(*args, **kwargs)

    return checked


for _name in ("connect", "connect_ex"):
    setattr(socket.socket, _name, _only_here(_name, getattr(socket.socket, _name), 1))
socket.getaddrinfo = _only_here("getaddrinfo", socket.getaddrinfo, 0)


# PyPI's torchvision is built for CUDA. Beside a torch for the CPU its operators are missing, and it
# cannot be imported; those who import it for other things need their names only. Beside its own
# torch, names defined before its library is loaded would abort Python when it is.
if (_torchvision := importlib.util.find_spec("torchvision")) is not None:
    import torch

    for _library in sorted(Path(_torchvision.origin).parent.glob("_C*.so")):
        with contextlib.suppress(OSError):  # it needs libraries of CUDA
            torch.ops.load_library(str(_library))
    for _name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # it is there, as it should be
            torch.library.define(
                f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou) -> Tensor"
            )


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder with published images and golden vectors; skips where it is not at hand."""
    root = os.environ.get("SUPERRES_REFERENCE_DIR")
    if not root:
        pytest.skip("SUPERRES_REFERENCE_DIR is not set: no published images or golden vectors here")
    path = Path(root)
    if not (path / "data").is_dir():
        pytest.fail(f"SUPERRES_REFERENCE_DIR={root} has no data/ folder")
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For small images and layers: threads would mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
