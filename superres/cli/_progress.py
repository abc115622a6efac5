"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TextIO

from superres.output import bar, printable

_SECONDS = 5.0


class Progress:
    """Steps of a long command, shown on ``stream``; use it as a context manager.

    On a terminal each step is a bar with the time that remains. Elsewhere it is a line when the
    step begins to take long, one every few seconds, and one at its end.

    Args:
        stream: default: standard error.
        passing: nothing is left of the bars on a terminal, and elsewhere no line tells of the end.
    """

    def __init__(self, stream: TextIO | None = None, passing: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._passing = passing
        self._bars = None

    def __enter__(self) -> Progress:
        self._bars = bar(self._stream, self._passing)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._bars is not None:
            self._bars.console.print(printable(text), markup=False, highlight=False)
        else:
            with contextlib.suppress(BrokenPipeError):
                print(printable(text), file=self._stream, flush=True)

    def step(self, text: str) -> Callable[[int, int, str], None]:
        """A new step; call what it gives as ``progress(done, total, name)``."""
        if self._bars is not None:
            task = None

            def update(done: int, total: int, name: str) -> None:
                nonlocal task
                if task is None:
                    task = self._bars.add_task(printable(text), total=total, count="", note="")
                self._bars.update(task, completed=done, total=total, count=f"{done}/{total}")

            return update

        started = told = time.monotonic()

        def lines(done: int, total: int, name: str) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told < _SECONDS if done < total else self._passing:
                return
            told = now
            self.say(f"{text}: {done}/{total} ({now - started:.1f} s)")

        return lines
