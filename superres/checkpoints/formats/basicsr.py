"""BasicSR, under ``params`` or ``params_ema``: EDSR and RCAN (0..255 inside, mean subtracted),
MSRResNet, RRDBNet and SRVGGNetCompact (0..1). The residual scale is an option of the training file:
0.1 for EDSR's 32 blocks of 256."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from superres.checkpoints.formats.base import (
    MEAN,
    Format,
    Layout,
    Names,
    Shapes,
    count,
    scale_of,
    upsampler_names,
)
from superres.checkpoints.formats.edsr_pytorch import published_res_scale
from superres.checkpoints.formats.esrgan import RrdbLayout, SrvggLayout


class EdsrLayout(Layout):
    """EDSR; our names but for the upsampler."""

    network = "EDSR"
    anchors = (
        "conv_first.weight",
        "body.#.conv#.weight",
        "conv_after_body.weight",
        "upsample.#.weight",
    )

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["conv_first.weight"][:2]
        blocks = count(shapes, "body.#.conv1.weight")
        return {
            "type": "EDSR",
            "in_channels": in_channels,
            "out_channels": shapes["conv_last.weight"][0],
            "channels": channels,
            "num_blocks": blocks,
            "scale": scale_of(shapes, (f"upsample.{k}.weight" for k in (0, 2, 4))),
            "res_scale": float(hints.get("res_scale", published_res_scale(channels, blocks))),
            "rgb_mean": MEAN,
            "img_range": 255.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {name: name for name in ("conv_first", "conv_after_body", "conv_last")}
        table |= upsampler_names("upsample", "upsample", config.get("scale", 4), 2)
        for i in range(config.get("num_blocks", 16)):
            table |= {f"body.{i}.conv{n}": f"body.{i}.conv{n}" for n in (1, 2)}
        return table


class MsrresnetLayout(Layout):
    """MSRResNet with a leaky ReLU after each pixel shuffle."""

    network = "MSRResNet"
    anchors = ("conv_first.weight", "body.#.conv#.weight", "upconv#.weight", "conv_hr.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["conv_first.weight"][:2]
        return {
            "type": "MSRResNet",
            "in_channels": in_channels,
            "out_channels": shapes["conv_last.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "body.#.conv1.weight"),
            "scale": scale_of(shapes, ("upconv1.weight", "upconv2.weight")),
            "upsample_act": True,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {name: name for name in ("conv_first", "conv_hr", "conv_last")}
        for k in range(2 if config.get("scale", 4) == 4 else 1):
            table[f"upconv{k + 1}"] = f"upsample.{k}.upsample_conv"
        for i in range(config.get("num_blocks", 16)):
            table |= {f"body.{i}.conv{n}": f"body.{i}.conv{n}" for n in (1, 2)}
        return table


class RcanLayout(Layout):
    """RCAN, without the mean shift in the file."""

    network = "RCAN"
    anchors = ("conv_first.weight", "body.#.residual_group.#.rcab.#.attention.#.weight")
    example: ClassVar = {"num_groups": 2, "num_blocks": 2}

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["conv_first.weight"][:2]
        hidden = shapes["body.0.residual_group.0.rcab.3.attention.1.weight"][0]
        return {
            "type": "RCAN",
            "in_channels": in_channels,
            "out_channels": shapes["conv_last.weight"][0],
            "channels": channels,
            "num_groups": count(shapes, "body.#.conv.weight"),
            "num_blocks": count(shapes, "body.0.residual_group.#.rcab.0.weight"),
            "reduction": channels // hidden,
            "scale": scale_of(shapes, (f"upsample.{k}.weight" for k in (0, 2, 4))),
            "rgb_mean": MEAN,
            "img_range": 255.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {name: name for name in ("conv_first", "conv_after_body", "conv_last")}
        table |= upsampler_names("upsample", "upsample", config.get("scale", 4), 2)
        for g in range(config.get("num_groups", 10)):
            table[f"body.{g}.conv"] = f"body.{g}.conv"
            for i in range(config.get("num_blocks", 20)):
                theirs, ours = f"body.{g}.residual_group.{i}.rcab", f"body.{g}.blocks.{i}"
                table |= {
                    f"{theirs}.0": f"{ours}.conv1",
                    f"{theirs}.2": f"{ours}.conv2",
                    f"{theirs}.3.attention.1": f"{ours}.attention.down",
                    f"{theirs}.3.attention.3": f"{ours}.attention.up",
                }
        return table


FORMAT = Format(
    "basicsr",
    "BasicSR",
    "EDSR, RCAN: 0..255, mean subtracted, residual scale 0.1 in the full EDSR; others: 0..1",
    (EdsrLayout(), MsrresnetLayout(), RcanLayout(), RrdbLayout(), SrvggLayout()),
)
