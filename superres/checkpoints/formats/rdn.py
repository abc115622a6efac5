"""RDN as MMEditing, MMagic and yjn870's repository store it (0..1), and EDSR-PyTorch (0..255)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from superres.checkpoints.formats.base import (
    Format,
    Layout,
    Names,
    Shapes,
    count,
    scale_of,
    upsampler_names,
)


class RdnLayout(Layout):
    """RDN of MMEditing, MMagic and yjn870."""

    network = "RDN"
    anchors = ("sfe#.weight", "rdbs.#.layers.#.conv.weight", "rdbs.#.lff.weight", "gff.#.weight")
    example: ClassVar = {"num_blocks": 2, "num_layers": 2}
    first, second, fuse, after = "sfe1", "sfe2", "gff.0", "gff.1"
    layer, block_fuse = "rdbs.{i}.layers.{j}.conv", "rdbs.{i}.lff"
    ups = "upscale"
    img_range = 1.0

    def last(self, stages: int) -> str:
        """Their name of the last convolution."""
        return "output"

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes[f"{self.first}.weight"][:2]
        found = (f"{self.ups}.{2 * k}.weight" for k in range(3))
        stages = [key for key in found if key in shapes and shapes[key][0] > channels]
        return {
            "type": "RDN",
            "in_channels": in_channels,
            "out_channels": shapes[f"{self.last(len(stages))}.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, self.block_fuse.format(i="#") + ".weight"),
            "num_layers": count(shapes, self.layer.format(i=0, j="#") + ".weight"),
            "growth": shapes[self.layer.format(i=0, j=0) + ".weight"][0],
            "scale": scale_of(shapes, stages),
            "img_range": self.img_range,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        upsampler = upsampler_names(self.ups, "upsample", config.get("scale", 4), 2)
        table = {
            self.first: "conv_first",
            self.second: "conv_second",
            self.fuse: "fuse",
            self.after: "conv_after_body",
            self.last(len(upsampler)): "conv_last",
            **upsampler,
        }
        for i in range(config.get("num_blocks", 16)):
            table[self.block_fuse.format(i=i)] = f"body.{i}.fuse"
            for j in range(config.get("num_layers", 8)):
                table[self.layer.format(i=i, j=j)] = f"body.{i}.layers.{j}"
        return table


class EdsrPytorchLayout(RdnLayout):
    """RDN of EDSR-PyTorch, whose last convolution closes the upsampler."""

    anchors = ("SFENet#.weight", "RDBs.#.convs.#.conv.#.weight", "UPNet.#.weight")
    first, second, fuse, after = "SFENet1", "SFENet2", "GFF.0", "GFF.1"
    layer, block_fuse = "RDBs.{i}.convs.{j}.conv.0", "RDBs.{i}.LFF"
    ups = "UPNet"
    img_range = 255.0

    def last(self, stages: int) -> str:
        return f"UPNet.{2 * stages}"


FORMAT = Format("rdn", "RDN", "0..1; of EDSR-PyTorch 0..255", (RdnLayout(), EdsrPytorchLayout()))
