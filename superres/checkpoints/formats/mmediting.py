"""MMEditing 0.x and MMagic, under ``generator.`` in ``state_dict``: EDSR, MSRResNet, SRCNN, RDN,
RRDBNet; 0..1.

EDSR subtracts the mean, a plain attribute that is not in the file. The residual scale is not in
the file either and is 1 in the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import (
    MEAN,
    Format,
    Layout,
    Names,
    Shapes,
    count,
    scale_of,
)
from superres.checkpoints.formats.esrgan import RrdbLayout
from superres.checkpoints.formats.rdn import RdnLayout
from superres.errors import UserError


class EdsrLayout(Layout):
    """EDSR; the names are ours."""

    network = "EDSR"
    anchors = ("conv_first.weight", "body.#.conv#.weight", "upsample.#.upsample_conv.weight")
    absent = ("conv_hr.weight", "norm_after_body.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["conv_first.weight"][:2]
        return {
            "type": "EDSR",
            "in_channels": in_channels,
            "out_channels": shapes["conv_last.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "body.#.conv1.weight"),
            "scale": scale_of(shapes, (f"upsample.{k}.upsample_conv.weight" for k in range(3))),
            "res_scale": float(hints.get("res_scale", 1.0)),
            "rgb_mean": MEAN,
            "img_range": 1.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        scale = config.get("scale", 4)
        stages = 1 if scale == 3 else scale.bit_length() - 1
        names = ["conv_first", "conv_after_body", "conv_last"]
        names += [f"upsample.{k}.upsample_conv" for k in range(stages)]
        for i in range(config.get("num_blocks", 16)):
            names += [f"body.{i}.conv1", f"body.{i}.conv2"]
        return {name: name for name in names}


class MsrresnetLayout(Layout):
    """MSRResNet without activations after the pixel shuffles."""

    network = "MSRResNet"
    anchors = ("conv_first.weight", "trunk_net.#.conv#.weight", "upsample#.upsample_conv.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["conv_first.weight"][:2]
        return {
            "type": "MSRResNet",
            "in_channels": in_channels,
            "out_channels": shapes["conv_last.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "trunk_net.#.conv1.weight"),
            "scale": scale_of(shapes, (f"upsample{k}.upsample_conv.weight" for k in (1, 2))),
            "upsample_act": False,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {name: name for name in ("conv_first", "conv_hr", "conv_last")}
        for k in range(2 if config.get("scale", 4) == 4 else 1):
            table[f"upsample{k + 1}.upsample_conv"] = f"upsample.{k}.upsample_conv"
        for i in range(config.get("num_blocks", 16)):
            table |= {f"trunk_net.{i}.conv{n}": f"body.{i}.conv{n}" for n in (1, 2)}
        return table


class SrcnnLayout(Layout):
    """SRCNN with torch's bicubic inside; the file does not say the scale."""

    network = "SRCNN"
    enlarges_first = True
    anchors = ("conv#.weight", "conv#.bias")
    absent = ("conv#.#.weight", "conv_first.weight", "conv_last.weight", "bn#.weight", "fc.weight")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        convs = [shapes[f"conv{n}.weight"] for n in (1, 2, 3) if f"conv{n}.weight" in shapes]
        if len(convs) != 3:
            raise UserError(f"SRCNN has conv1, conv2 and conv3, this file {len(convs)} of them")
        return {
            "type": "SRCNN",
            "in_channels": convs[0][1],
            "out_channels": convs[2][0],
            "channels": [convs[0][0], convs[1][0]],
            "kernel_sizes": [shape[-1] for shape in convs],
            "scale": hints.get("scale", 1),
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        return {name: name for name in ("conv1", "conv2", "conv3")}


FORMAT = Format(
    "mmediting",
    "MMEditing / MMagic",
    "0..1, mean subtracted in EDSR",
    (EdsrLayout(), MsrresnetLayout(), SrcnnLayout(), RdnLayout(), RrdbLayout()),
    ("mmagic", "mmedit"),
)
