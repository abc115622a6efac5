"""The queue: one image after the other through its network, in a thread of its own."""

from __future__ import annotations

import itertools
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.files import write_atomically
from superres.imaging.io import load_image
from superres.serve.offers import Offer, Offers
from superres.serve.preview import Preview
from superres.serve.uploads import Limits, Refused, check_size
from superres.upscaling.tiled_upscaler import TiledUpscaler
from superres.upscaling.writing import FORMATS, SUFFIX_FORMATS, native_format, save
from superres.upscaling.writing import check_size as check_format

logger = logging.getLogger("superres")
_SUFFIX = {kind: suffix for suffix, kind in reversed(SUFFIX_FORMATS.items())}
_SHOWN = (
    *("id", "name", "scale", "state", "phase", "done", "total", "message", "notes", "size"),
    *("result_size", "reduced", "result_name"),
)


class _Cancelled(Exception):
    """The person, or the end of the session, has stopped the work."""


@dataclass
class Job:
    """One image from its upload to its result.

    Attributes:
        id: that nobody can guess; whoever has it may see the image.
        name: the upload's, made harmless.
        state: ``queued``, ``working``, ``done``, ``failed`` or ``cancelled``.
        phase: of the work, in words.
        done, total: tiles.
        size, result_size: (width, height), upright.
        reduced: by how much the result is shown smaller than it is.
        result: the file that is downloaded; the others in the folder are ``source``,
            ``before.png`` and ``after.png``, which the slider shows.
    """

    id: str
    name: str
    folder: Path
    offer: Offer
    scale: int
    format: str | None = None
    self_ensemble: bool = False
    state: str = "queued"
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    message: str = ""
    notes: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    reduced: int = 1
    result: Path | None = None
    result_name: str = ""
    expected: float = 0.0  # seconds in all, as the image before took; 0: not known
    begun: float = 0.0
    tiles_begun: float = 0.0
    ended: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    def as_dict(self, ahead: int = 0) -> dict[str, Any]:
        """What the page shows; never a path."""
        now = self.ended or time.monotonic()
        left = None
        if self.state == "working":
            spent = now - self.tiles_begun
            left = self.expected - spent if self.tiles_begun and self.expected > spent else None
            left = spent / self.done * (self.total - self.done) if self.done else left
        return {key: getattr(self, key) for key in _SHOWN} | {
            "model": self.offer.name,
            "ahead": ahead,
            "seconds": round(now - self.begun, 1) if self.begun else 0,
            "left": left and round(left, 1),
            "bytes": self.result.stat().st_size if self.result and self.result.exists() else 0,
        }


class Work:
    """Jobs, and the thread that does them.

    Args:
        offers: the networks.
        folder: for uploads and results; the caller removes it.
        keep: a folder that results are copied to as well.
    """

    def __init__(
        self, offers: Offers, folder: Path, limits: Limits, keep: Path | None = None
    ) -> None:
        self.offers, self.folder, self.limits, self.keep = offers, folder, limits, keep
        self.jobs: dict[str, Job] = {}
        self._seconds: dict[tuple[str, int, bool], float] = {}  # per pixel of the last image
        self._one = ThreadPoolExecutor(1, "superres-serve")

    def stop(self) -> None:
        """Give up what is in work; waits for a tile to be finished."""
        for job in list(self.jobs.values()):
            job.cancelled.set()
        self._one.shutdown(cancel_futures=True)

    def new(self, name: str, offer: Offer, scale: int, format: str | None, ensemble: bool) -> Job:
        """A job with a folder for its upload, which has its place in the queue.

        Raises:
            Refused: there is no place.
        """
        waiting = sum(not job.over for job in self.jobs.values())
        if waiting >= self.limits.waiting:
            raise Refused(f"{waiting} images are waiting already; try again later", 429)
        identity = secrets.token_urlsafe(24)
        folder = self.folder / identity
        folder.mkdir(mode=0o700)
        job = self.jobs[identity] = Job(identity, name, folder, offer, scale, format, ensemble)
        return job

    def put(self, job: Job) -> None:
        """Its upload is there: do it after the others."""
        self._one.submit(self._attempt, job)

    def ahead(self, job: Job) -> int:
        """How many are done before it."""
        if job.state != "queued":
            return 0
        jobs = list(self.jobs.values())
        return sum(not other.over for other in jobs[: jobs.index(job)])

    def remove(self, job: Job) -> None:
        """Cancel it if it is not over, and forget it with its files."""
        job.cancelled.set()
        self.jobs.pop(job.id, None)
        # Behind what is in work: that may be this one.
        self._one.submit(shutil.rmtree, job.folder, ignore_errors=True)

    def _attempt(self, job: Job) -> None:
        job.state, job.begun = "working", time.monotonic()
        state = "failed"
        try:
            self._do(job)
            state = "done"
        except _Cancelled:
            state, job.message = "cancelled", "cancelled"
        except UserError as error:
            job.message = str(error).replace(f"{job.folder}/", "")
        except MemoryError:
            job.message = "there is not enough memory for this image; try a smaller scale"
        except Exception:
            logger.exception("an image could not be upscaled")
            job.message = "superres itself failed; the terminal it was started from says more"
        job.ended, job.state = time.monotonic(), state
        (job.folder / "source").unlink(missing_ok=True)
        over = [other for other in list(self.jobs.values()) if other.over]
        for old in over[: -self.limits.finished]:
            self.remove(old)

    def _do(self, job: Job) -> None:
        def check() -> None:
            if job.cancelled.is_set():
                raise _Cancelled

        check()
        job.phase = "reading"
        source = job.folder / "source"
        image = load_image(source, self.limits.pixels, job.name)
        height, width = image.pixels.shape[:2]
        check_size((height, width), job.name, job.scale, self.limits)
        kind = SUFFIX_FORMATS[FORMATS[job.format]] if job.format else native_format(image)
        job.phase = "preparing the network"
        check()
        upscaler, said = self.offers.upscaler(job.offer, job.scale, job.self_ensemble, source)
        size = upscaler.size(height, width)
        check_format(kind, size, job.name)
        turn = image.orientation in (5, 6, 7, 8)
        job.size = (height, width) if turn else (width, height)
        job.result_size = size if turn else size[::-1]
        before = Preview(height, width, image)
        before.add(image.pixels)
        (job.folder / "before.png").write_bytes(before.png())
        after = Preview(*size, image)
        kind_of_work, begun = (job.offer.name, job.scale, job.self_ensemble), time.monotonic()
        job.expected = self._seconds.get(kind_of_work, 0) * height * width
        job.phase, job.tiles_begun = "upscaling", begun

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            check()

        suffix = FORMATS.get(job.format or "", _SUFFIX[kind])
        result = job.folder / f"result{suffix}"
        lost = save(result, _Watched(upscaler, after, check), image, kind, progress=progress)
        self._seconds[kind_of_work] = (time.monotonic() - begun) / (height * width)
        job.phase = "preparing the view"
        (job.folder / "after.png").write_bytes(after.png())
        job.reduced = after.factor
        job.notes = [*image.notes, *lost, *upscaler.notes, *said]
        stem = job.name.rpartition(".")[0] or job.name
        job.result_name = f"{stem}_x{job.scale}{suffix}"
        job.result = result
        if self.keep is not None:
            job.notes.append(f"kept as {_keep(self.keep, result, job.result_name).name}")


class _Watched:
    """An `TiledUpscaler` whose bands are seen as they pass."""

    def __init__(self, upscaler: TiledUpscaler, preview: Preview, tick: Callable[[], None]) -> None:
        self.size = upscaler.size
        self._upscaler, self._preview, self._tick = upscaler, preview, tick

    def rows(self, pixels: np.ndarray, progress: Any = None) -> Iterator[np.ndarray]:
        for band in self._upscaler.rows(pixels, progress):
            self._preview.add(band)
            yield band
            self._tick()


def _keep(folder: Path, result: Path, name: str) -> Path:
    """Copy a result to a folder, under a name that is free there."""
    target = folder / free_name(name, lambda other: (folder / other).exists())
    with result.open("rb") as file:
        write_atomically(target, lambda out: shutil.copyfileobj(file, out))
    return target


def free_name(name: str, taken: Callable[[str], bool]) -> str:
    """A file's name, with a number behind it where it is taken."""
    stem, dot, suffix = name.rpartition(".")
    others = (f"{stem}_{number}{dot}{suffix}" for number in itertools.count(2))
    return next(other for other in itertools.chain([name], others) if not taken(other))
