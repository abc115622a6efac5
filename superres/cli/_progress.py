"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from superres.output import bar, printable, shown

if TYPE_CHECKING:
    from superres.upscaling.networks import ChosenNetwork
    from superres.upscaling.targets import Job
    from superres.upscaling.upscale_files import Result

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
        text = printable(text)
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def step(self, text: str) -> Callable[[int, int, str], None]:
        """A new step; call what it gives as ``progress(done, total, name)``."""
        task, started = None, time.monotonic()
        told = started

        def update(done: int, total: int, name: str) -> None:
            nonlocal task, told
            if self._bars is not None:
                if task is None:
                    task = self._bars.add_task(printable(text), total=total, count="", note="")
                self._bars.update(task, completed=done, total=total, count=f"{done}/{total}")
                return
            now = time.monotonic()
            if now - told < _SECONDS if done < total else self._passing:
                return
            told = now
            with contextlib.suppress(BrokenPipeError):
                self.say(f"{text}: {done}/{total} ({now - started:.1f} s)")

        return update


class UpscaleProgress(Progress):
    """What :func:`superres.upscaling.upscale_files.run_jobs` tells, shown.

    Args:
        total: jobs.
        headline: says which network computes.
        scale: of the results; long work is announced with its size and time.
    """

    def __init__(
        self, stream: TextIO, total: int, headline: Callable[[ChosenNetwork], str], scale: float
    ) -> None:
        self._scale = scale
        super().__init__(stream, passing=True)
        self._total, self._headline, self._number, self._ended = total, headline, 0, 0
        self._started = self._told = time.monotonic()

    def begin(self, job: Job) -> None:
        """A job begins."""
        self._number += 1
        self._job, self._begun, self._noted = job, time.monotonic(), set[str]()
        self._foretold = False
        if self._bars is not None and self._number == 1:
            self._task = self._bars.add_task("", total=self._total, count="", note="")
        number = f"{self._number}/{self._total}"
        self._update(0, count="", description=number, note=shown(job.source))

    def network(self, chosen: ChosenNetwork) -> None:
        """A network is ready."""
        self.say(self._headline(chosen))

    def note(self, text: str) -> None:
        """What is lost in a video; it stands in its result, too."""
        self._noted.add(text)
        self.say(f"{shown(self._job.source)}: {text}")

    def tiles(self, done: int, total: int) -> None:
        """So much of the current job is done."""
        word = f"{'frame' if self._job.video else 'tile'} {done}/{total}" if total > 1 else ""
        self._update(done / max(total, done, 1), count=word)
        if word and 0 < done < total:
            rest = (time.monotonic() - self._begun) / done * (total - done)
            if not self._foretold and rest > _SECONDS:
                self._foretold = True
                self.say(f"{shown(self._job.source)}: {self._sizes()}about {rest:.0f} s")
            self._now_and_then(f"{shown(self._job.source)}: {word}, {rest:.0f} s to go")

    def end(self, job: Job, result: Result) -> None:
        """A job ended."""
        notes = "".join(f"; {note}" for note in result.notes if note not in self._noted)
        if result.status == "done" and result.result_size:
            to = "" if job.streams else f" -> {shown(job.target)}"
            size = "x".join(map(str, result.result_size))
            if result.comparison:
                notes += f"; comparison: {shown(result.comparison)}"
            self.say(f"{shown(job.source)}{to}: {size}, {result.seconds:.1f} s{notes}")
        elif result.status == "failed" and self._total > 1:  # one alone is in the list at the end
            self.say(f"failed: {result.error or shown(job.source)}")
        elif result.status == "interrupted":
            self.say(f"stopped at {shown(job.source)}{notes}")
        self._ended += 1
        self._update(0)
        if left := self._total - self._ended:
            rest = (time.monotonic() - self._started) / self._ended * left
            self._now_and_then(f"{self._ended}/{self._total}, about {rest:.0f} s to go")

    def _sizes(self) -> str:
        """The image's size and its result's; empty for a video and a stream."""
        from superres.imaging.io import image_size

        still = not (self._job.video or self._job.streams)
        height, width = (still and image_size(self._job.source)) or (0, 0)
        larger = f"{width * self._scale:.0f}x{height * self._scale:.0f}"
        return f"{width}x{height} to {larger}, " * bool(width)

    def _update(self, part: float, **fields: str) -> None:
        if self._bars is not None:
            self._bars.update(self._task, completed=self._ended + part, **fields)

    def _now_and_then(self, text: str) -> None:
        """A line off a terminal, not more often than every few seconds."""
        if self._bars is None and time.monotonic() - self._told >= 2 * _SECONDS:
            self._told = time.monotonic()
            self.say(text)
