"""What is written once at the top of a config reaches every part that takes it.

A part gets a value that it does not state itself, and only where its signature declares the
argument. The config that a run saves states all of them. There, and in configs that repeat a value
by hand, a part follows its key: ``--cfg-options scale=2`` replaces every ``scale`` that was equal
to the one at the top.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from .types import accepted_arguments
from .values import get, to_plain

_BACKBONE = {"scale": "scale", "scales": "scale"}
_DATASET = {
    **_BACKBONE,
    "name": "train_set",
    "data_root": "data_root",
    "pipeline": "train_pipeline",
}
_TRANSFORM = {key: key for key in ("lq_patch_size", "margin", "global_batch_size")}
_SCHEDULES_TO_THE_END = ("Linear", "Poly")  # mmengine's default end is never: their rate would stay

TOP_LEVEL = (*_DATASET.values(), *_TRANSFORM, "max_iters", "num_workers", "degradation")
"""Keys whose values are handed on."""


def hand_on(cfg: Config, before: Mapping[str, Any]) -> None:
    """Give each part of a config the values that stand at its top and that it takes, in place.

    ====================================  =======================================================
    at the top                            goes to
    ====================================  =======================================================
    scale                                 ``scale`` or ``scales`` of the backbone and the dataset
    train_set, data_root, train_pipeline  ``name``, ``data_root``, ``pipeline`` of the dataset
    lq_patch_size, margin                 the crop
    global_batch_size                     transforms that take it
    degradation                           a ``dict(type='Degrade')`` of the pipeline without steps,
                                          and ``eval_dataset.make_lq``
    num_workers                           ``train_dataloader``
    max_iters                             ends of schedules: ``T_max`` (less ``begin``) of cosines,
                                          ``end`` of LinearLR and PolyLR, ``total_steps``
    ====================================  =======================================================

    Args:
        cfg: complete, with ``--cfg-options``; modules of a user's own are imported.
        before: the values at the top before ``--cfg-options``; a part that states one of them
            follows the new one.
    """
    root = cfg._cfg_dict

    def give(node: Any, argument: str, key: str) -> None:
        """One value, where the node states none or the one from before."""
        if not isinstance(node, dict):
            return
        known = before.get(key)
        followed = known is not None and to_plain(node.get(argument)) in (known, [known])
        if key in root and (argument not in node or followed):
            one = argument == "scales" and isinstance(root[key], int)
            node[argument] = [root[key]] if one else copy.deepcopy(root[key])

    def fill(node: Any, takes: Mapping[str, str]) -> None:
        accepted = accepted_arguments(node) if isinstance(node, dict) and "type" in node else ()
        for argument, key in takes.items():
            other = argument == "lq_patch_size" and node.get("gt_patch_size") is not None
            if argument in (accepted or ()) and not other:
                give(node, argument, key)

    pipeline = root.get("train_pipeline")
    steps = dict(enumerate(pipeline)) if isinstance(pipeline, list) else {}
    degradation = root.get("degradation")
    if steps and degradation is not None:
        for i, step in steps.items():
            if to_plain(step) in (before.get("degradation"), {"type": "Degrade"}):
                pipeline[i] = copy.deepcopy(degradation)
        give(root.setdefault("eval_dataset", ConfigDict()), "make_lq", "degradation")
    for step in steps and pipeline:
        fill(step, _TRANSFORM)
    fill(get(root, "model.backbone"), _BACKBONE)
    dataset = get(root, "train_dataloader.dataset")
    while isinstance(dataset, dict):
        fill(dataset, _DATASET)
        dataset = dataset.get("dataset")
    if isinstance(root.get("train_dataloader"), dict) and "num_workers" in root:
        root["train_dataloader"]["num_workers"] = root["num_workers"]
    schedules = root.get("param_scheduler")
    for schedule in schedules if isinstance(schedules, list) else ():
        if isinstance(schedule, dict) and "type" in schedule and "max_iters" in root:
            _end(schedule, root["max_iters"], before.get("max_iters"))


def _end(schedule: dict, max_iters: Any, before: Any) -> None:
    begin = schedule.get("begin", 0)
    accepted = accepted_arguments(schedule) or ()
    to_the_end = str(schedule["type"]).startswith(_SCHEDULES_TO_THE_END)
    for argument, less in (("T_max", begin), ("total_steps", begin), ("end", 0)):
        if argument not in accepted or (argument == "end" and not to_the_end):
            continue
        if argument == "T_max" and "end" in schedule:
            continue
        if not all(isinstance(number, int) for number in (max_iters, less)):
            continue  # which is told elsewhere
        if argument not in schedule or schedule[argument] == (before or math.inf) - less:
            schedule[argument] = max(1, max_iters - less)
