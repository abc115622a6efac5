"""SIGTERM and a terminal that closes, unwound like Ctrl-C: nothing half-written is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATED = 143
"""Exit code."""


_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
STOPS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What a person, a scheduler and a terminal that closes send to a whole job."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` at SIGTERM and SIGHUP.

    Not where a signal is ignored (nohup), nor outside of the main thread. Nor with several ranks:
    one that waits for the others would hear of it only when they answer, so it ends at once.
    """

    def stop(*_: object) -> None:
        raise Terminated

    ranks = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
    before = {}
    try:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and ranks == 1 and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
