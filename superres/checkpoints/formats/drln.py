"""The DRLN repository: DRLN on 0..255 with the mean *not* multiplied by 255, as published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import (
    MEAN,
    Format,
    Layout,
    Names,
    Shapes,
    scale_of,
    upsampler_names,
)
from superres.checkpoints.formats.edsr_pytorch import BAM_MODULES

LAPLACIAN_MODULES = {f"c{n}.body.0": f"c{n}" for n in (1, 2, 3, 4)}


class DrlnLayout(Layout):
    """DRLN: 20 modules b1..b20, 20 fusions c1..c20."""

    network = "DRLN"
    anchors = ("head.weight", "b#.r#.body.#.weight", "b#.ca.c#.body.#.weight", "tail.weight")
    mean_shift = ("sub_mean.shifter", "add_mean.shifter")
    attention = "laplacian"
    gates: dict[str, str] = LAPLACIAN_MODULES
    convention: dict[str, Any] = {  # noqa: RUF012
        "rgb_mean": [value / 255 for value in MEAN],
        "img_range": 255.0,
    }

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.weight"][:2]
        return {
            "type": "DRLN",
            "in_channels": in_channels,
            "out_channels": shapes["tail.weight"][0],
            "channels": channels,
            "scale": scale_of(shapes, (f"upsample.up.body.{k}.weight" for k in (0, 3, 6))),
            "attention": self.attention,
            **self.convention,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        table = {
            "head": "conv_first",
            "tail": "conv_last",
            **upsampler_names("upsample.up.body", "upsample", config.get("scale", 4), 3),
        }
        for n in range(20):
            table[f"c{n + 1}.body.0"] = f"fusions.{n}"
            theirs, ours = f"b{n + 1}", f"blocks.{n}"
            table[f"{theirs}.g.body.0"] = f"{ours}.fuse"
            for r in ("r1", "r2", "r3"):
                table[f"{theirs}.{r}.body.0"] = f"{ours}.{r}.conv1"
                table[f"{theirs}.{r}.body.2"] = f"{ours}.{r}.conv2"
            for gate, our_gate in self.gates.items():
                table[f"{theirs}.ca.{gate}"] = f"{ours}.attention.{our_gate}"
        return table


class DrlnBamLayout(DrlnLayout):
    """DRLN-BAM of super-image and of the BAM repository: 0..1, mean applied in both."""

    anchors = ("head.weight", "b#.r#.body.#.weight", "b#.ca.ca.fc#.weight", "tail.weight")
    attention = "bam"
    gates = {name: name for name in BAM_MODULES}  # noqa: RUF012
    convention = {"rgb_mean": MEAN, "img_range": 1.0}  # noqa: RUF012
    example = {"attention": "bam"}  # noqa: RUF012


FORMAT = Format(
    "drln",
    "DRLN repository",
    "0..255, mean of 0.45 (not 114) subtracted",
    (DrlnLayout(),),
    ("drln_repo", "drln-repo"),
)
