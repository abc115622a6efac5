"""Scoring a method on sets of images, in one process or shared out over several."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superres.engine.distributed import launch
from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics, unscored
from superres.evaluation.protocols import Protocol, classical_bicubic, quantise
from superres.evaluation.results import EvalResults, set_result
from superres.evaluation.validate_pair import peak_of
from superres.imaging.io import with_channels, write_image
from superres.imaging.resize import imresize

from .sets import EvalSet
from .subject import Method, bicubic

OnImage = Callable[[dict[str, Any], np.ndarray | None], None]
"""(image, sr): called for each image of this process before it is upscaled, with ``sr`` None, and
after it, with the result. ``image`` has ``set`` (its key), ``name``, ``lq``, ``gt``; arrays are
integers, HWC."""

Place = tuple[int, int]
"""(number of a set in ``Evaluation.sets``, number of an image of it)."""
Scored = tuple[Place, list[dict[str, Any]], str]
"""An image's rows of results.json, one per protocol, and its name with its LR image's digest."""


@dataclass(frozen=True)
class Evaluation:
    """Scores methods on the same sets; every image exactly once over all ranks.

    Attributes:
        sets: from :func:`superres.engine.test.sets.prepare_sets`.
        extras: metrics beside PSNR and SSIM, by the same protocols.
        interrupted: asked before each image; :meth:`score` returns None once it says so.
        progress: called with the name of the set after each image of this rank.
        beside: read the next image and score the last one, in threads, while the method works. The
            time that the method takes then includes waiting for the processor.
        on_failure: called for each image of this rank that cannot be scored, which is then marked
            in the results. None: it ends the run. Metrics that fail are noted in the results.
    """

    sets: list[EvalSet]
    extras: ExtraMetrics
    interrupted: Callable[[], bool] = lambda: False
    progress: Callable[[str], None] = lambda _: None
    beside: bool = False
    on_failure: Callable[[str], None] | None = None

    def score(
        self,
        method: Method,
        label: str = "",
        save_dir: Path | None = None,
        on_image: OnImage = lambda *_: None,
    ) -> EvalResults | None:
        """Score a method.

        Args:
            method: :func:`.subject.network`, or :func:`.subject.bicubic`, which is scored as the
                papers' bicubic row by protocols that round luma (``protocols.classical_bicubic``).
            label: the method's name in tables.
            save_dir: keep results as ``SET/xSCALE/NAME.png`` there.
            on_image: called twice for each image of this rank.

        Raises:
            UserError: an image cannot be read or scored, and there is not an ``on_failure``.
        """
        sizes = [0 if s.dataset is None else len(s.dataset) for s in self.sets]
        work = [(number, index) for number, size in enumerate(sizes) for index in range(size)]
        own = work[launch.rank() :: launch.world_size()]
        # Further metrics may be networks, which would be in the way of this one.
        beside = int(self.beside and not self.extras.names)
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as scorer:
            reads = (partial(read_pair, self.sets[number], index) for number, index in own)
            pairs = zip(own, _ahead(reader, reads, beside))
            pairs = itertools.takewhile(lambda _: not self.interrupted(), pairs)
            upscaled = (self._upscaled(method, *pair, save_dir, on_image) for pair in pairs)
            local = [self._done(scored.result()) for scored in _ahead(scorer, upscaled, beside)]
        images = list(itertools.chain(*launch.gather(local)))
        return self._gathered(images, label) if len(images) == len(work) else None

    def _upscaled(
        self,
        method: Method,
        place: Place,
        reading: Future,
        save_dir: Path | None,
        on_image: OnImage,
    ) -> Callable[[], Scored]:
        """Have the method upscale an image; returns a function that saves and scores the result."""
        eval_set, fed = self.sets[place[0]], ""
        name, protocols = eval_set.dataset.gt.name_at(place[1]), eval_set.protocols

        def failed(error: UserError) -> Scored:
            return place, [{"name": name, **unscored(str(error))}] * len(protocols), fed

        try:
            pair = reading.result()
            fed = name + digest(pair.lq)
            image = {"set": eval_set.key, "name": name, "lq": pair.lq, "gt": pair.gt}
            on_image(image, None)
            sr, facts = _apply(method, pair.lq, eval_set.scale)
            # LR may have 8 bits where GT has 16, or the reverse: to the levels of GT.
            if (gain := peak_of(pair.gt) / peak_of(pair.lq)) != 1:
                sr = sr * gain
            whole = quantise(sr, peak_of(pair.gt))
            on_image(image, whole)
        except UserError as error:
            return partial(failed, error)

        def scored() -> Scored:
            if save_dir is not None:
                target = save_dir / eval_set.name / f"x{eval_set.scale}" / f"{name}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    write_image(target, whole)
                except UserError as error:
                    return failed(error)
                facts["sr_sha256"] = digest(whole)
            notes, rows = [*pair.notes, *facts.pop("notes", ())], []
            for protocol in protocols:
                row = self._row(protocol, method, sr, pair.hr, eval_set.scale)
                notes_here = {"notes": [*notes, *row.get("notes", ())]}
                rows.append({"name": name, **row, **notes_here, **facts})
            return place, rows, fed

        return scored

    def _row(
        self, protocol: Protocol, method: Method, sr: np.ndarray, hr: np.ndarray, scale: int
    ) -> dict[str, Any]:
        """The scores by one protocol; where it rounds luma, bicubic is computed from luma."""
        if method is not bicubic or not protocol.round_y:
            return self.extras.row(protocol, sr, hr, scale)
        hr = with_channels(hr, 3)
        try:
            sr = classical_bicubic(hr, scale)
        except UserError as error:
            return unscored(str(error))
        return ExtraMetrics([]).row(protocol, sr, hr, scale)  # luma alone: no further metrics

    def _done(self, scored: Scored) -> Scored:
        """Report an image's faults and the progress; returns it unchanged."""
        (number, _), rows, _ = scored
        name, image = self.sets[number].name, rows[0]["name"]
        for error in dict.fromkeys(row["error"] for row in rows if "error" in row):
            if self.on_failure is None:
                raise UserError(f"{image} of {name}: {error}")
            self.on_failure(f"not scored: {image} of {name}: {error}")
        self.progress(name)
        return scored

    def _gathered(self, images: list[Scored], label: str) -> EvalResults:
        """The images of all ranks as entries of results.json."""
        results = EvalResults(metrics=self.extras.names)
        images.sort(key=lambda image: image[0])
        for number, eval_set in enumerate(self.sets):
            own = [(rows, fed) for place, rows, fed in images if place[0] == number]
            if joined := "\n".join(fed for _, fed in own if fed):
                results.lq_sha256[eval_set.key] = hashlib.sha256(joined.encode()).hexdigest()
            notes = [f"not scored: {eval_set.error}"] if eval_set.error else []
            for place, protocol in enumerate(eval_set.protocols):
                rows = [rows[place] for rows, _ in own]
                metrics = [m for m in self.extras.names if any(m in row for row in rows)]
                cell = eval_set.name, eval_set.scale, protocol.name, rows, label
                entry = set_result(*cell, [*notes, *eval_set.notes], metrics)
                results.entries.append({**entry, "role": eval_set.role})
        return results


def score_with_hooks(
    runner: Any, mode: str, score: Callable[[OnImage], EvalResults | None]
) -> EvalResults | None:
    """Score, and call the hooks of ``runner`` as mmengine's loops do.

    These are ``before_MODE``, ``before_MODE_epoch``, ``before_MODE_iter`` and ``after_MODE_iter``
    for each image of this rank, ``after_MODE_epoch`` with the scores, and ``after_MODE``.

    Args:
        runner: has ``call_hook``.
        mode: 'val' or 'test'.
        score: :meth:`Evaluation.score` with what it is to call for each image.
    """
    number = -1

    def on_image(image: dict[str, Any], sr: np.ndarray | None) -> None:
        nonlocal number
        number += sr is None
        stage, result = ("before", {}) if sr is None else ("after", {"outputs": sr})
        runner.call_hook(f"{stage}_{mode}_iter", batch_idx=number, data_batch=image, **result)

    runner.call_hook(f"before_{mode}")
    runner.call_hook(f"before_{mode}_epoch")
    results = score(on_image)
    runner.call_hook(f"after_{mode}_epoch", metrics=results.scalars() if results else {})
    runner.call_hook(f"after_{mode}")
    return results


class Pair(NamedTuple):
    """One image of a set.

    Attributes:
        lq: (h, w, C) integers, what the method gets.
        gt: (h * scale, w * scale, C): the ground truth, cropped to the size of the result.
        hr: the ground truth as it is, up to ``scale - 1`` pixels larger.
        notes: what was done to them.
    """

    lq: np.ndarray
    gt: np.ndarray
    hr: np.ndarray
    notes: list[str]


def read_pair(eval_set: EvalSet, index: int) -> Pair:
    """Read an image of a set.

    Raises:
        UserError: it cannot be read; or it is grey and the network's output would not be, or so.
    """
    dataset = eval_set.dataset
    lq, gt = dataset.load(index)
    if lq is None:
        raise UserError("it has no low-quality image; eval_dataset has make_lq='none'")
    lq, gt = np.asarray(lq), np.asarray(gt)
    hr, wanted, notes = gt, eval_set.channels, []
    # Only some protocols want more than the crop, and decoding takes time.
    whole = any(protocol.on_mismatch != "crop" for protocol in eval_set.protocols)
    if whole and dataset.gt.shape_at(index)[:2] != gt.shape[:2]:
        hr = np.asarray(dataset.gt.read_at(index))
    if wanted in (1, 3) and {lq.shape[2], gt.shape[2]} != {wanted}:
        turned = "colour images were turned to grey, which is what the network takes"
        notes = [turned if wanted == 1 else "grey images were given to the network as RGB"]
        lq, gt, hr = (with_channels(x, wanted) for x in (lq, gt, hr))
        if dataset.lq is None:  # made here, so of the image as the network knows it
            lq = imresize(gt, scale=1 / eval_set.scale, border=dataset.border)
    return Pair(lq, gt, hr, notes)


def _ahead(
    pool: ThreadPoolExecutor, calls: Iterable[Callable[[], Any]], count: int
) -> Iterator[Future]:
    """The calls' results in order, ``count`` of them begun before their turn."""
    waiting: deque[Future] = deque()
    for call in calls:
        waiting.append(pool.submit(call))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def _apply(method: Method, lq: np.ndarray, scale: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The result, and the record of time, memory and the way it was done."""
    started = time.perf_counter()
    sr, record = method(lq, scale)
    record = {"seconds": time.perf_counter() - started, **record}
    found, wanted = (f"{x.shape[1] * s}x{x.shape[0] * s}" for x, s in ((sr, 1), (lq, scale)))
    if found != wanted:
        raise UserError(f"the result is {found}, not {wanted} (x{scale} of its input)")
    if not np.isfinite(sr).all():
        what = "the network's output has NaN or infinite pixels: the weights are broken"
        raise UserError(f"{what} (a diverged training, or another numeric convention)")
    return sr, record


def digest(picture: np.ndarray) -> str:
    """The SHA-256 of an image's shape, type and samples."""
    found = hashlib.sha256(f"{picture.shape} {picture.dtype} ".encode())
    found.update(np.ascontiguousarray(picture))
    return found.hexdigest()
