"""Scoring a method on sets of images, in one process or shared out over several."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from superres.engine.distributed import launch
from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics, unscored
from superres.evaluation.protocols import Protocol, classical_bicubic, quantise
from superres.evaluation.results import set_result
from superres.imaging.io import with_channels, write_image
from superres.imaging.resize import imresize

from .sets import EvalSet
from .subject import Method, bicubic, peak

OnImage = Callable[[dict[str, Any], np.ndarray | None], None]
"""(image, sr): called for each image of this process before it is upscaled, with None for
``sr``, and with its result. ``image`` has ``set`` (its key), ``name``, ``lq``, ``gt``; arrays are
integers, HWC."""

Place = tuple[int, int]
"""The numbers of a set and of an image of it."""
Scored = tuple[Place, list[dict[str, Any]], str]
"""An image's rows of results.json, one per protocol, and the digest of what was fed."""


@dataclass
class EvalResults:
    """Scores in the form of results.json: one entry per set and protocol, the mean over images.

    See :func:`superres.evaluation.results.set_result` for an entry. ``lq_sha256`` holds, by the
    sets' keys, a digest of all low-quality images as they were fed to the method; ``metrics``
    the names of those beside PSNR and SSIM.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    lq_sha256: dict[str, str] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)

    def scalars(self) -> dict[str, float]:
        """``{'Set5/psnr': ...}`` of each set's main protocol, ``'Set5/psnr@NAME'`` of the others;
        ``'Set5_x3/psnr'`` where the entries are of several scales."""
        several = len({entry["scale"] for entry in self.entries}) > 1
        found: dict[str, float] = {}
        for entry in self.entries:
            key = f"{entry['set']}_x{entry['scale']}" if several else entry["set"]
            behind = f"@{entry['protocol']}" if f"{key}/psnr" in found else ""
            for metric in ("psnr", "ssim", *self.metrics):
                if entry.get(metric) is not None:
                    found[f"{key}/{metric}{behind}"] = entry[metric]
        return found


@dataclass(frozen=True)
class Evaluation:
    """Scores methods on the same sets; every image exactly once over all ranks.

    Attributes:
        sets: from :func:`superres.engine.test.sets.prepare_sets`.
        extras: metrics beside PSNR and SSIM, by the same protocols.
        interrupted: asked before each image; :meth:`score` returns None once it says so.
        progress: called with the name of the set after each image of this rank.
        beside: read the next image and score the last one while the method works. The time that
            it takes then includes waiting for the processor.
        on_failure: called for each image of this rank that cannot be scored, which is then marked
            in the results. None: it ends the run, but for a metric that is not available.
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
        on_image: OnImage | None = None,
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
            local = [self._told(*scored.result()) for scored in _ahead(scorer, upscaled, beside)]
        images = list(itertools.chain(*launch.gather(local)))
        return self._gathered(images, label) if len(images) == len(work) else None

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

    def _upscaled(
        self,
        method: Method,
        place: Place,
        reading: Future,
        save_dir: Path | None,
        on_image: OnImage | None,
    ) -> Callable[[], Scored]:
        """Have the method upscale an image; returns what saves and scores the result."""
        eval_set, pair, fault = self.sets[place[0]], None, None
        name, scale = eval_set.dataset.gt.name_at(place[1]), eval_set.scale
        try:
            pair = reading.result()
            image = {"set": eval_set.key, "name": name, "lq": pair.lq, "gt": pair.gt}
            if on_image is not None:
                on_image(image, None)
            sr, facts = _apply(method, pair.lq, scale)
            sr = sr * pair.gain if pair.gain != 1 else sr
            whole = quantise(sr, peak(pair.gt))
            if on_image is not None:
                on_image(image, whole)
        except UserError as error:
            fault = error

        def scored() -> Scored:
            fed = "" if pair is None else name + digest(pair.lq)
            try:
                if fault is not None:
                    raise fault
                if save_dir is not None:
                    target = save_dir / eval_set.name / f"x{scale}" / f"{name}.png"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_image(target, whole)
                    facts["sr_sha256"] = digest(whole)
            except UserError as error:
                rows = [unscored(str(error))] * len(eval_set.protocols)
            else:
                notes = [*pair.notes, *facts.pop("notes", ())]
                rows = [self._row(p, method, sr, pair, scale) for p in eval_set.protocols]
                rows = [{**row, "notes": [*notes, *row.get("notes", ())], **facts} for row in rows]
            return place, [{"name": name, **row} for row in rows], fed

        return scored

    def _told(self, place: Place, rows: list[dict[str, Any]], fed: str) -> Scored:
        """The same, its faults and that it is done being told."""
        name = self.sets[place[0]].name
        errors = [row["error"] for row in rows if "error" in row]
        if errors and self.on_failure is None:
            raise UserError(f"{rows[0]['name']} of {name}: {errors[0]}")
        if self.on_failure:
            errors += [error for row in rows for error in row.get("metric_errors", {}).values()]
            for error in dict.fromkeys(errors):
                self.on_failure(f"not scored: {rows[0]['name']} of {name}: {error}")
        self.progress(name)
        return place, rows, fed

    def _row(
        self, protocol: Protocol, method: Method, sr: np.ndarray, pair: Pair, scale: int
    ) -> dict[str, Any]:
        if method is not bicubic or not protocol.round_y:
            return self.extras.row(protocol, sr, pair.hr, scale)
        hr = with_channels(pair.hr, 3)
        try:
            sr = classical_bicubic(hr, scale)
        except UserError as error:
            return unscored(str(error))
        return ExtraMetrics([]).row(protocol, sr, hr, scale)  # it is luma alone


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


@dataclass
class Pair:
    """One image of a set.

    Attributes:
        lq: (h, w, C), what the method gets.
        gt: (h * scale, w * scale, C): the ground truth, cropped to what is asked for.
        hr: the ground truth as it is, up to ``scale - 1`` pixels larger (or smaller, where LR was
            rounded up).
        gain: by which a result in the range of ``lq`` is brought to that of ``hr``.
        notes: what was done to them.
    """

    lq: np.ndarray
    gt: np.ndarray
    hr: np.ndarray
    gain: float
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
    # Only some protocols want more than the crop (or what was resized), and decoding takes time.
    whole = any(protocol.on_mismatch != "crop" for protocol in eval_set.protocols)
    if whole and dataset.gt.shape_at(index)[:2] != gt.shape[:2]:
        hr = np.asarray(dataset.gt.read_at(index))
    if wanted in (1, 3) and {lq.shape[2], gt.shape[2]} != {wanted}:
        turned = "colour images were turned to grey, which is what the network takes"
        notes = [turned if wanted == 1 else "grey images were given to the network as RGB"]
        lq, gt, hr = (with_channels(x, wanted) for x in (lq, gt, hr))
        if dataset.lq is None:  # made here, so of the image as the network knows it
            lq = imresize(gt, scale=1 / eval_set.scale, border=dataset.border)
    return Pair(lq, gt, hr, peak(hr) / peak(lq), notes)


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
