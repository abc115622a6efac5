"""ESRGAN and Real-ESRGAN: RRDBNet in three generations of names, and SRVGGNetCompact; 0..1.

BasicSR, MMEditing and MMagic store RRDBNet as Real-ESRGAN does. Files lie under ``params_ema`` or
are bare; the oldest number the modules of one long Sequential.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar

from superres.checkpoints.formats.base import Format, Layout, Names, Shapes, count
from superres.errors import UserError


class RrdbLayout(Layout):
    """RRDBNet as BasicSR, Real-ESRGAN, MMEditing and MMagic have it."""

    network = "RRDBNet"
    anchors = ("conv_first.weight", "body.#.rdb#.conv#.weight", "conv_body.weight")
    example: ClassVar = {"num_blocks": 2}
    block = "body.{i}.rdb{j}.conv{k}"
    ups = "conv_up#.weight"
    not_ups = 0
    """How many other keys look like `ups`."""

    def outer(self, blocks: int, ups: int) -> list[str]:
        """Their names of the first convolution, that after the body, each enlargement's, the one
        at the target size and the last."""
        middle = [f"conv_up{n + 1}" for n in range(ups)]
        return ["conv_first", "conv_body", *middle, "conv_hr", "conv_last"]

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        blocks = count(shapes, self.block.format(i="#", j=1, k=1) + ".weight")
        ups = count(shapes, self.ups) - self.not_ups
        outer = self.outer(blocks, ups)
        channels, in_channels = shapes[f"{outer[0]}.weight"][:2]
        colours = shapes[f"{outer[-1]}.weight"][0]
        unshuffle = isqrt(in_channels // colours)
        return {
            "type": "RRDBNet",
            "in_channels": colours,
            "out_channels": colours,
            "channels": channels,
            "num_blocks": blocks,
            "growth": shapes[self.block.format(i=0, j=1, k=1) + ".weight"][0],
            "scale": 2**ups // unshuffle,
            "unshuffle": unshuffle,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        blocks, scale = config.get("num_blocks", 23), config.get("scale", 4)
        unshuffle = config.get("unshuffle") or max(4 // scale, 1)
        ups = (scale * unshuffle).bit_length() - 1
        middle = [f"upsample.{n}" for n in range(ups)]
        ours = ["conv_first", "conv_after_body", *middle, "conv_hr", "conv_last"]
        table = dict(zip(self.outer(blocks, ups), ours, strict=True))
        for i in range(blocks):
            for j in range(3):
                for k in range(5):
                    theirs = self.block.format(i=i, j=j + 1, k=k + 1)
                    table[theirs] = f"body.{i}.blocks.{j}.layers.{k}"
        return table


class EsrganLayout(RrdbLayout):
    """RRDBNet of the ESRGAN repository."""

    anchors = ("conv_first.weight", "RRDB_trunk.#.RDB#.conv#.weight", "trunk_conv.weight")
    block = "RRDB_trunk.{i}.RDB{j}.conv{k}"
    ups = "upconv#.weight"

    def outer(self, blocks: int, ups: int) -> list[str]:
        middle = [f"upconv{n + 1}" for n in range(ups)]
        return ["conv_first", "trunk_conv", *middle, "HRconv", "conv_last"]


class NumberedLayout(RrdbLayout):
    """RRDBNet of ESRGAN's first files and of many that people have trained since.

    All their names begin with ``model.``, which is off when a layout sees them.
    """

    anchors = ("#.weight", "#.sub.#.RDB#.conv#.#.weight", "#.sub.#.weight")
    absent = ("#.sub.#.RDB#.conv#x#.weight",)  # ESRGAN+, which has one path more
    block = "1.sub.{i}.RDB{j}.conv{k}.0"
    ups = "#.weight"
    not_ups = 3

    def outer(self, blocks: int, ups: int) -> list[str]:
        middle = [f"{3 * n + 3}" for n in range(ups)]
        return ["0", f"1.sub.{blocks}", *middle, f"{3 * ups + 2}", f"{3 * ups + 4}"]


class SrvggLayout(Layout):
    """SRVGGNetCompact with PReLUs, whose slopes are the vectors between the convolutions."""

    network = "SRVGGNetCompact"
    anchors = ("body.#.weight", "body.#.bias")

    def fits(self, patterns: set[str]) -> bool:
        return patterns == set(self.anchors)

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, colours = shapes["body.0.weight"][:2]
        biases = count(shapes, "body.#.bias")
        if "body.1.weight" not in shapes:
            raise UserError("no slopes between its convolutions: what activates them is not told")
        return {
            "type": "SRVGGNetCompact",
            "in_channels": colours,
            "out_channels": colours,
            "channels": channels,
            "num_convs": biases - 2,
            "scale": isqrt(shapes[f"body.{2 * biases - 2}.weight"][0] // colours),
            "act": "prelu",
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        return {f"body.{n}": f"body.{n}" for n in range(2 * config.get("num_convs", 16) + 3)}


FORMAT = Format(
    "real-esrgan",
    "ESRGAN / Real-ESRGAN",
    "0..1, no mean subtracted",
    (RrdbLayout(), EsrganLayout(), NumberedLayout(), SrvggLayout()),
    ("real_esrgan", "esrgan"),
)
