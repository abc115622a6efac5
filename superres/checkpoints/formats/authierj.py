"""The ablation study in authierj's fork of EDSR-PyTorch: ``model_best.pt``; 0..255, no mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from superres.checkpoints.formats.base import (
    Format,
    Layout,
    Names,
    Shapes,
    count,
    scale_of,
    upsampler_names,
)
from superres.checkpoints.formats.edsr_pytorch import RcanLayout
from superres.errors import UserError


class BeforeLayout(Layout):
    """Rows 1 to 3: bicubic first. Row 1 and 2 share keys; only row 1 has no global skip."""

    network = "SRCNNAblation"
    enlarges_first = True
    anchors = ("body.#.#.weight",)
    absent = ("body.#.#.bias", "head.#.weight", "head.#.#.weight", "body.#.#.running_mean")
    example = {"upsample": "before"}  # noqa: RUF012

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["body.0.0.weight"][:2]
        layers = count(shapes, "body.#.0.weight")
        if layers == 3 and "global_skip" not in hints:
            raise UserError(
                "three layers can be row 1 of the study (no global skip) or row 2 (with it); the "
                "file does not say. Pass format= (--format) 'authierj-task1' or 'authierj-task2'."
            )
        return {
            "type": "SRCNNAblation",
            "in_channels": in_channels,
            "out_channels": shapes[f"body.{layers - 1}.0.weight"][0],
            "channels": channels,
            "num_blocks": layers - 2,
            "scale": hints.get("scale", 2),
            "upsample": "before",
            "global_skip": bool(hints.get("global_skip", True)),
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        blocks = config.get("num_blocks", 6)
        table = {f"body.{i + 1}.0": f"body.{i}.conv" for i in range(blocks)}
        return {"body.0.0": "conv_first", f"body.{blocks + 1}.0": "conv_last", **table}


class AfterLayout(Layout):
    """Rows 4, 5, 7, 8, 9, 11: pixel shuffle at the end.

    A ReLU and a leaky ReLU leave no trace in a file. Six blocks of 64 without PReLU exist in the
    study only with the leaky one (row 7), so they are read so; everything else is ReLU. The
    format names authierj-relu and authierj-lrelu decide otherwise.
    """

    network = "SRCNNAblation"
    anchors = ("head.#.weight", "body.#.#.weight", "tail.#.#.weight", "tail.#.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.0.weight"][:2]
        blocks = count(shapes, "body.#.0.weight")
        batch_norm = "body.0.1.running_mean" in shapes
        slopes = f"body.0.{2 if batch_norm else 1}.weight" in shapes
        leaky = (channels, blocks, batch_norm) == (64, 6, False)
        return {
            "type": "SRCNNAblation",
            "in_channels": in_channels,
            "out_channels": shapes["tail.1.weight"][0],
            "channels": channels,
            "num_blocks": blocks,
            "scale": scale_of(shapes, (f"tail.0.{k}.weight" for k in (0, 2, 4))),
            "batch_norm": batch_norm,
            "act": "prelu" if slopes else hints.get("act", "lrelu" if leaky else "relu"),
            "share_act": slopes,
        }

    def settle(self, config: dict[str, Any], state: Mapping[str, torch.Tensor]) -> None:
        # The study's code shares one PReLU; a file of code that does not has several slopes.
        slopes = [value for key, value in state.items() if key.endswith(".act.weight")]
        config["share_act"] = bool(slopes) and all(torch.equal(s, slopes[0]) for s in slopes)

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {
            "head.0": "conv_first",
            "tail.1": "conv_last",
            **upsampler_names("tail.0", "upsample", config.get("scale", 2), 2),
        }
        for i in range(config.get("num_blocks", 6)):
            table[f"body.{i}.0"] = f"body.{i}.conv"
            position = 1
            if config.get("batch_norm"):
                table[f"body.{i}.1"] = f"body.{i}.norm"
                position = 2
            if config.get("act") == "prelu":
                table[f"body.{i}.{position}"] = f"body.{i}.act"
        return table


class ResidualLayout(Layout):
    """Row 6: EDSR's blocks, no convolution after the body."""

    network = "SRCNNAblation"
    anchors = ("head.#.weight", "body.#.body.#.weight", "tail.#.#.weight", "tail.#.weight")
    absent = ("body.#.weight", "sub_mean.weight", "body.#.body.#.body.#.conv_du.#.weight")
    example = {"block": "residual"}  # noqa: RUF012

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.0.weight"][:2]
        return {
            "type": "SRCNNAblation",
            "in_channels": in_channels,
            "out_channels": shapes["tail.1.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "body.#.body.0.weight"),
            "scale": scale_of(shapes, (f"tail.0.{k}.weight" for k in (0, 2, 4))),
            "block": "residual",
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {
            "head.0": "conv_first",
            "tail.1": "conv_last",
            **upsampler_names("tail.0", "upsample", config.get("scale", 2), 2),
        }
        for i in range(config.get("num_blocks", 6)):
            table |= {f"body.{i}.body.0": f"body.{i}.conv1", f"body.{i}.body.2": f"body.{i}.conv2"}
        return table


FORMAT = Format(
    "authierj",
    "authierj's ablation study",
    "0..255, no mean",
    (BeforeLayout(), AfterLayout(), ResidualLayout(), RcanLayout()),
    variants={
        "authierj-task1": {"global_skip": False},
        "authierj-task2": {"global_skip": True},
        "authierj-relu": {"act": "relu"},
        "authierj-lrelu": {"act": "lrelu"},
    },
)
