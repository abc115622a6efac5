"""LIIF's EDSR encoder: head and body only. The input is (x - 0.5) / 0.5; no tail, no mean shift.

Good for starting a training from, not for enlarging pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import Format, Layout, Names, Shapes, count
from superres.checkpoints.formats.edsr_pytorch import published_res_scale


class TrunkLayout(Layout):
    """EDSR without upsampler and last convolution."""

    network = "EDSR"
    anchors = ("encoder.head.#.weight", "encoder.body.#.body.#.weight", "encoder.body.#.weight")
    mean_shift = ("encoder.sub_mean", "encoder.add_mean")
    mean_applied = False
    partial = True
    ignored = ("imnet.",)

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["encoder.head.0.weight"][:2]
        blocks = count(shapes, "encoder.body.#.body.0.weight")
        return {
            "type": "EDSR",
            "in_channels": in_channels,
            "out_channels": in_channels,
            "channels": channels,
            "num_blocks": blocks,
            "scale": hints.get("scale", 2),
            "res_scale": float(hints.get("res_scale", published_res_scale(channels, blocks))),
            "rgb_mean": [0.5] * in_channels,
            "rgb_std": [0.5] * in_channels,
            "img_range": 1.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        blocks = config.get("num_blocks", 16)
        table = {"encoder.head.0": "conv_first", f"encoder.body.{blocks}": "conv_after_body"}
        for i in range(blocks):
            table[f"encoder.body.{i}.body.0"] = f"body.{i}.conv1"
            table[f"encoder.body.{i}.body.2"] = f"body.{i}.conv2"
        return table


FORMAT = Format("liif", "LIIF's EDSR encoder", "-1..1, trunk only", (TrunkLayout(),))
