"""Ctrl-C and the scheduler's signals: stop after the iteration that is running."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

import torch

from . import launch

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """Notes the first SIGINT, SIGTERM (or SIGUSR1, Slurm's early notice); a second one ends.

    The main loop asks :meth:`agreed` between iterations, saves, and exits with ``exit_code``.
    A launcher passes signals on and Ctrl-C in a terminal reaches all processes at once, so
    repeats within a few seconds count as one when several processes run.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0
        self._previous: dict[int, object] = {}
        self._parallel = launch.world_size() > 1

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            number = signal.SIGTERM
        elapsed = time.monotonic() - self._since
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
            if int(os.environ.get("RANK", "0")) == 0:
                os.write(2, b"\nstopping after this iteration; again to stop without saving\n")
        elif elapsed > (5.0 if self._parallel else 0.3):
            os._exit(EXIT_CODES[number])

    @property
    def exit_code(self) -> int:
        """130 or 143."""
        return EXIT_CODES[self.signal] if self.signal else 0

    def agreed(self, device: torch.device) -> bool:
        """Whether any process has been asked to stop. Called by all at the same iteration."""
        if not self._parallel:
            return self.signal is not None
        number = launch.largest(int(self.signal or 0))
        if number:
            self.signal = number
        return bool(number)
