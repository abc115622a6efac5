"""Lornatang's SRResNet with batch norm; 0..1. (Its forward clamps the output; ours does not.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import Format, Layout, Names, Shapes, count, scale_of


class SrresnetLayout(Layout):
    """SRResNet."""

    network = "SRResNet"
    anchors = ("conv_block#.#.weight", "trunk.#.rcb.#.weight", "conv_block#.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["conv_block1.0.weight"][:2]
        stages = (f"upsampling.{k}.upsample_block.0.weight" for k in range(3))
        return {
            "type": "SRResNet",
            "in_channels": in_channels,
            "out_channels": shapes["conv_block3.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "trunk.#.rcb.0.weight"),
            "scale": scale_of(shapes, stages),
            "bias_before_norm": "conv_block2.0.bias" in shapes,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {
            "conv_block1.0": "conv_first",
            "conv_block1.1": "act_first",
            "conv_block2.0": "conv_after_body",
            "conv_block2.1": "norm_after_body",
            "conv_block3": "conv_last",
        }
        for i in range(config.get("num_blocks", 16)):
            for index, name in enumerate(("conv1", "norm1", "act", "conv2", "norm2")):
                table[f"trunk.{i}.rcb.{index}"] = f"body.{i}.{name}"
        scale = config.get("scale", 4)
        for k in range(1 if scale == 3 else scale.bit_length() - 1):
            table[f"upsampling.{k}.upsample_block.0"] = f"upsample.{k}.upsample_conv"
            table[f"upsampling.{k}.upsample_block.2"] = f"upsample.{k}.act_after"
        return table


FORMAT = Format("lornatang", "Lornatang's SRResNet", "0..1, no mean", (SrresnetLayout(),))
