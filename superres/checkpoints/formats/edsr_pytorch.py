"""EDSR-PyTorch (the EDSR authors' PyTorch code): EDSR, MDSR, RCAN and an RGB VDSR.

Bare state dicts in ``.pt`` files. The networks work on 0..255 and hold the mean shift as 1x1
convolutions, trainable by accident in older releases, so the values are taken from the file.
The residual scale is not in the file: 0.1 in the published full EDSR (32 blocks of 256), else 1.
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
    upsampler_names,
)


def published_res_scale(channels: int, num_blocks: int) -> float:
    """0.1 for the full EDSR, 1 (the code's default) for every other size."""
    return 0.1 if (channels, num_blocks) == (256, 32) else 1.0


class EdsrLayout(Layout):
    """EDSR; with attention modules of the BAM repository where the file has them."""

    network = "EDSR"
    anchors = ("head.#.weight", "body.#.body.#.weight", "body.#.weight", "tail.#.#.weight")
    absent = ("body.#.body.#.body.#.conv_du.#.weight",)
    mean_shift = ("sub_mean", "add_mean")
    convention: dict[str, Any] = {"rgb_mean": MEAN, "img_range": 255.0}  # noqa: RUF012

    def res_scale(self, channels: int, num_blocks: int) -> float:
        """The residual scale the format implies."""
        return published_res_scale(channels, num_blocks)

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.0.weight"][:2]
        blocks = count(shapes, "body.#.body.0.weight")
        config = {
            "type": "EDSR",
            "in_channels": in_channels,
            "out_channels": shapes["tail.1.weight"][0],
            "channels": channels,
            "num_blocks": blocks,
            "scale": scale_of(shapes, (f"tail.0.{k}.weight" for k in (0, 2, 4))),
            "res_scale": float(hints.get("res_scale", self.res_scale(channels, blocks))),
            **self.convention,
        }
        if "attention.ca.fc1.weight" in shapes:
            config["attention"] = "bam"
        return config

    def names(self, config: Mapping[str, Any]) -> Names:
        blocks = config.get("num_blocks", 16)
        table = {
            "head.0": "conv_first",
            f"body.{blocks}": "conv_after_body",
            "tail.1": "conv_last",
            **upsampler_names("tail.0", "upsample", config.get("scale", 4), 2),
        }
        for i in range(blocks):
            table |= {f"body.{i}.body.0": f"body.{i}.conv1", f"body.{i}.body.2": f"body.{i}.conv2"}
        if config.get("attention"):
            table |= {f"attention.{m}": f"attention.{m}" for m in BAM_MODULES}
        return table


BAM_MODULES = ("ca.fc1", "ca.relu1", "ca.fc2", "sa.conv1")


class MdsrLayout(Layout):
    """MDSR; its scale modules are numbered by position in the list of scales."""

    network = "MDSR"
    anchors = ("head.#.weight", "pre_process.#.#.body.#.weight", "upsample.#.#.weight")
    mean_shift = ("sub_mean", "add_mean")

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.0.weight"][:2]
        scales = [
            scale_of(shapes, (f"upsample.{k}.{i}.weight" for i in (0, 2, 4)))
            for k in range(count(shapes, "upsample.#.0.weight"))
        ]
        return {
            "type": "MDSR",
            "in_channels": in_channels,
            "out_channels": shapes["tail.0.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "body.#.body.0.weight"),
            "scales": scales,
            "pre_kernel_size": shapes["pre_process.0.0.body.0.weight"][-1],
            "res_scale": float(hints.get("res_scale", 1.0)),
            "rgb_mean": MEAN,
            "img_range": 255.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        blocks = config.get("num_blocks", 16)
        table = {"head.0": "conv_first", f"body.{blocks}": "conv_after_body", "tail.0": "conv_last"}
        for i in range(blocks):
            table |= {f"body.{i}.body.0": f"body.{i}.conv1", f"body.{i}.body.2": f"body.{i}.conv2"}
        for k, scale in enumerate(config.get("scales", (2, 3, 4))):
            for i in range(2):
                table[f"pre_process.{k}.{i}.body.0"] = f"pre_process.{scale}.{i}.conv1"
                table[f"pre_process.{k}.{i}.body.2"] = f"pre_process.{scale}.{i}.conv2"
            table |= upsampler_names(f"upsample.{k}", f"upsample.{scale}", scale, 2)
        return table


class RcanLayout(Layout):
    """RCAN, the same in its own repository."""

    network = "RCAN"
    anchors = ("head.#.weight", "body.#.body.#.body.#.conv_du.#.weight", "tail.#.weight")
    mean_shift = ("sub_mean", "add_mean")
    example = {"num_groups": 2, "num_blocks": 2}  # noqa: RUF012

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.0.weight"][:2]
        hidden = shapes["body.0.body.0.body.3.conv_du.0.weight"][0]
        return {
            "type": "RCAN",
            "in_channels": in_channels,
            "out_channels": shapes["tail.1.weight"][0],
            "channels": channels,
            "num_groups": count(shapes, "body.#.body.0.body.0.weight"),
            "num_blocks": count(shapes, "body.0.body.#.body.0.weight"),
            "reduction": channels // hidden,
            "scale": scale_of(shapes, (f"tail.0.{k}.weight" for k in (0, 2, 4))),
            "rgb_mean": MEAN,
            "img_range": 255.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        groups, blocks = config.get("num_groups", 10), config.get("num_blocks", 20)
        table = {
            "head.0": "conv_first",
            f"body.{groups}": "conv_after_body",
            "tail.1": "conv_last",
            **upsampler_names("tail.0", "upsample", config.get("scale", 4), 2),
        }
        for g in range(groups):
            table[f"body.{g}.body.{blocks}"] = f"body.{g}.conv"
            for i in range(blocks):
                theirs, ours = f"body.{g}.body.{i}.body", f"body.{g}.blocks.{i}"
                table |= {
                    f"{theirs}.0": f"{ours}.conv1",
                    f"{theirs}.2": f"{ours}.conv2",
                    f"{theirs}.3.conv_du.0": f"{ours}.attention.down",
                    f"{theirs}.3.conv_du.2": f"{ours}.attention.up",
                }
        return table


class VdsrLayout(Layout):
    """VDSR on RGB with biases; at scale 1 it takes images that are enlarged already."""

    network = "VDSR"
    enlarges_first = True
    anchors = ("body.#.#.weight", "body.#.#.bias")
    absent = ("head.#.weight", "head.#.#.weight", "body.#.#.running_mean")
    mean_shift = ("sub_mean", "add_mean")
    example = {"in_channels": 3, "out_channels": 3, "bias": True}  # noqa: RUF012

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["body.0.0.weight"][:2]
        layers = count(shapes, "body.#.0.weight")
        return {
            "type": "VDSR",
            "in_channels": in_channels,
            "out_channels": shapes[f"body.{layers - 1}.0.weight"][0],
            "channels": channels,
            "num_layers": layers,
            "scale": hints.get("scale", 1),
            "bias": True,
            "rgb_mean": MEAN,
            "img_range": 255.0,
        }

    def names(self, config: Mapping[str, Any]) -> Names:
        layers = config.get("num_layers", 20)
        table = {f"body.{i + 1}.0": f"body.{i}" for i in range(layers - 2)}
        return {"body.0.0": "conv_first", f"body.{layers - 1}.0": "conv_last", **table}


FORMAT = Format(
    "edsr-pytorch",
    "EDSR-PyTorch",
    "0..255, mean subtracted, residual scale 0.1 in the full EDSR and 1 elsewhere",
    (EdsrLayout(), MdsrLayout(), RcanLayout(), VdsrLayout()),
    ("edsr_pytorch",),
)
