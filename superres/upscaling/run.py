"""Job after job: what the command does, callable without it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from superres.errors import UserError
from superres.files import is_special, os_fault, write_atomically
from superres.imaging.io import read_picture
from superres.stopping import Terminated
from superres.upscaling.animation import find_animation, is_animation, save_animation
from superres.upscaling.compare import as_rgb, save_page
from superres.upscaling.enlarge import Enlarger, NotFinite
from superres.upscaling.jobs import STREAM, Job
from superres.upscaling.names import shown
from superres.upscaling.provenance import (
    Settings,
    difference,
    image_record,
    misfit,
    video_record,
)
from superres.upscaling.python import save
from superres.upscaling.writing import (
    FORMATS,
    SUFFIX_FORMATS,
    DiskFull,
    check_size,
    make_folder,
    native_format,
)

NO_RECORD = "judged by size and date alone, without a record of how it was made"
_COMPARABLE = 1 << 27  # pixels of a result: a comparison holds several copies of it


@dataclass
class Options:
    """How files are treated; how pictures are computed is the `Enlarger`'s.

    Attributes:
        format: a key of `FORMATS`, or None for the format of each source.
        quality: for jpg and webp, see :class:`superres.upscaling.writing.Target`.
        overwrite: do again what is there.
        compare: None; '' for a comparison beside each result; a file (``.html`` or a picture).
        max_pixels: the limit on inputs.
        settings: of a source: what its result depends on, beside it.
    """

    settings: Callable[[Path | str], Settings]
    format: str | None = None
    quality: int | None = None
    overwrite: bool = False
    compare: str | None = None
    max_pixels: int | None = None


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
        values = asdict(self)
        for key in ("source", "target", "comparison"):
            values[key] = None if values[key] is None else shown(values[key])
        return values


class Listener(Protocol):
    """Who is told of the progress."""

    def begin(self, job: Job) -> None:
        """A job begins."""
        ...

    def tiles(self, done: int, total: int) -> None:
        """So much of the current one is done; frames, for a video."""
        ...

    def end(self, job: Job, result: Result) -> None:
        """A job ended."""
        ...


def pending(jobs: list[Job], options: Options) -> list[Job]:
    """The jobs without a result."""
    return [job for job in jobs if options.overwrite or not os.path.isfile(job.target)]


def run_jobs(
    jobs: list[Job],
    enlarger_for: Callable[[Path | str], Enlarger],
    options: Options,
    listener: Listener,
) -> list[Result]:
    """Do the jobs; one that fails does not stop the others.

    Args:
        enlarger_for: of a source; called for those that are enlarged, since preparing a network
            takes seconds.
        listener: told of all that happens.

    Returns:
        One result per job, as far as it came: a full disk, Ctrl-C and SIGTERM end it early, with
        the last one's status ``interrupted`` (for a full disk ``failed``).

    Raises:
        UserError: the network cannot be prepared.
    """
    results: list[Result] = []
    for job in jobs:
        enlarger = None
        result = Result(str(job.source), str(job.target))
        results.append(result)
        begin = time.monotonic()
        try:
            listener.begin(job)
            full = False
            if _look(job, options, result):
                if result.status != "skipped":
                    enlarger = enlarger_for(job.source)  # what is wrong with it is wrong for all
                full = _attempt(job, enlarger, options, listener, result, len(jobs) == 1)
            result.seconds = time.monotonic() - begin
            listener.end(job, result)
        except KeyboardInterrupt as stop:
            result.status, full = "interrupted", True
            listener.end(job, result)
            if isinstance(stop, Terminated):
                raise
        if full:
            break
    _compare_on_a_page(jobs, results, options)
    return results


def _attempt(
    job: Job,
    enlarger: Enlarger | None,
    options: Options,
    listener: Listener,
    result: Result,
    alone: bool,
) -> bool:
    """Do one job, unless it is ``skipped``; True where going on would be in vain."""
    try:
        if result.status != "skipped":
            _do(job, enlarger, options, listener, result)
            result.status = "done"
        if options.compare is not None and (job.video or job.source == STREAM):
            what = "a video" if job.video else "standard input"
            result.notes.append(f"no comparison is made of {what}")
        else:
            _compare(job, options, alone, result)
        return False
    except (UserError, OSError, MemoryError) as error:
        result.status, result.error = "failed", _told(job, error)
        return isinstance(error, DiskFull)


def _told(job: Job, error: Exception) -> str:
    if isinstance(error, OSError):  # a name that is too long, a disk that went away
        return os_fault(shown(job.target), error, "file", writing=True)
    if isinstance(error, MemoryError):
        return f"{shown(job.source)}: there is not enough memory for it"
    if isinstance(error, NotFinite):  # which knows of no file
        return f"{shown(job.source)}: {error}"
    return str(error)


def _look(job: Job, options: Options, result: Result) -> bool:
    """Compare what is there with what this command would make: ``skipped`` where it is the same.

    Returns False, with the error set, where it is another: only ``overwrite`` replaces it.
    """
    try:
        if options.overwrite or job.target == STREAM:
            return True
        if (begun := _begun(job)) is None and not os.path.isfile(job.target):
            return True
        settings = _settings(job, options)
        if not _can_be_read_twice(job.source):
            other = "and whether standard input is the same is not known"
        elif begun is not None:
            other = difference(begun, settings, job.source)
        else:
            record = (video_record if job.video else image_record)(job.target)
            other = record and difference(record, settings, job.source)
            # Also with a record, which editors keep: somebody may have cropped it.
            other = other or misfit(job.source, job.target, settings.scale, job.video, not record)
            result.notes += [NO_RECORD] * (not record)
    except (UserError, OSError) as error:
        known = isinstance(error, UserError)
        fault = error if known else os_fault(shown(job.source), error, "picture")
        other = f"and cannot be compared ({fault})"
    if other is not None:
        there = "is there already" if begun is None else "an earlier command began it"
        result.error = f"{shown(job.target)}: {there}, {other}; --overwrite replaces it"
    elif begun is None:
        result.status = "skipped"
    return other is None


def _begun(job: Job) -> str | None:
    """The record of a video that is done in part."""
    if not job.video:
        return None
    from superres.upscaling.video import unfinished

    return unfinished(Path(job.target))


def _settings(job: Job, options: Options) -> Settings:
    """Those of one job: the quality counts where the format has one, and 95 is JPEG's usual one."""
    kind = None if options.quality is None or job.video else _kind(job, options)
    if kind not in ("jpeg", "webp") or (kind, options.quality) == ("jpeg", 95):
        return options.settings(job.source)
    settings = options.settings(job.source)
    return replace(settings, options=(*settings.options, f"quality {options.quality}"))


def _can_be_read_twice(source: Path | str) -> bool:
    return source != STREAM and not is_special(Path(source))


def _do(job: Job, enlarger: Enlarger, options: Options, listener: Listener, result: Result) -> None:
    if job.video:
        from superres.upscaling.video import upscale_video

        files = Path(job.source), Path(job.target)
        done = upscale_video(*files, enlarger, listener.tiles, options.settings(job.source))
        result.size, result.result_size, result.notes = done.size, done.result_size, done.notes
        if done.lost:
            raise UserError(
                f"{shown(job.target)}: written, but without its {' and '.join(done.lost)}, which "
                f"{files[1].suffix} cannot hold; write to .mkv"
            )
        return
    kind = _kind(job, options)
    if _moves(job, kind, enlarger, options, listener, result):
        return
    if job.source == STREAM:
        picture = read_picture(sys.stdin.buffer.read(), options.max_pixels, "standard input")
    else:
        picture = read_picture(job.source, options.max_pixels, shown(job.source))
    height, width = picture.pixels.shape[:2]
    result.size = (width, height)
    result.notes = list(picture.notes)
    kind = kind or native_format(picture)
    size = enlarger.size(height, width)
    result.result_size = size[::-1]
    check_size(kind, size, shown(job.source))
    out = io.BytesIO() if job.target == STREAM else Path(job.target)
    record = None
    if job.target != STREAM and _can_be_read_twice(job.source):
        record = _settings(job, options).record(job.source)
    target = save(out, enlarger, picture, kind, options.quality, listener.tiles, record)
    if job.target == STREAM:
        sys.stdout.buffer.write(out.getbuffer())
        sys.stdout.buffer.flush()
    result.notes += [*target.notes, *enlarger.notes]


def _moves(
    job: Job,
    kind: str | None,
    enlarger: Enlarger,
    options: Options,
    listener: Listener,
    result: Result,
) -> bool:
    """Do an animation, where the source is one and the result can be."""
    if STREAM in (job.source, job.target) or not _can_be_read_twice(job.source):
        return False
    found = find_animation(Path(job.source), options.max_pixels)
    if found is None or found.kind != kind:
        return False
    result.size, result.result_size = found.size[::-1], enlarger.size(*found.size)[::-1]
    check_size(kind, result.result_size[::-1], shown(job.source))
    make_folder(Path(job.target).parent)
    write_atomically(
        Path(job.target),
        lambda file: save_animation(file, Path(job.source), found, enlarger, listener.tiles),
    )
    result.notes = list(enlarger.notes)
    if kind == "gif":
        result.notes.append("a GIF has 256 colours, and pixels show or do not")
    return True


def _kind(job: Job, options: Options) -> str | None:
    """The format to write; None for the source's own."""
    wanted = SUFFIX_FORMATS[FORMATS[options.format]] if options.format else None
    if job.target == STREAM:
        return wanted
    suffix = Path(job.target).suffix
    kind = SUFFIX_FORMATS.get(suffix.lower())
    if kind is None and is_animation(job.source):
        kind = {".gif": "gif", ".apng": "png"}.get(suffix.lower())
    if kind is None:
        raise UserError(
            f"{shown(job.target)}: cannot write {suffix or 'a file without a suffix'}; use "
            f"{' '.join(SUFFIX_FORMATS)}"
        )
    if wanted is not None and kind != wanted:
        raise UserError(f"{shown(job.target)}: is not named as --format {options.format} asks for")
    return kind


def comparison_path(job: Job, options: Options, alone: bool) -> Path | None:
    """Where a job's own comparison goes; None if it gets none of its own."""
    streams = STREAM in (job.source, job.target)
    if options.compare is None or streams or _is_page(options.compare):
        return None
    target = Path(job.target)
    if options.compare and alone:
        return Path(options.compare)
    name = f"{target.stem}_compare.png"
    return Path(options.compare) / name if options.compare else target.with_name(name)


def _compare(job: Job, options: Options, alone: bool, result: Result) -> None:
    path = comparison_path(job, options, alone)
    if path is None or (path.exists() and result.status == "skipped"):
        return
    from superres.imaging.comparison import save_comparison

    lq, sr = _pair(job)
    if sr.shape[0] * sr.shape[1] > _COMPARABLE:
        result.notes.append("too large for a comparison")
        return
    make_folder(path.parent)
    save_comparison(lq, sr, path)
    result.comparison = str(path)


def _compare_on_a_page(jobs: list[Job], results: list[Result], options: Options) -> None:
    if not options.compare or not _is_page(options.compare):
        return
    entries = []
    for job, result in zip(jobs, results, strict=False):
        if result.status in ("done", "skipped") and not job.video:
            if STREAM in (job.source, job.target):
                continue
            with contextlib.suppress(UserError):
                entries.append((Path(job.target).name, *_pair(job), None))
                result.comparison = options.compare
    if entries:
        save_page(Path(options.compare), entries)


def _pair(job: Job) -> tuple[Any, Any]:
    return as_rgb(job.source), as_rgb(job.target)


def _is_page(path: str) -> bool:
    return path.lower().endswith((".html", ".htm"))
