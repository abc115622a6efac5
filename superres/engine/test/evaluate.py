"""Scoring a model on sets of pictures, in one process or shared out over several."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.engine.config.values import to_plain
from superres.engine.distributed import launch
from superres.errors import UserError
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.protocols import Protocol, classical_bicubic, evaluate_pair
from superres.evaluation.results import set_result
from superres.imaging.io import with_channels, write_image
from superres.imaging.resize import imresize

from .eval_pair import read_pair
from .predictor import Method, network
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

    def of(self, key: str) -> dict[str, Any] | None:
        """The first entry of a set (``'Set5'``, ``'Set5_x3'``): its main protocol's; or the one
        of a protocol (``'Set5@mmediting-rgb'``)."""
        key, _, protocol = key.partition("@")
        for entry in self.entries:
            if key in (entry["set"], f"{entry['set']}_x{entry['scale']}") and (
                protocol in ("", entry["protocol"])
            ):
                return entry
        return None

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


def bicubic(lq: np.ndarray, scale: int) -> np.ndarray:
    """The baseline row of tables: MATLAB's bicubic."""
    return imresize(lq, scale=scale)


def quantise(picture: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round and clamp to integers: what is saved, and what most protocols score."""
    if picture.dtype == dtype:
        return picture
    return np.clip(np.rint(picture), 0, np.iinfo(dtype).max).astype(dtype)


def evaluate(
    model: torch.nn.Module | Method,
    sets: list[EvalSet],
    device: torch.device,
    save_dir: Path | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] | None = None,
    label: str = "",
    on_picture: OnPicture | None = None,
    on_failure: Callable[[str], None] | None = None,
    extras: ExtraMetrics | None = None,
    **options: Any,
) -> EvalResults | None:
    """Score a model, or any method, on sets; every image exactly once over all ranks.

    Args:
        model: a restorer, or a :data:`Method`; :func:`bicubic` is scored as the papers' bicubic
            row by protocols that round luma (see ``protocols.classical_bicubic``).
        sets: from :func:`superres.engine.test.sets.prepare_sets`.
        device: where a restorer lies.
        save_dir: keep results as ``SET/xSCALE/NAME.png`` there.
        interrupted: asked before each image; None is returned once it says so.
        progress: told the name of the set after each image of this rank.
        label: the method's name in tables.
        on_picture: told of each result of this rank.
        on_failure: told of each image of this rank that cannot be scored, which is then marked in
            the results. None: it ends the run, but for a further metric that cannot be had.
        extras: further metrics, by the same protocols.
        **options: of :func:`superres.inference.upscale_tensor`.

    Raises:
        UserError: an image cannot be read or scored, and there is no ``on_failure``.
    """
    is_network = isinstance(model, torch.nn.Module)
    method = network(model, device, **options) if is_network else model
    if is_network:
        was_training = model.training
        model.eval()
    local = []
    stopped = False
    with torch.inference_mode():
        for number, eval_set in enumerate(sets):
            for index in _share(eval_set):
                if interrupted():
                    stopped = True
                    break
                image = _score(method, eval_set, index, save_dir, on_picture, on_failure, extras)
                local.append((number, index, image))
                if progress:
                    progress(eval_set.name)
    if is_network:
        model.train(was_training)
    parts = launch.gather((stopped, local))
    if any(stopped for stopped, _ in parts):
        return None
    gathered = [entry for _, entries in parts for entry in entries]
    return _collect(sets, gathered, label, extras.names if extras else [])


def _share(eval_set: EvalSet) -> Iterator[int]:
    """This rank's images, the largest first, so that the ranks end at about the same time."""
    if eval_set.dataset is None:
        return
    store = eval_set.dataset.gt
    areas = []
    for i in range(len(store)):
        try:
            height, width, _ = store.shape_at(i)
        except UserError:  # told when its turn comes
            height = width = 0
        areas.append(height * width)
    order = sorted(range(len(store)), key=lambda i: (-areas[i], i))
    yield from order[launch.rank() :: launch.world_size()]


def _score(
    method: Method,
    eval_set: EvalSet,
    index: int,
    save_dir: Path | None,
    on_picture: OnPicture | None,
    on_failure: Callable[[str], None] | None,
    extras: ExtraMetrics | None,
) -> dict[str, Any]:
    """One image: its row of results.json by each protocol, and (protocol or '', note) pairs."""
    name = eval_set.dataset.gt.name_at(index)
    image: dict[str, Any] = {"rows": {}, "notes": []}
    facts: dict[str, Any] = {}
    faults: list[str] = []
    fault = None
    try:
        pair = read_pair(eval_set, index)
        image["lq_sha256"] = name + digest(pair.lq)
        sr, facts = _apply(method, pair.lq, eval_set)
        image["notes"] = [("", note) for note in [*pair.notes, *facts.pop("notes", ())]]
        sr = sr * pair.gain if pair.gain != 1 else sr
        whole = quantise(sr, pair.gt.dtype)
        if save_dir is not None:
            target = save_dir / eval_set.name / f"x{eval_set.scale}" / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(target, whole)
            facts["sr_sha256"] = digest(whole)
        if on_picture is not None:
            on_picture(eval_set, name, pair.lq, whole, pair.gt)
    except UserError as error:
        fault = str(error)
        faults.append(f"{name} of {eval_set.name}: {error}")
    for protocol in eval_set.protocols:
        row: dict[str, Any] = {"name": name, "psnr": None, "ssim": None}
        image["rows"][protocol.name] = row
        by = f"{name} of {eval_set.name} by {protocol.name}"
        if fault is None:
            classical = method is bicubic and protocol.round_y  # which is luma alone
            hr = with_channels(pair.hr, 3) if classical else pair.hr
            try:
                result = classical_bicubic(hr, eval_set.scale) if classical else sr
                scores, resized = _by(protocol, result, hr, eval_set.scale)
                row.update(scores)
                if resized:
                    note = "HR was resized, which raises the score"
                    image["notes"].append((protocol.name, note))
                if extras is not None and not classical:
                    found, lacking = extras.score(result, hr, eval_set.scale, protocol)
                    row.update(found, **({"metric_errors": lacking} if lacking else {}))
                    if on_failure:  # without a listener only what has no score at all ends the run
                        faults += [f"{by}: {error}" for error in lacking.values()]
            except UserError as error:
                row["error"] = str(error)
                faults.append(f"{by}: {error}")
        else:
            row["error"] = fault
        row.update(facts)
    if faults and on_failure is None:
        raise UserError(faults[0])
    for told in dict.fromkeys(faults):
        on_failure(f"not scored: {told}")
    return image


def _apply(method: Method, lq: np.ndarray, eval_set: EvalSet) -> tuple[np.ndarray, dict[str, Any]]:
    """The result, and the record of time, memory and the way it was done."""
    started = time.perf_counter()
    result = method(lq, eval_set.scale)
    sr, record = result if isinstance(result, tuple) else (result, {})
    record = {"seconds": time.perf_counter() - started, **record}
    expected = (lq.shape[0] * eval_set.scale, lq.shape[1] * eval_set.scale)
    if sr.shape[:2] != expected:
        raise UserError(
            f"the result is {sr.shape[1]}x{sr.shape[0]}, not {expected[1]}x{expected[0]} "
            f"(x{eval_set.scale} of its input)"
        )
    if not np.isfinite(sr).all():
        raise UserError(
            "the network's output has NaN or infinite pixels: the weights are broken (a diverged "
            "training, or another numeric convention)"
        )
    return sr, record


def _by(
    protocol: Protocol, sr: np.ndarray, hr: np.ndarray, scale: int
) -> tuple[dict[str, float], bool]:
    """The scores by one protocol, for which grey images have two dimensions, and whether HR was
    resized for them."""
    sr, hr = (x[:, :, 0] if x.ndim == 3 and x.shape[2] == 1 else x for x in (sr, hr))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        scores = evaluate_pair(sr, hr, scale, protocol)
    return scores, any("resizes HR" in str(w.message) for w in said)


def digest(picture: np.ndarray) -> str:
    """The SHA-256 of a picture's shape, type and samples."""
    found = hashlib.sha256(f"{picture.shape} {picture.dtype} ".encode())
    found.update(np.ascontiguousarray(picture))
    return found.hexdigest()


def _collect(
    sets: list[EvalSet],
    gathered: list[tuple[int, int, dict[str, Any]]],
    label: str,
    metrics: list[str],
) -> EvalResults:
    results = EvalResults(metrics=metrics)
    gathered.sort(key=lambda entry: entry[:2])
    for number, eval_set in enumerate(sets):
        images = [entry for n, _, entry in gathered if n == number]
        digests = [image["lq_sha256"] for image in images if "lq_sha256" in image]
        if digests:
            joined = "\n".join(digests).encode()
            results.lq_sha256[eval_set.key] = hashlib.sha256(joined).hexdigest()
        for protocol in eval_set.protocols:
            rows = [image["rows"][protocol.name] for image in images]
            entry = set_result(
                eval_set.name,
                eval_set.scale,
                protocol.name,
                rows,
                label,
                notes=[*_notes(images, protocol.name, eval_set.error), *eval_set.notes],
                metrics=[metric for metric in metrics if any(metric in row for row in rows)],
            )
            results.entries.append({**entry, "role": eval_set.role})
    return results


def _notes(images: list[dict[str, Any]], protocol: str, error: str) -> list[str]:
    """What was said of images, each sentence once, and of how many."""
    said = [note for i in images for of, note in i["notes"] if of in ("", protocol)]
    told = [
        note if count == len(images) else f"{note} ({count} of {len(images)} images)"
        for note, count in Counter(said).items()
    ]
    return [f"not scored: {error}", *told] if error else told
