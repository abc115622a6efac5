"""What is done to a process before its command begins: small clocks, slow renames, bad sectors.

A patch is a function of plain arguments, named in :class:`.runs.Settings` and called in the
process. It changes what the system does for the program, never what the program does.
"""

from __future__ import annotations

import builtins
import errno
import functools
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATCHES: dict[str, Callable[..., None]] = {}


def patch(function: Callable[..., None]) -> Callable[..., None]:
    """Register a patch by its name."""
    PATCHES[function.__name__] = function
    return function


@patch
def file_limit(size: int) -> None:
    """No file may grow beyond ``size`` bytes, as on a disk that fills up (another errno)."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@patch
def pace(seconds: float) -> None:
    """Packing commits often and takes its time, so that a moment is found between commits."""
    from superres.datasets.storage import writer

    writer._BATCH_BYTES = 40_000
    add = writer.PackWriter.add

    @functools.wraps(add)
    def slowly(*args: Any) -> None:
        time.sleep(seconds)
        add(*args)

    writer.PackWriter.add = slowly


@patch
def steps(seconds: float) -> None:
    """Every iteration of a training takes its time."""
    from superres.engine.train.step import TrainStep

    call = TrainStep.__call__

    @functools.wraps(call)
    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return call(*args, **kwargs)

    TrainStep.__call__ = slowly


@patch
def clock(after: float, jump: float) -> None:
    """The clock on the wall jumps by ``jump`` seconds, once, ``after`` seconds from now."""
    since = time.monotonic()
    shown, shown_ns, local, text = time.time, time.time_ns, time.localtime, time.strftime

    def now() -> float:
        return shown() + (jump if time.monotonic() - since >= after else 0.0)

    time.time = now
    time.time_ns = lambda: shown_ns() + round((now() - shown()) * 1e9)
    time.localtime = lambda seconds=None: local(now() if seconds is None else seconds)
    time.strftime = lambda form, moment=None: text(form, moment or time.localtime())


@patch
def slow_rename(number: int, seconds: float, marker: str, late: bool) -> None:
    """The ``number``-th rename takes ``seconds``; ``marker`` is written when it begins.

    Args:
        late: the rename is done at once and its answer comes late; else it is done late.
    """
    count = 0

    def slow(original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def renamed(*args: Any, **kwargs: Any) -> None:
            nonlocal count
            count += 1
            if count != number:
                return original(*args, **kwargs)
            if late:
                original(*args, **kwargs)
            Path(marker).write_text(str(args[1]))
            time.sleep(seconds)
            return None if late else original(*args, **kwargs)

        return renamed

    os.replace, os.rename = slow(os.replace), slow(os.rename)


@patch
def bad_sector(path: str, seed: int) -> None:
    """Reading ``path`` fails at a random offset, as a broken disk's does (EIO)."""
    bad = os.path.realpath(path)
    original = builtins.open
    rng = random.Random(seed)

    class Bad:
        def __init__(self, file: Any) -> None:
            self._file, self._at = file, rng.randrange(max(1, os.path.getsize(bad)))

        def read(self, size: int = -1) -> Any:
            here = self._file.tell()
            data = self._file.read(size)
            if here <= self._at < max(here + 1, self._file.tell()):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return data

        def readinto(self, buffer: Any) -> int:
            data = self.read(len(memoryview(buffer).cast("B")))
            memoryview(buffer).cast("B")[: len(data)] = data
            return len(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def __enter__(self) -> Bad:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __iter__(self) -> Any:
            return iter(self._file)

    @functools.wraps(original)
    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        found = original(file, mode, *args, **kwargs)
        if "r" in mode and not isinstance(file, int) and os.path.realpath(file) == bad:
            return Bad(found)
        return found

    builtins.open = opened
    pathlib_open = Path.open

    @functools.wraps(pathlib_open)
    def opened_path(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return opened(self, mode, *args, **kwargs)

    Path.open = opened_path
