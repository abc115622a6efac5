"""Job after job: what the command does, callable without it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from superres.errors import UserError
from superres.files import os_fault
from superres.imaging.io import read_picture
from superres.output import shown
from superres.stopping import TERMINATED, Terminated
from superres.upscaling.animation import SUFFIXES as ANIMATED
from superres.upscaling.animation import find_animation
from superres.upscaling.compare import as_rgb, is_page, save_page
from superres.upscaling.enlarge import Enlarger
from superres.upscaling.jobs import STREAM, Job
from superres.upscaling.networks import ChosenNetwork, Networks, Options
from superres.upscaling.provenance import Settings, difference, misfit, record_in
from superres.upscaling.writing import DiskFull, make_folder, save

NO_RECORD = "judged by size and date alone, without a record of how it was made"
_COMPARABLE = 1 << 27  # pixels of a result: a comparison holds several copies of it


@dataclass
class Result:
    """What became of one input.

    Attributes:
        status: ``done``, ``skipped`` (was there), ``failed`` or ``interrupted``.
        size, result_size: (width, height) as stored.
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


class Listener(Protocol):
    """What is called as jobs proceed."""

    def begin(self, job: Job) -> None:
        """A job begins."""

    def network(self, chosen: ChosenNetwork) -> None:
        """A network is ready, for the first time."""

    def note(self, text: str) -> None:
        """What is lost in a video, before it is begun; it stands in its result, too."""

    def tiles(self, done: int, total: int) -> None:
        """So much of the current one is done; frames, for a video."""

    def end(self, job: Job, result: Result) -> None:
        """A job ended."""


def run_jobs(
    jobs: list[Job], networks: Networks, options: Options, listener: Listener
) -> tuple[list[Result], int]:
    """Do the jobs; one that fails does not stop the others.

    Returns:
        One result per job, as far as it came: a full disk, Ctrl-C and SIGTERM end it early, with
        the last one's status ``interrupted`` (for a full disk ``failed``). And the exit code.

    Raises:
        UserError: a network cannot be prepared, which is wrong for all.
    """
    results: list[Result] = []
    ready: set[str] = set()
    code = 0
    for job in jobs:
        result, begin = Result(str(job.source), str(job.target)), time.monotonic()
        results.append(result)
        full = False
        try:
            listener.begin(job)
            chosen, begun = networks.of(job.source), _begun(job)
            there = not options.overwrite and (begun is not None or _is_there(job.target))
            if not (there and begun is None):
                enlarger = chosen.enlarger  # outside of what is told of one file
                if chosen.label not in ready:
                    ready.add(chosen.label)
                    listener.network(chosen)
            try:
                settings = _settings(job, chosen.settings, options)
                if there:
                    _check_what_is_there(job, begun, settings, result)
                if there and begun is None:
                    result.status = "skipped"
                else:
                    _do(job, enlarger, settings, options, listener, result)
                    result.status = "done"
                _compare(job, options, len(jobs) == 1, result)
            except (UserError, OSError, MemoryError) as error:
                result.status, result.error = "failed", _reason(job, error)
                full = isinstance(error, DiskFull)
        except KeyboardInterrupt as stop:
            result.status = "interrupted"
            code = TERMINATED if isinstance(stop, Terminated) else 130
        result.seconds = time.monotonic() - begin
        listener.end(job, result)
        if full or code:
            break
    if code != TERMINATED:
        _compare_on_a_page(jobs, results, options)
    return results, code or int(any(result.status == "failed" for result in results))


def _reason(job: Job, error: Exception) -> str:
    if isinstance(error, OSError):  # a name that is too long, a disk that went away
        return os_fault(job.target, error, "file", writing=True)
    if isinstance(error, MemoryError):
        return f"{job.source}: there is not enough memory for it"
    named = any(str(path) in str(error) for path in (job.source, job.target))
    return str(error) if named or job.streams else f"{job.source}: {error}"


def _check_what_is_there(job: Job, begun: str | None, settings: Settings, result: Result) -> None:
    """Compare a result with what this command would make of its source.

    Args:
        begun: the record of one that is done in part.

    Raises:
        UserError: it is another; only ``overwrite`` replaces it.
    """
    try:
        if not os.path.exists(job.target) and begun is None:
            other = "a link that leads nowhere"
        elif not job.can_be_read_twice:
            other = "and whether standard input is the same is not known"
        elif begun is not None:
            other = difference(begun, settings, job.source)
        else:
            record = record_in(job.target, job.video)
            other = record and difference(record, settings, job.source)
            # Also with a record, which editors keep: somebody may have cropped it.
            other = other or misfit(job.source, job.target, settings.scale, job.video, not record)
            result.notes += [NO_RECORD] * (not record)
            if other is None and job.video:
                from superres.upscaling.video_join import missing_streams

                lost = missing_streams(Path(job.source), Path(job.target))
                other = f"without its {' and '.join(lost)}" if lost else None
    except (UserError, OSError) as error:
        known = isinstance(error, UserError)
        fault = error if known else os_fault(job.source, error, "image")
        other = f"and cannot be compared ({fault})"
    if other is not None:
        there = "is there already" if begun is None else "an earlier command began it"
        raise UserError(f"{job.target}: {there}, {other}; --overwrite replaces it")


def _is_there(target: Path | str) -> bool:
    """A file, or a link to nowhere; a device and a pipe are written to."""
    return os.path.isfile(target) or (os.path.islink(target) and not os.path.exists(target))


def _begun(job: Job) -> str | None:
    """The record of a video that is done in part."""
    if not job.video:
        return None
    from superres.upscaling.video import state_of

    state = state_of(Path(job.target))
    return str(state.get("record", "")) if state.get("pieces") else None


def _settings(job: Job, settings: Settings, options: Options) -> Settings:
    """What counts for this job; the quality where the format has one, and 95 is JPEG's usual."""
    more = ["deinterlaced"] * (options.deinterlace and job.video)
    usual = job.format not in ("jpeg", "webp") or (job.format, options.quality) == ("jpeg", 95)
    if options.quality is not None and not usual:
        more.append(f"quality {options.quality}")
    return replace(settings, options=(*settings.options, *more))


def _do(
    job: Job,
    enlarger: Enlarger,
    settings: Settings,
    options: Options,
    listener: Listener,
    result: Result,
) -> None:
    if job.video:
        from superres.upscaling.video import upscale_video

        files, extra = (Path(job.source), Path(job.target)), (options.deinterlace, listener.note)
        done = upscale_video(*files, enlarger, listener.tiles, settings, *extra)
        result.size, result.result_size, result.notes = done.size, done.result_size, done.notes
        if done.lost:
            raise UserError(
                f"{job.target}: written, but without its {' and '.join(done.lost)}, which "
                f"{files[1].suffix} cannot hold; write to .mkv"
            )
        return
    stdin, plain = job.source == STREAM, job.can_be_read_twice and not job.streams
    picture = read_picture(
        sys.stdin.buffer.read() if stdin else job.source,
        options.max_pixels,
        "standard input" if stdin else None,
    )
    moving = None
    if plain and job.format in ANIMATED.values():
        moving = find_animation(job.source, options.max_pixels)
    height, width = picture.pixels.shape[:2]
    result.size, result.result_size = (width, height), enlarger.size(height, width)[::-1]
    out = io.BytesIO() if job.target == STREAM else Path(job.target)
    record = settings.record(job.source) if plain else None
    lost = save(out, enlarger, picture, job.format, options.quality, listener.tiles, record, moving)
    if isinstance(out, io.BytesIO):
        sys.stdout.buffer.write(out.getbuffer())
        sys.stdout.buffer.flush()
    read = [note for note in picture.notes if not (moving and note.startswith("animated"))]
    result.notes = [*read, *lost, *enlarger.notes]


def _compare(job: Job, options: Options, alone: bool, result: Result) -> None:
    """Write a job's own comparison, unless all go on a page."""
    if options.compare is None:
        return
    if job.video or job.streams:
        result.notes.append("no comparison is made of a video or a stream")
        return
    if is_page(options.compare):
        return
    name = f"{Path(job.target).stem}_compare.png"
    path = Path(options.compare) if options.compare else Path(job.target).with_name(name)
    path = path if alone or not options.compare else path / name
    if path.exists() and result.status == "skipped":
        return
    from superres.upscaling.compare import save_comparison

    lq, sr = as_rgb(job.source), as_rgb(job.target)
    if sr.shape[0] * sr.shape[1] > _COMPARABLE:
        result.notes.append("too large for a comparison")
        return
    make_folder(path.parent)
    save_comparison(lq, sr, path)
    result.comparison = str(path)


def _compare_on_a_page(jobs: list[Job], results: list[Result], options: Options) -> None:
    if not options.compare or not is_page(options.compare):
        return
    entries = []
    for job, result in zip(jobs, results, strict=False):
        if result.status in ("done", "skipped") and not (job.video or job.streams):
            with contextlib.suppress(UserError):
                pair = as_rgb(job.source), as_rgb(job.target)
                entries.append((Path(job.target).name, *pair))
                result.comparison = options.compare
    if entries:
        save_page(Path(options.compare), entries)
