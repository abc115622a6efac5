"""The ablation study in authierj's fork of EDSR-PyTorch: ``model_best.pt``; 0..255, no mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from superres.checkpoints.formats import arguments, edsr_pytorch
from superres.checkpoints.formats.base import Format, Hints, Layout, Shapes
from superres.errors import UserError


def _before(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """Rows 1 and 2 share keys; only row 1 has no global skip."""
    blocks = arguments.count(shapes, "body.#.conv.weight")
    if blocks == 1 and "global_skip" not in hints:
        raise UserError(
            "three layers can be row 1 of the study (no global skip) or row 2 (with it); the "
            "file does not say. Pass format= (--format) 'authierj-task1' or 'authierj-task2'."
        )
    how = {"upsample": "before", "global_skip": bool(hints.get("global_skip", True))}
    sizes = {**arguments.ends(shapes), "num_blocks": blocks}
    return {**sizes, "scale": hints.get("scale", 2), **how}


def _after(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """A ReLU and a leaky ReLU leave no trace in a file.

    Six blocks of 64 without PReLU exist in the study only with the leaky one (row 7), so they are
    read so; everything else is ReLU.
    """
    found = arguments.blocks(shapes, hints)
    found["num_blocks"] = arguments.count(shapes, "body.#.conv.weight")
    normed = "body.0.norm.running_mean" in shapes
    leaky = (found["channels"], found["num_blocks"], normed) == (64, 6, False)
    slopes = "body.0.act.weight" in shapes
    act = "prelu" if slopes else hints.get("act", "lrelu" if leaky else "relu")
    return {**found, "batch_norm": normed, "act": act, "share_act": slopes}


def _settle(config: dict[str, Any], state: Mapping[str, torch.Tensor]) -> None:
    """The study's code shares one PReLU; a file of code that does not has several slopes."""
    slopes = [value for key, value in state.items() if key.endswith(".act.weight")]
    config["share_act"] = bool(slopes) and all(torch.equal(s, slopes[0]) for s in slopes)


BEFORE = Layout(  # rows 1 to 3: bicubic first
    "SRCNNAblation",
    _before,
    {"conv_first": "body.0.0", "body.{i}.conv": "body.{i+1}.0", "conv_last": "body.{I+1}.0"},
    tensors=("-body.#.#.bias", "-body.#.#.running_mean"),
    enlarges_first=True,
)
AFTER = Layout(  # rows 4, 5, 7, 8, 9, 11: pixel shuffle at the end
    "SRCNNAblation",
    _after,
    {**edsr_pytorch.ENDS, "body.{i}.conv": "body.{i}.0"},
    optional={"body.{i}.act": "body.{i}.1"},
    tensors=("-body.#.#.running_mean",),
    settle=_settle,
)
NORMED = replace(
    AFTER,
    optional={"body.{i}.norm": "body.{i}.1", "body.{i}.act": "body.{i}.2"},
    tensors=("body.#.#.running_mean",),
)
RESIDUAL = Layout(  # row 6: EDSR's blocks, no convolution after the body
    "SRCNNAblation",
    arguments.blocks,
    {**edsr_pytorch.ENDS, **edsr_pytorch.BLOCKS},
    convention={"block": "residual"},
)

FORMAT = Format(
    "authierj",
    "authierj's ablation study",
    "0..255, no mean",
    (BEFORE, AFTER, NORMED, RESIDUAL, edsr_pytorch.RCAN),
    variants={
        "authierj-task1": {"global_skip": False},
        "authierj-task2": {"global_skip": True},
        "authierj-relu": {"act": "relu"},
        "authierj-lrelu": {"act": "lrelu"},
    },
    order=9,
)
