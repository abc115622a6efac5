"""The arguments of each network, from the shapes of its tensors under our names and from hints."""

from __future__ import annotations

import re
from itertools import pairwise
from math import isqrt
from typing import Any

from superres.checkpoints.formats.base import Arguments, Hints, Shapes
from superres.errors import UserError


def count(shapes: Shapes, template: str) -> int:
    """How many numbers stand in place of '#' in keys like ``template``: 'body.#.conv1.weight'."""
    regex = re.compile(re.escape(template).replace(r"\#", r"(\d+)"))
    return len({m[1] for key in shapes if (m := regex.fullmatch(key))})


def scale_of(shapes: Shapes, upsampler: str = "upsample") -> int:
    """The scale of a pixel-shuffle upsampler from its convolutions' shapes.

    Raises:
        UserError: not an upsampler of a network here.
    """
    keys = [f"{upsampler}.{k}.upsample_conv.weight" for k in range(3)]
    stages = [shapes[key] for key in (*keys, "conv_last.weight") if key in shapes]
    factors = [stage[0] // after[1] for stage, after in pairwise(stages)]
    scale = {(4,): 2, (9,): 3, (4, 4): 4, (4, 4, 4): 8}.get(tuple(factors))
    if scale is None:
        raise UserError(f"an upsampler with stages of {factors} times the channels is unknown")
    return scale


def ends(shapes: Shapes) -> dict[str, int]:
    """The width and the colours, from the first and the last convolution."""
    channels, colours = shapes["conv_first.weight"][:2]
    made = shapes.get("conv_last.weight", (colours,))[0]
    return {"in_channels": colours, "out_channels": made, "channels": channels}


def blocks(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """MSRResNet, and what is like it: blocks of two convolutions, then pixel shuffle.

    A trunk without the upsampler is for any scale.
    """
    number, whole = count(shapes, "body.#.conv1.weight"), "conv_last.weight" in shapes
    scale = scale_of(shapes) if whole else hints.get("scale", 2)
    return {**ends(shapes), "num_blocks": number, "scale": scale}


def edsr(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """EDSR; the residual scale is 0.1 in the published full one (32 blocks of 256), else 1."""
    found = blocks(shapes, hints)
    full = (found["channels"], found["num_blocks"]) == (256, 32)
    found["res_scale"] = float(hints.get("res_scale", 0.1 if full else 1))
    return found | ({"attention": "bam"} if "attention.ca.fc1.weight" in shapes else {})


def mdsr(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """MDSR, whose parts for each scale are numbered in any way."""
    numbers = sorted({int(key.split(".")[1]) for key in shapes if key.startswith("upsample.")})
    found = {
        **ends(shapes),
        "num_blocks": count(shapes, "body.#.conv1.weight"),
        "scales": [scale_of(shapes, f"upsample.{number}") for number in numbers],
        "res_scale": float(hints.get("res_scale", 1)),
        "pre_kernel_size": shapes[f"pre_process.{numbers[0]}.0.conv1.weight"][-1],
    }
    if "body.0.attention.ca.fc1.weight" in shapes:
        in_pre = f"pre_process.{numbers[0]}.0.attention.ca.fc1.weight" in shapes
        found |= {"attention": "bam", "attention_in_pre": in_pre}
    return found


def rcan(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """RCAN."""
    hidden, channels = shapes["body.0.blocks.0.attention.down.weight"][:2]
    return {
        **ends(shapes),
        "num_groups": count(shapes, "body.#.conv.weight"),
        "num_blocks": count(shapes, "body.0.blocks.#.conv1.weight"),
        "reduction": channels // hidden,
        "scale": scale_of(shapes),
    }


def drln(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """DRLN."""
    return {**ends(shapes), "scale": scale_of(shapes)}


def rdn(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """RDN."""
    found, up = ends(shapes), shapes["conv_last.weight"][1]
    return {
        **found,
        "num_blocks": count(shapes, "body.#.fuse.weight"),
        "num_layers": count(shapes, "body.0.layers.#.weight"),
        "growth": shapes["body.0.layers.0.weight"][0],
        "up_channels": up if up != found["channels"] else None,
        "scale": scale_of(shapes),
    }


def rrdbnet(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """RRDBNet; what its first convolution takes beyond the colours comes from a pixel unshuffle."""
    found = ends(shapes)
    unshuffle = isqrt(found["in_channels"] // found["out_channels"])
    return {
        **found,
        "in_channels": found["out_channels"],
        "num_blocks": count(shapes, "body.#.blocks.0.layers.0.weight"),
        "growth": shapes["body.0.blocks.0.layers.0.weight"][0],
        "scale": 2 ** count(shapes, "upsample.#.weight") // unshuffle,
        "unshuffle": unshuffle,
    }


def srvggnet(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """SRVGGNetCompact with PReLUs, whose slopes are the vectors between the convolutions."""
    channels, colours = shapes["body.0.weight"][:2]
    convs = count(shapes, "body.#.bias")
    if "body.1.weight" not in shapes:
        raise UserError("no slopes between its convolutions: what activates them is not told")
    scale = isqrt(shapes[f"body.{2 * convs - 2}.weight"][0] // colours)
    sizes = {"channels": channels, "num_convs": convs - 2, "scale": scale, "act": "prelu"}
    return {"in_channels": colours, "out_channels": colours, **sizes}


def srcnn(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """SRCNN; at scale 1 it takes images that are upscaled already."""
    convs = [shapes[key] for key in sorted(shapes) if key.endswith(".weight")]
    if len(convs) != 3:
        raise UserError(f"SRCNN has conv1, conv2 and conv3, this file {len(convs)} of them")
    return {
        "in_channels": convs[0][1],
        "out_channels": convs[2][0],
        "channels": [convs[0][0], convs[1][0]],
        "kernel_sizes": [shape[-1] for shape in convs],
        "scale": hints.get("scale", 1),
    }


def vdsr(shapes: Shapes, hints: Hints) -> dict[str, Any]:
    """VDSR; at scale 1 it takes images that are upscaled already."""
    layers = count(shapes, "body.#.weight") + 2
    bias = "conv_first.bias" in shapes
    return {**ends(shapes), "num_layers": layers, "scale": hints.get("scale", 1), "bias": bias}


def enlarged_outside(network: Arguments) -> Arguments:
    """Of a network whose published program takes Y of YCbCr, upscaled by MATLAB's bicubic."""

    def arguments(shapes: Shapes, hints: Hints) -> dict[str, Any]:
        found = network(shapes, hints)
        usual = {"interpolation": "matlab-mirror", "studio_luma": found["in_channels"] == 1}
        return found | {key: hints.get(key, value) for key, value in usual.items()}

    return arguments
