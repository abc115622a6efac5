"""twtygqyy's VDSR: the paper's network on one channel (Y), 0..1, no biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import Format, Layout, Names, Shapes, count


class VdsrLayout(Layout):
    """VDSR on one channel; at scale 1 it takes images that are enlarged already."""

    network = "VDSR"
    enlarges_first = True
    anchors = ("residual_layer.#.conv.weight", "input.weight", "output.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["input.weight"][:2]
        return {
            "type": "VDSR",
            "in_channels": in_channels,
            "out_channels": shapes["output.weight"][0],
            "channels": channels,
            "num_layers": count(shapes, "residual_layer.#.conv.weight") + 2,
            "scale": hints.get("scale", 1),
            "bias": "input.bias" in shapes,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        body = range(config.get("num_layers", 20) - 2)
        table = {f"residual_layer.{i}.conv": f"body.{i}" for i in body}
        return {"input": "conv_first", "output": "conv_last", **table}


FORMAT = Format("twtygqyy", "twtygqyy's VDSR", "0..1, no mean", (VdsrLayout(),))
