"""What `superres upscale` shows while it works: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any, TextIO

from superres.imaging.io import picture_size
from superres.output import bar
from superres.upscaling.jobs import STREAM, Job
from superres.upscaling.names import shown
from superres.upscaling.run import Result

_SECONDS = 10.0


class ProgressView:
    """A :class:`superres.upscaling.run.Listener`; use it as a context manager.

    Args:
        jobs: all of them, for the time that remains: it is measured in pixels.
        todo: how many are not done yet.
        stream: where to print.
    """

    def __init__(self, jobs: list[Job], todo: int, stream: TextIO) -> None:
        self.results: list[Result] = []
        self._jobs, self._todo, self._stream = jobs, todo, stream
        self._bar: Any = None
        self._number, self._begin, self._told = 0, 0.0, 0.0
        self._weights: dict[Job, float] = {}
        self._before = self._left = 0.0
        self._started = self._counted = time.monotonic()

    def __enter__(self) -> ProgressView:
        self._bar = bar(self._stream)
        if self._bar:
            self._weights = {job: _weight(job) for job in self._jobs}
            self._left = sum(self._weights.values())
            self._task = self._bar.add_task("", total=self._left, count="", note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def begin(self, job: Job) -> None:
        """See `Listener`."""
        self._number += 1
        self._job = job
        self._begin = self._told = time.monotonic()
        if self._bar:
            self._bar.update(
                self._task,
                description=f"{self._number}/{len(self._jobs)}",
                count="",
                note=shown(job.source),
            )

    def tiles(self, done: int, total: int) -> None:
        """See `Listener`."""
        word = "frame" if self._job.video else "tile"
        if self._bar:
            part = self._weights[self._job] * done / max(total, done, 1)
            many = f"{word} {done}/{total}" if total > 1 else ""
            self._bar.update(self._task, completed=self._before + part, count=many)
            return
        now = time.monotonic()
        if total > 1 and done < total and now - self._told >= _SECONDS:
            self._told = now
            rest = (now - self._begin) / done * (total - done)
            self.say(f"{shown(self._job.source)}: {word} {done}/{total}, {rest:.0f} s to go")

    def end(self, job: Job, result: Result) -> None:
        """See `Listener`."""
        self.results.append(result)
        if self._bar:
            self._before += self._weights[job]
            self._left -= self._weights[job]
            if result.status == "skipped":  # took no time: it must not count for the rest
                self._bar.reset(self._task, total=self._left, start=True)
                self._before = 0.0
            self._bar.update(self._task, completed=self._before)
        line = _line(job, result)
        if line:
            self.say(line)
        if not self._bar:
            self._tell_how_far()

    def _tell_how_far(self) -> None:
        """Off a terminal: now and then, how many of many are done."""
        now = time.monotonic()
        if now - self._counted < _SECONDS or self._number == len(self._jobs):
            return
        self._counted = now
        done = sum(r.status != "skipped" for r in self.results)
        rest = (now - self._started) / max(1, done) * (self._todo - done)
        self.say(f"{self._number}/{len(self._jobs)}, about {rest:.0f} s to go")


def _line(job: Job, result: Result) -> str:
    notes = "".join(f"; {note}" for note in result.notes)
    if result.status == "done" and result.result_size:
        to = "" if job.target == STREAM else f" -> {shown(job.target)}"
        width, height = result.result_size
        return f"{shown(job.source)}{to}: {width}x{height}, {result.seconds:.1f} s{notes}"
    if result.status == "failed":
        return f"failed: {shown(result.error or job.source)}"
    if result.status == "interrupted":
        return f"stopped at {shown(job.source)}{notes}"
    return ""


def _weight(job: Job) -> float:
    if job.source == STREAM or job.video:
        return 1e6
    size = picture_size(job.source)
    return float(size[0] * size[1]) if size else 1e5
