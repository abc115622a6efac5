"""Ctrl-C, the scheduler's signals, a terminal that closes: stop after the running iteration."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType

import torch

from superres.engine.distributed import launch
from superres.stopping import STOPS

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextlib.contextmanager
def held_back(start_method: str | None) -> Iterator[None]:
    """Let :data:`STOPS` wait while data-loading processes are started.

    A signal may reach a whole job. The new processes inherit what is held back, until they are
    ready to leave these signals to the trainer; under 'spawn' that takes seconds.

    Args:
        start_method: of these processes; None is the system's own.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where nothing sends them to a job
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    if multiprocessing.get_context(start_method).get_start_method() != "fork":
        # The others need this process, whose start lets SIGINT and SIGTERM through at its end.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
    """Notes the first SIGINT or SIGTERM; a second one ends.

    SIGUSR1, Slurm's early notice, and SIGHUP, of a terminal that closes, are as SIGTERM; nohup's
    wish that SIGHUP be ignored is respected.

    The main loop asks :meth:`agreed` between iterations, saves, and exits by :data:`EXIT_CODES`.
    A launcher passes signals on and Ctrl-C in a terminal reaches all processes at once, so
    repeats within a few seconds count as one when several processes run.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0
        self._previous: dict[int, object] = {}
        self._parallel = launch.world_size() > 1

    def __enter__(self) -> StopRequest:
        for number in STOPS:
            if number not in EXIT_CODES and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._parallel and self.signal:
            return  # this process's own signal may still be on its way, and it is about to end
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number not in EXIT_CODES:
            number = signal.SIGTERM
        elapsed = time.monotonic() - self._since
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
            if int(os.environ.get("RANK", "0")) == 0:
                with contextlib.suppress(OSError):  # of a terminal that has gone
                    os.write(2, b"\nstopping after this iteration; again to stop without saving\n")
        elif elapsed > (5.0 if self._parallel else 0.3):
            os._exit(EXIT_CODES[number])

    def agreed(self, device: torch.device) -> bool:
        """Whether any process has been asked to stop. Called by all at the same iteration."""
        if not self._parallel:
            return self.signal is not None
        number = launch.largest(int(self.signal or 0))
        if number:
            if self.signal is None:  # its own comes later, and does not count as a second one
                self._since = time.monotonic()
            self.signal = number
        return bool(number)
