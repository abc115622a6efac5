"""What results.json says beside the scores: what was tested, on what, and what it took."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights
from superres.datasets.fingerprint import CONVENTIONS, fingerprint_pair, rgb8
from superres.engine.config.values import scales_of, to_plain
from superres.errors import UserError
from superres.evaluation.published import Standing, compared, find_published, of_other_images
from superres.evaluation.results import EvalResults, results_record
from superres.models.summary import summarise

from .evaluate import Evaluation
from .sets import EvalSet
from .subject import MEMORY_MEANS

FINGERPRINTED = 3
"""So many images of a set, the smallest, are compared with the known ways to make LR."""


def scored_record(
    cfg: Config,
    evaluation: Evaluation,
    results: EvalResults,
    baselines: EvalResults,
    standing: Standing,
    checkpoint: Mapping[str, str] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """The scores of a test, or of a training's last weights, beside bicubic's and published ones.

    See :func:`superres.evaluation.results.results_record`; ``facts`` are its further entries.
    """
    sets = [_set(one, results.lq_sha256.get(one.key)) for one in evaluation.sets]
    made_by = {(line["set"], line["scale"]): _lq_made_by(line) for line in sets}
    others = of_other_images(baselines.entries)
    bicubic = Standing("Bicubic", find_published("Bicubic"))

    def beside(entry: dict[str, Any], of: Standing) -> dict[str, Any]:
        kind, note = made_by[entry["set"], entry["scale"]]
        entry = {**entry, "notes": [*entry.get("notes", ()), note]} if note else entry
        return compared(entry, of, kind, others)

    return results_record(
        [beside(entry, standing) for entry in results.entries],
        {p.name: p for s in evaluation.sets for p in s.protocols}.values(),
        checkpoint,
        evaluation.extras.described(),
        baselines=[beside(entry, bicubic) for entry in baselines.entries],
        sets=sets,
        **facts,
    )


def facts_of(
    cfg: Config,
    loaded: LoadedWeights,
    module: torch.nn.Module,
    device: torch.device,
    standing: Standing,
    results: EvalResults,
) -> dict[str, Any]:
    """What results.json says of a test beside its scores and what was asked for.

    Args:
        cfg: says on what it was tested.
        loaded, module: what was in the file, and the restorer with that.
        device: on which the restorer lies.
        standing: what of it is published.
        results: of the restorer.
    """
    meta, on_cpu = loaded.meta, device.type == "cpu"
    names = to_plain(meta.get("config") or {}).get("train_set")
    names = names if isinstance(names, list) else [names]
    return {
        "config": cfg.filename and str(cfg.filename),
        "format": loaded.format,
        "network": dict(loaded.config),
        "published_network": standing.method
        and {"method": standing.method, "by": standing.known_by},
        "train_set": " + ".join(names) if all(isinstance(n, str) for n in names) else None,
        **{key: meta.get(key) for key in ("iter", "seed")},
        "selection": meta.get("selection") if loaded.path.name == "best.pth" else None,
        "parameters": sum(p.numel() for p in module.backbone.parameters()),
        "costs": _costs(scales_of(cfg), module),
        "runtime": _runtime(results.entries),
        "eval_dataset": to_plain(cfg.get("eval_dataset") or {}),
        "device": "cpu" if on_cpu else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads() if on_cpu else None,
        "memory_means": MEMORY_MEANS[device.type],
    }


def _costs(scales: list[int], module: torch.nn.Module) -> list[dict[str, Any]]:
    """Parameters and operations per scale."""
    found = []
    for scale in scales:
        with suppress(UserError):  # it needs numbers, or an operation has no meta implementation
            cost = summarise(module.backbone, scale=scale, memory=False)
            sizes = {"parameters": cost.parameters, "flops": cost.flops}
            found.append({"scale": scale, **sizes, "flops_input": list(cost.input)})
    return found


def _runtime(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Time and memory per set and scale; protocols share one run of the network."""
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        if timed := [image for image in entry["images"] if "seconds" in image]:
            memory = max((i["memory_mb"] for i in timed if "memory_mb" in i), default=None)
            seconds = [image["seconds"] for image in timed]
            time = {"total": math.fsum(seconds), "median": statistics.median(seconds)}
            line = {"set": entry["set"], "scale": entry["scale"], "memory_mb": memory}
            lines[entry["set"], entry["scale"]] = {**line, "seconds": time}
    return list(lines.values())


def _set(eval_set: EvalSet, digest: str | None) -> dict[str, Any]:
    """Where a set's images came from, and the fingerprint of its low-quality ones."""
    described: dict[str, Any] = {"set": eval_set.name, "scale": eval_set.scale}
    dataset = eval_set.dataset
    if dataset is None:
        return {**described, "error": eval_set.error}
    made = dataset.lq is None
    if made:
        way = "matlab" if dataset.border == "reflect" else "matlab-old"
        origin = {"convention": [] if isinstance(dataset.make_lq, dict) else [way]}
    else:
        origin = _convention(dataset)
    return {
        **described,
        "gt": str(dataset.gt.path),
        "lq": None if made else str(dataset.lq.path),
        "images": len(dataset),
        "lq_fingerprint": {"sha256": digest, "made_here": made, **origin},
    }


def _convention(dataset: Any) -> dict[str, Any]:
    """Which known ways reproduce the low-quality images exactly, judged by the smallest ones."""
    names, checked, faults = list(CONVENTIONS), [], getattr(dataset, "faults", ())
    with suppress(UserError):  # unreadable images are reported where they are scored
        areas = {i: math.prod(dataset.gt.shape_at(i)[:2]) for i in range(len(dataset))}
        for i in sorted((i for i in areas if i not in faults), key=areas.get)[:FINGERPRINTED]:
            lq, gt = (rgb8(np.asarray(image)) for image in dataset.load(i))
            found = fingerprint_pair(lq, gt, dataset.scale)
            names = [name for name in names if found.get(name, (1,))[0] == 0]
            checked.append(dataset.gt.name_at(i))
    return {"convention": names if checked else None, "checked": checked}


def _lq_made_by(line: Mapping[str, Any]) -> tuple[str | None, str]:
    """How a set's LR was made (bicubic, blur-down, other; None: not known), and what to say."""
    fingerprint = line.get("lq_fingerprint") or {}
    names = fingerprint.get("convention")
    if names is None:
        return None, ""
    ways = [CONVENTIONS[name] for name in names]
    if any(way.family in ("matlab", "rounding") for way in ways):
        return "bicubic", ""
    kind = "blur-down" if "bd" in names else "other"
    if fingerprint["made_here"]:  # EvalSet's notes tell
        return kind, ""
    how = f"is not MATLAB's bicubic but {ways[0].text}" if ways else "made in no way known here"
    return kind, f"LR {how} (judged by {', '.join(fingerprint['checked'])})"
