"""What results.json says beside the scores: what was tested, on what, and what it took."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights
from superres.checkpoints.files import sha256
from superres.datasets.conventions import CONVENTIONS
from superres.datasets.fingerprint import fingerprint_pair, rgb8
from superres.engine.config.values import scales_of, to_plain
from superres.errors import UserError
from superres.evaluation.published import find_published
from superres.evaluation.results import results_record, with_published
from superres.models.summary import summarise, summarise_network

from .evaluate import EvalResults
from .predictor import MEMORY_MEANS
from .published_columns import Standing, comparison, standing_of_training
from .sets import EvalSet
from .spandrel_model import FOREIGN, on_meta

FINGERPRINTED = 3
"""So many pictures of a set, the smallest, are compared with the known ways to make LR."""


def test_record(
    cfg: Config,
    checkpoint: Path,
    loaded: LoadedWeights,
    eval_sets: list[EvalSet],
    results: EvalResults,
    baselines: EvalResults,
    device: torch.device,
    inference: dict[str, Any],
    module: torch.nn.Module,
    standing: Standing,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a test; see :func:`superres.evaluation.results.results_record`."""
    used = {p.name: p for s in eval_sets for p in s.protocols}
    file = loaded.path  # the checkpoint may be a name, of weights in the package or downloaded
    meta = loaded.meta
    inference = {**module.inference, **inference}
    sets = [_set(s, results.lq_sha256.get(s.key)) for s in eval_sets]
    degradation = (cfg.get("published") or {}).get("degradation", "bicubic")
    compared = comparison(sets, standing, degradation, baselines.entries)
    return results_record(
        [compared(entry, ours=True) for entry in results.entries],
        used.values(),
        {"path": str(checkpoint), "sha256": sha256(file)},
        metrics,
        baselines=[compared(entry, ours=False) for entry in baselines.entries],
        config=str(cfg.filename),
        format=loaded.format,
        network=dict(loaded.config),
        published_network=standing.method and {"method": standing.method, "by": standing.known_by},
        train_set=_train_set(meta),
        iter=meta.get("iter"),
        seed=meta.get("seed"),
        selection=meta.get("selection") if file.name == "best.pth" else None,
        parameters=sum(p.numel() for p in module.backbone.parameters()),
        costs=_costs(loaded, scales_of(cfg), module),
        runtime=_runtime(results.entries),
        sets=sets,
        eval_dataset=to_plain(cfg.get("eval_dataset") or {}),
        inference=inference,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads() if device.type == "cpu" else None,
        memory_means=MEMORY_MEANS[device.type],
    )


def table_record(
    cfg: Config,
    eval_sets: list[EvalSet],
    results: EvalResults,
    baselines: EvalResults,
    iteration: int,
    pictures: int,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """As much of a record as tables need: the validation of the weights of one iteration."""
    inference = to_plain(cfg.model).get("inference") or {}
    standing = standing_of_training(cfg, pictures, bool(inference.get("self_ensemble")))
    scores = standing.scores if standing.method else []
    bicubic_scores = find_published("Bicubic")
    named = [{**entry, "method": f"iteration {iteration}"} for entry in results.entries]
    used = {p.name: p for s in eval_sets for p in s.protocols}
    return results_record(
        [with_published(entry, scores) for entry in named],
        used.values(),
        metrics=metrics,
        baselines=[with_published(entry, bicubic_scores) for entry in baselines.entries],
    )


def _train_set(meta: Mapping[str, Any]) -> str | None:
    """The name of what the weights were trained on, where the checkpoint tells."""
    config = meta.get("config")
    names = config.get("train_set") if isinstance(config, Mapping) else None
    names = names if isinstance(names, list) else [names]
    return " + ".join(names) if all(isinstance(name, str) for name in names) else None


def _costs(
    loaded: LoadedWeights, scales: list[int], module: torch.nn.Module
) -> list[dict[str, Any]]:
    """Parameters and operations per scale."""
    found = []
    for scale in scales:
        several = "scales" in loaded.config
        try:
            if loaded.format == FOREIGN:
                cost = summarise_network(on_meta(module.backbone), memory=False)
            else:
                cost = summarise(loaded.config, scale=scale if several else None, memory=False)
        except UserError:  # it needs numbers, or an operation has no meta implementation
            continue
        found.append(
            {
                "scale": scale,
                "parameters": cost.parameters,
                "flops": cost.flops,
                "flops_input": list(cost.input),
            }
        )
    return found


def _runtime(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Time and memory per set and scale; protocols share one run of the network."""
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        timed = [image for image in entry["images"] if "seconds" in image]
        if (entry["set"], entry["scale"]) in lines or not timed:
            continue
        seconds = [image["seconds"] for image in timed]
        lines[entry["set"], entry["scale"]] = {
            "set": entry["set"],
            "scale": entry["scale"],
            "memory_mb": max((i["memory_mb"] for i in timed if "memory_mb" in i), default=None),
            "seconds": {"total": math.fsum(seconds), "median": statistics.median(seconds)},
        }
    return list(lines.values())


def _set(eval_set: EvalSet, digest: str | None) -> dict[str, Any]:
    """Where a set's pictures came from, and the fingerprint of its low-quality ones."""
    described: dict[str, Any] = {"set": eval_set.name, "scale": eval_set.scale}
    dataset = eval_set.dataset
    if dataset is None:
        return {**described, "error": eval_set.error}
    made = dataset.lq is None
    return {
        **described,
        "gt": str(dataset.gt.path),
        "lq": None if made else str(dataset.lq.path),
        "images": len(dataset),
        "lq_fingerprint": {
            "sha256": digest,
            **(
                {"made_here": True, "convention": _made_by(dataset)}
                if made
                else {"made_here": False, **_convention(eval_set)}
            ),
        },
    }


def _made_by(dataset: Any) -> list[str]:
    if isinstance(dataset.make_lq, dict):
        return []
    return ["matlab" if dataset.border == "reflect" else "matlab-old"]


def _convention(eval_set: EvalSet) -> dict[str, Any]:
    """Which known ways reproduce the low-quality pictures exactly, judged by the smallest ones."""
    dataset = eval_set.dataset
    names = [convention.name for convention in CONVENTIONS]
    checked: list[str] = []
    try:
        shapes = [dataset.gt.shape_at(i) for i in range(len(dataset))]
        order = sorted(range(len(dataset)), key=lambda i: (shapes[i][0] * shapes[i][1], i))
        unfit = {*getattr(dataset, "faults", ()), *getattr(dataset, "rounded_up", ())}
        whole = [i for i in order if i not in unfit]
        for index in whole[:FINGERPRINTED]:
            lq, gt = (rgb8(np.asarray(picture)) for picture in dataset.load(index))
            found = fingerprint_pair(lq, gt, eval_set.scale)
            names = [name for name in names if found.get(name, (1,))[0] == 0]
            checked.append(dataset.gt.name_at(index))
    except UserError:  # pictures that cannot be read are told of where they are scored
        pass
    return {"convention": names if checked else None, "checked": checked}
