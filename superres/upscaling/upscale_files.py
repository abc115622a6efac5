"""Job after job: what the command does, callable without it."""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from superres.errors import UserError
from superres.files import os_fault
from superres.imaging.io import LoadedImage, image_size, load_image
from superres.output import shown
from superres.stopping import TERMINATED, Terminated
from superres.upscaling.compare import as_rgb, is_page, save_comparison, save_page
from superres.upscaling.networks import ChosenNetwork, Networks, Options
from superres.upscaling.provenance import Settings, difference, misfit, record_in
from superres.upscaling.targets import STREAM, Job
from superres.upscaling.video import shortcomings, state_of, upscale_video
from superres.upscaling.video_reading import ANIMATED, Animation, find_animation
from superres.upscaling.writing import DiskFull, save

NO_RECORD = "without a record of how it was made"
_BESIDE = 1 << 24
"""Pixels of a result that is written beside the network's work; larger ones fill the memory."""
_WAITING = 2  # results that are being written while another is computed
_DONE: Future = Future()
_DONE.set_result(None)


@dataclass
class Result:
    """What became of one input.

    Attributes:
        status: ``done``, ``skipped`` (was there), ``failed`` or ``interrupted``.
        size, result_size: (width, height) as stored.
        seconds: that it took, without what was done while others were computed.
        comparison: path of the comparison, if one was written.
        notes: what was left out or changed; sentences.
        error: why it failed.
    """

    source: str
    target: str
    status: str = "failed"
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    seconds: float = 0.0
    comparison: str | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; paths as they are shown."""
        paths = ("source", "target", "comparison")
        return {k: shown(v) if k in paths and v else v for k, v in asdict(self).items()}


def run_jobs(
    jobs: list[Job], networks: Networks, options: Options, listener: Any
) -> tuple[list[Result], int]:
    """Do the jobs; one that fails does not stop the others.

    While the network computes an image, the next one is read and those before it are encoded and
    written.

    Args:
        listener: has methods that are called in the order of the jobs: ``begin(job)``;
            ``network(chosen)``, once per network that is ready; ``note(text)`` of what is lost in
            a video; ``tiles(done, total)``, or frames; and ``end(job, result)``.

    Returns:
        One result per job, as far as it came: a full disk, Ctrl-C and SIGTERM end it early, with
        the last one's status ``interrupted`` (for a full disk ``failed``). And the exit code.

    Raises:
        UserError: a network cannot be prepared, which is wrong for all.
    """
    work, code = _Pipeline(networks, options, listener), 0
    with work.reader, work.writers:
        try:
            for job, following in itertools.zip_longest(jobs, jobs[1:]):
                work.settle(_WAITING)
                if work.full:
                    break
                work.add(job, following)
        except KeyboardInterrupt as stop:
            code = TERMINATED if isinstance(stop, Terminated) else 130
        finally:
            work.settle()
    if work.page and code != TERMINATED:
        save_page(Path(options.compare), work.page)
    return work.results, code or int(any(one.status == "failed" for one in work.results))


@dataclass
class _Pipeline:
    """Jobs under way: one is computed in this thread, one is read ahead, some are being written.

    Attributes:
        results: of all jobs that were begun.
        page: pairs for a page of comparisons.
        begun: jobs that are not reported yet, and their writing.
        ahead: the next job's image, where it is small enough to be done beside others.
        full: the disk is.
    """

    networks: Networks
    options: Options
    listener: Any
    reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    writers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_WAITING))
    results: list[Result] = field(default_factory=list)
    page: list = field(default_factory=list)
    begun: deque[tuple[Job, Result, Future]] = field(default_factory=deque)
    ahead: Future | None = None
    full: bool = False

    def settle(self, most: int = 0) -> None:
        """Report what is done, in order; wait as long as more than ``most`` are not."""
        while self.begun and (len(self.begun) > most or self.begun[0][2].done()):
            job, result, done = self.begun[0]
            try:
                done.result()
                if self.options.compare is not None and result.status != "interrupted":
                    self._compare(job, result)
            except (UserError, OSError, MemoryError) as error:
                result.status, result.error = "failed", _reason(job, error)
                self.full |= isinstance(error, DiskFull)
            self.begun.popleft()
            self.listener.end(job, result)

    def add(self, job: Job, following: Job | None) -> None:
        """Do a job, all but the writing of a small image; the next one is read meanwhile."""
        result, done, started = Result(str(job.source), str(job.target)), _DONE, time.monotonic()
        self.results.append(result)
        try:
            self.listener.begin(job)
            chosen, there = self.networks.of(job.source), self._there(job)
            if chosen.backend is None and not there:
                _ = chosen.upscaler  # made here, since what is wrong with it is wrong for all
                self.listener.network(chosen)
            reading, self.ahead = self.ahead, self._read_ahead(following)
            try:
                settings = _settings(job, chosen.settings, self.options)
                if not self.options.overwrite:
                    _check_what_is_there(job, there, settings, result)
                if there:
                    result.status = "skipped"
                elif job.video:
                    self._film(job, chosen, settings, result)
                else:
                    done = self._image(job, chosen.upscaler, settings, result, reading)
            except (UserError, OSError, MemoryError) as error:
                done = Future()
                done.set_exception(error)
        except KeyboardInterrupt:
            result.status = "interrupted"
            self.begun.append((job, result, _DONE))
            raise
        result.seconds = time.monotonic() - started
        self.begun.append((job, result, done))

    def _image(
        self, job: Job, upscaler: Any, settings: Settings, result: Result, ahead: Future | None
    ) -> Future:
        """Upscale an image; returns its writing, which of a small result goes on in a thread."""
        image, moving = ahead.result() if ahead else _read(job, self.options)
        size = image.pixels.shape[:2]
        result.size, result.result_size = size[::-1], upscaler.size(*size)[::-1]

        def write(made: Any, tiles: Callable[[int, int], None] = lambda *_: None) -> None:
            out = sys.stdout.buffer if job.target == STREAM else Path(job.target)
            record = settings.record(job.source) if job.plain else None
            more = self.options.quality, tiles, record, moving
            lost = save(out, made, image, job.format, *more)
            read = [note for note in image.notes if not (moving and note.startswith("animated"))]
            result.notes, result.status = [*read, *lost, *made.notes], "done"

        if moving or math.prod(result.result_size) > _BESIDE:
            write(upscaler, self.listener.tiles)
            return _DONE
        bands = list(upscaler.rows(image.pixels, self.listener.tiles))
        made = SimpleNamespace(size=upscaler.size, rows=lambda *_: bands, notes=upscaler.notes)
        return self.writers.submit(write, made)

    def _film(self, job: Job, chosen: ChosenNetwork, settings: Settings, result: Result) -> None:
        how = self.listener.tiles, settings, self.options.deinterlace, self.listener.note
        done = upscale_video(Path(job.source), Path(job.target), chosen.upscaler, *how)
        result.size, result.result_size, result.notes = done.size, done.result_size, done.notes
        if done.lost:
            raise UserError(f"{job.target}: written, but {', '.join(done.lost)}")
        result.status = "done"

    def _read_ahead(self, job: Job | None) -> Future | None:
        """Begin to read an image of moderate size that will be upscaled; None for others."""
        if job and job.plain and not (job.video or self._there(job)):
            size = image_size(job.source)
            if size and math.prod(size) * self.networks.scale**2 <= _BESIDE:
                return self.reader.submit(_read, job, self.options)
        return None

    def _there(self, job: Job) -> bool:
        """Whether the result, a file or a link to nowhere, is there and is not to be replaced."""
        nowhere = os.path.islink(job.target) and not os.path.exists(job.target)
        return (nowhere or os.path.isfile(job.target)) and not self.options.overwrite

    def _compare(self, job: Job, result: Result) -> None:
        """Write a job's own comparison, or add it to those of the page."""
        given, target = self.options.compare, Path(job.target)
        path = Path(given) if given else target.with_name(f"{target.stem}_compare.png")
        if job.video or job.streams:
            result.notes.append("no comparison is made of a video or a stream")
        elif is_page(given):
            self.page.append((target.name, as_rgb(job.source), as_rgb(target)))
            result.comparison = given
        elif result.status != "skipped" or not path.exists():
            save_comparison(job.source, target, path)
            result.comparison = str(path)


def _reason(job: Job, error: Exception) -> str:
    if isinstance(error, OSError):  # a name that is too long, a disk that went away
        return os_fault(job.target, error, "file", writing=True)
    if isinstance(error, MemoryError):
        return f"{job.source}: there is not enough memory for it"
    named = any(str(path) in str(error) for path in (job.source, job.target))
    return str(error) if named or job.streams else f"{job.source}: {error}"


def _check_what_is_there(job: Job, there: bool, settings: Settings, result: Result) -> None:
    """Compare a result, or what there is of a film, with what this command would make.

    Raises:
        UserError: it is another, or a stream of it is lost; only ``overwrite`` replaces it.
    """
    found = "is there already" if there else "an earlier command began it"
    record, other = state_of(Path(job.target)).get("record") if job.video else None, None
    try:
        if not there:
            other = record and difference(record, settings, job.source)
        elif not os.path.exists(job.target):
            other = "a link that leads nowhere"
        elif not job.plain:
            other = "and whether standard input is the same is not known"
        else:
            record = record_in(job.target, job.video)
            other = record and difference(record, settings, job.source)
            result.notes += [NO_RECORD] * (not record)
            other = other or misfit(job.source, job.target, settings.scale, job.video)
            if not other and job.video:
                other = ", ".join(shortcomings(Path(job.source), Path(job.target)))
    except OSError as error:
        raise UserError(os_fault(job.source, error, "image")) from None
    if other:
        raise UserError(f"{job.target}: {found}, {other}; --overwrite replaces it")


def _settings(job: Job, settings: Settings, options: Options) -> Settings:
    """What counts for this job; the quality where the format has one."""
    more = ["deinterlaced"] * (options.deinterlace and job.video)
    if options.quality is not None and job.format in ("jpeg", "webp"):
        more.append(f"quality {options.quality}")
    return replace(settings, options=(*settings.options, *more))


def _read(job: Job, options: Options) -> tuple[LoadedImage, Animation | None]:
    """The image of a job, and all of its frames where it is animated and its result is to be."""
    stdin = job.source == STREAM
    given = (sys.stdin.buffer.read(), "standard input") if stdin else (job.source, None)
    image = load_image(given[0], options.max_pixels, given[1])
    whole = job.plain and job.format in ANIMATED.values()
    return image, find_animation(job.source, options.max_pixels) if whole else None
