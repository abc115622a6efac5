"""The queue: one picture after the other through its network, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.files import write_atomically
from superres.imaging.io import read_picture
from superres.serve.jobs import Job
from superres.serve.limits import Limits
from superres.serve.offers import Offer, Offers
from superres.serve.preview import Preview
from superres.serve.uploads import Refused, check_size
from superres.upscaling.enlarge import Enlarger
from superres.upscaling.writing import FORMATS, SUFFIX_FORMATS, native_format, save
from superres.upscaling.writing import check_size as check_format

logger = logging.getLogger("superres")
_SUFFIX = {kind: suffix for suffix, kind in reversed(SUFFIX_FORMATS.items())}


class _Cancelled(Exception):
    """The person, or the end of the session, has stopped the work."""


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
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._arriving = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="superres-serve", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, seconds: float = 15.0) -> None:
        """Give up what is in work and end the thread; waits for a tile to be finished."""
        with self._changed:
            self._stopping = True
            for job in self._jobs.values():
                job.cancelled.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(seconds)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, held while an upload arrives.

        Raises:
            Refused: there is none.
        """
        with self._changed:
            waiting = sum(not job.over for job in self._jobs.values()) + self._arriving
            if self._stopping or waiting >= self.limits.waiting:
                raise Refused(f"{waiting} pictures are waiting already; try again later", 429)
            self._arriving += 1
        try:
            yield
        finally:
            with self._changed:
                self._arriving -= 1

    def new(self, name: str, offer: Offer, scale: int, format: str | None, ensemble: bool) -> Job:
        """A job with a folder for its upload; not yet in the queue."""
        identity = secrets.token_urlsafe(24)
        folder = self.folder / identity
        folder.mkdir(mode=0o700)
        return Job(identity, name, folder, offer, scale, format, ensemble)

    def put(self, job: Job) -> None:
        """Into the queue."""
        with self._changed:
            self._jobs[job.id] = job
            self._queue.append(job)
            self._changed.notify_all()

    def get(self, identity: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(identity)

    def ahead(self, job: Job) -> int:
        """How many are done before it."""
        with self._changed:
            if job not in self._queue:
                return 0
            working = any(other.state == "working" for other in self._jobs.values())
            return self._queue.index(job) + working

    def remove(self, job: Job) -> None:
        """Cancel it if it is not over, and forget it with its files."""
        job.cancelled.set()
        with self._changed:
            self._jobs.pop(job.id, None)
            if job in self._queue:
                self._queue.remove(job)
                job.state = "cancelled"
            if job.over:
                shutil.rmtree(job.folder, ignore_errors=True)

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                job = self._queue.popleft()
                job.state, job.begun = "working", time.monotonic()
            self._attempt(job)
            job.source.unlink(missing_ok=True)
            with self._changed:
                job.ended = time.monotonic()
                if job.id not in self._jobs:  # removed meanwhile
                    shutil.rmtree(job.folder, ignore_errors=True)
                old = [j for j in self._jobs.values() if j.over][: -self.limits.finished]
            for forgotten in old:
                self.remove(forgotten)

    def _attempt(self, job: Job) -> None:
        try:
            self._do(job)
            job.state = "done"
        except _Cancelled:
            job.state, job.message = "cancelled", "cancelled"
        except UserError as error:
            job.message = str(error).replace(str(job.folder) + "/", "")
            job.state = "failed"
        except MemoryError:
            job.message = "there is not enough memory for this picture; try a smaller scale"
            job.state = "failed"
        except Exception:
            logger.exception("a picture could not be enlarged")
            job.message = "superres itself failed; the terminal it was started from says more"
            job.state = "failed"

    def _do(self, job: Job) -> None:
        job.phase = "reading"
        picture = read_picture(job.source, self.limits.pixels, job.name)
        height, width = picture.pixels.shape[:2]
        check_size((height, width), job.name, job.scale, self.limits)
        kind = SUFFIX_FORMATS[FORMATS[job.format]] if job.format else native_format(picture)
        job.phase = "preparing the network"
        self._check(job)
        enlarger, said = self.offers.enlarger(job.offer, job.scale, job.self_ensemble, job.source)
        size = enlarger.size(height, width)
        check_format(kind, size, job.name)
        turn = picture.orientation in (5, 6, 7, 8)
        job.size = (height, width) if turn else (width, height)
        job.result_size = size if turn else size[::-1]
        before = Preview(height, width, picture)
        before.add(picture.pixels)
        job.before.write_bytes(before.png())
        after = Preview(*size, picture)
        job.phase, job.tiles_begun = "enlarging", time.monotonic()

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            self._check(job)

        suffix = FORMATS.get(job.format or "", _SUFFIX[kind])
        result = job.folder / f"result{suffix}"
        watched = _Watched(enlarger, after, lambda: self._check(job))
        lost = save(result, watched, picture, kind, progress=progress)
        job.phase = "preparing the view"
        job.after.write_bytes(after.png())
        job.reduced = after.factor
        job.notes = [*picture.notes, *lost, *enlarger.notes, *said]
        stem = job.name.rpartition(".")[0] or job.name
        job.result_name = f"{stem}_x{job.scale}{suffix}"
        job.result = result
        self._check(job)
        if self.keep is not None:
            job.notes.append(f"kept as {self._keep(result, job.result_name).name}")

    def _check(self, job: Job) -> None:
        if job.cancelled.is_set():
            raise _Cancelled
        if time.monotonic() - job.begun > self.limits.seconds:
            raise UserError(
                f"{job.name}: stopped, it took longer than the {self.limits.seconds:g} seconds "
                "that a picture may (--max-seconds raises it)"
            )

    def _keep(self, result: Path, name: str) -> Path:
        target, number = self.keep / name, 2
        while target.exists():
            stem, dot, suffix = name.rpartition(".")
            target, number = self.keep / f"{stem}_{number}{dot}{suffix}", number + 1

        def copy(out: Any) -> None:
            with result.open("rb") as file:
                shutil.copyfileobj(file, out)

        write_atomically(target, copy)
        return target


class _Watched:
    """An `Enlarger` whose bands are seen as they pass."""

    def __init__(self, enlarger: Enlarger, preview: Preview, tick: Callable[[], None]) -> None:
        self.size = enlarger.size
        self._enlarger, self._preview, self._tick = enlarger, preview, tick

    def rows(self, pixels: np.ndarray, progress: Any = None) -> Iterator[np.ndarray]:
        for band in self._enlarger.rows(pixels, progress):
            self._preview.add(band)
            yield band
            self._tick()
