"""Scoring a method on sets of pictures, in one process or shared out over several."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.engine.config.values import to_plain
from superres.engine.distributed import launch
from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics, unscored
from superres.evaluation.protocols import Protocol, classical_bicubic, quantise
from superres.evaluation.results import set_result
from superres.imaging.io import with_channels, write_image

from .eval_pair import Pair, read_pair
from .predictor import Method, bicubic, peak
from .sets import EvalSet

OnPicture = Callable[[EvalSet, str, np.ndarray, np.ndarray, np.ndarray], None]
"""(set, name, lq, sr, gt): told of each result of this process, as integers HWC."""


@dataclass
class EvalResults:
    """Scores in the form of results.json: one entry per set and protocol, the mean over images.

    See :func:`superres.evaluation.results.set_result` for an entry. ``lq_sha256`` holds, by the
    sets' keys, a digest of all low-quality pictures as they were fed to the method; ``metrics``
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


def extra_metrics(cfg: Config, device: torch.device) -> ExtraMetrics:
    """The config's ``metrics``, loaded: a name, ``dict(type='NAME', ...)``, or a list of them;
    texts with commas work, too.

    Raises:
        UserError: they are something else, or cannot be had.
    """
    wanted = to_plain(cfg.get("metrics") or [])
    specs: list[str | dict[str, Any]] = []
    for spec in wanted if isinstance(wanted, list) else [wanted]:
        if not isinstance(spec, str | dict):
            raise UserError(f"config: metrics = {wanted!r} is no list of names or dict(type=...)")
        specs += spec.replace(",", " ").split() if isinstance(spec, str) else [spec]
    return ExtraMetrics(specs, str(device))


def evaluate(
    method: Method,
    sets: list[EvalSet],
    extras: ExtraMetrics,
    label: str = "",
    save_dir: Path | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda name: None,
    on_picture: OnPicture | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> EvalResults | None:
    """Score a method on sets; every image exactly once over all ranks.

    Args:
        method: :func:`.predictor.network`, or :func:`.predictor.bicubic`, which is scored as the
            papers' bicubic row by protocols that round luma (``protocols.classical_bicubic``).
        sets: from :func:`superres.engine.test.sets.prepare_sets`.
        extras: further metrics, by the same protocols.
        label: the method's name in tables.
        save_dir: keep results as ``SET/xSCALE/NAME.png`` there.
        interrupted: asked before each image; None is returned once it says so.
        progress: told the name of the set after each image of this rank.
        on_picture: told of each result of this rank.
        on_failure: told of each image of this rank that cannot be scored, which is then marked in
            the results. None: it ends the run, but for a further metric that cannot be had.

    Raises:
        UserError: an image cannot be read or scored, and there is no ``on_failure``.
    """
    local, stopped = [], False
    counts = [0 if eval_set.dataset is None else len(eval_set.dataset) for eval_set in sets]
    work = [(number, index) for number, count in enumerate(counts) for index in range(count)]
    for number, index in work[launch.rank() :: launch.world_size()]:
        if stopped := interrupted():
            break
        eval_set = sets[number]
        name = eval_set.dataset.gt.name_at(index)
        rows, fed = _score(method, eval_set, index, save_dir, on_picture, extras)
        errors = [row["error"] for row in rows if "error" in row]
        if errors and on_failure is None:
            raise UserError(f"{name} of {eval_set.name}: {errors[0]}")
        if on_failure:
            errors += [error for row in rows for error in row.get("metric_errors", {}).values()]
            for error in dict.fromkeys(errors):
                on_failure(f"not scored: {name} of {eval_set.name}: {error}")
        local.append((number, index, [{"name": name, **row} for row in rows], fed))
        progress(eval_set.name)
    parts = launch.gather((stopped, local))
    if any(stopped for stopped, _ in parts):
        return None
    gathered = sorted((image for _, images in parts for image in images), key=lambda i: i[:2])
    results = EvalResults(metrics=extras.names)
    for number, eval_set in enumerate(sets):
        images = [(rows, fed) for n, _, rows, fed in gathered if n == number]
        if joined := "\n".join(fed for _, fed in images if fed):
            results.lq_sha256[eval_set.key] = hashlib.sha256(joined.encode()).hexdigest()
        notes = [f"not scored: {eval_set.error}"] if eval_set.error else []
        for place, protocol in enumerate(eval_set.protocols):
            rows = [rows[place] for rows, _ in images]
            entry = set_result(
                eval_set.name,
                eval_set.scale,
                protocol.name,
                rows,
                label,
                notes=[*notes, *eval_set.notes],
                metrics=[metric for metric in extras.names if any(metric in row for row in rows)],
            )
            results.entries.append({**entry, "role": eval_set.role})
    return results


def _score(
    method: Method,
    eval_set: EvalSet,
    index: int,
    save_dir: Path | None,
    on_picture: OnPicture | None,
    extras: ExtraMetrics,
) -> tuple[list[dict[str, Any]], str]:
    """One image: its rows of results.json, one per protocol, and the digest of what was fed."""
    name, scale, fed = eval_set.dataset.gt.name_at(index), eval_set.scale, ""
    try:
        pair = read_pair(eval_set, index)
        fed = name + digest(pair.lq)
        sr, facts = _apply(method, pair.lq, scale)
        notes = [*pair.notes, *facts.pop("notes", ())]
        sr = sr * pair.gain if pair.gain != 1 else sr
        whole = quantise(sr, peak(pair.gt))
        if save_dir is not None:
            target = save_dir / eval_set.name / f"x{scale}" / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(target, whole)
            facts["sr_sha256"] = digest(whole)
        if on_picture is not None:
            on_picture(eval_set, name, pair.lq, whole, pair.gt)
    except UserError as error:
        return [unscored(str(error))] * len(eval_set.protocols), fed
    rows = [_row(protocol, method, sr, pair, scale, extras) for protocol in eval_set.protocols]
    return [{**row, "notes": [*notes, *row.get("notes", ())], **facts} for row in rows], fed


def _row(
    protocol: Protocol,
    method: Method,
    sr: np.ndarray,
    pair: Pair,
    scale: int,
    extras: ExtraMetrics,
) -> dict[str, Any]:
    if method is not bicubic or not protocol.round_y:
        return extras.row(protocol, sr, pair.hr, scale)
    hr = with_channels(pair.hr, 3)
    try:
        sr = classical_bicubic(hr, scale)
    except UserError as error:
        return unscored(str(error))
    return ExtraMetrics([]).row(protocol, sr, hr, scale)  # it is luma alone


def _apply(method: Method, lq: np.ndarray, scale: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The result, and the record of time, memory and the way it was done."""
    started = time.perf_counter()
    sr, record = method(lq, scale)
    record = {"seconds": time.perf_counter() - started, **record}
    height, width = lq.shape[0] * scale, lq.shape[1] * scale
    if sr.shape[:2] != (height, width):
        found = f"{sr.shape[1]}x{sr.shape[0]}"
        raise UserError(f"the result is {found}, not {width}x{height} (x{scale} of its input)")
    if not np.isfinite(sr).all():
        raise UserError(
            "the network's output has NaN or infinite pixels: the weights are broken (a diverged "
            "training, or another numeric convention)"
        )
    return sr, record


def digest(picture: np.ndarray) -> str:
    """The SHA-256 of a picture's shape, type and samples."""
    found = hashlib.sha256(f"{picture.shape} {picture.dtype} ".encode())
    found.update(np.ascontiguousarray(picture))
    return found.hexdigest()
