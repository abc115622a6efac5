"""Convert weight files between formats and check the result by running both networks."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from superres.checkpoints.detect import neighbour_config
from superres.checkpoints.formats import FORMATS, OWN, Format, Layout, get_format
from superres.checkpoints.loading import (
    LoadedWeights,
    build_network,
    read_weights,
    safetensors_bytes,
)
from superres.checkpoints.networks import full_config, plain
from superres.checkpoints.state_dict import State
from superres.errors import UserError
from superres.files import write_atomically, write_text
from superres.inference import in_channels

TARGETS = ("safetensors", *(f.name for f in FORMATS))
TOLERANCE = 1e-5
# Arguments that change nothing once the weights are there, or that only a hint can tell.
IRRELEVANT = {
    *("init", "rgb_mean", "rgb_std", "img_range", "res_scale", "share_act"),
    "unshuffle",  # follows from shapes and scale
}
HINTED = ("scale", "global_skip", "act", "interpolation", "studio_luma")


@dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    Attributes:
        source: one line about the weights read.
        path: the file written.
        format: its format.
        notes: what was folded or left out.
        difference: largest difference of the two networks' outputs on a test image, relative
            to the largest output.
    """

    source: str
    path: Path
    format: str
    notes: tuple[str, ...]
    difference: float


def convert(
    source: str | Path,
    target: str | Path,
    to: str | None = None,
    format: str | None = None,
    scale: int | None = None,
    **hints: Any,
) -> Conversion:
    """Read weights of any format and write them in another, exactly.

    A residual scale the target cannot hold is folded into the weights, and 0..255 into 0..1 (or
    back) where the network is positively homogeneous. The result is read back and both networks
    are run on an image before this returns.

    Args:
        source: file to read.
        target: file to write; it appears whole or not at all.
        to: one of `TARGETS`; None means 'safetensors' if ``target`` ends so.
        format, scale, **hints: see `read_weights`.

    Raises:
        UserError: see `read_weights`; also a format that cannot hold the network's numbers, or a
            file that cannot be written.
    """
    target = Path(target)
    to = to or ("safetensors" if target.suffix == ".safetensors" else None)
    if to is None:
        raise UserError(f"{target}: pass to= (--to) one of {', '.join(TARGETS)}")
    ours = to in ("safetensors", OWN)
    if target.suffix == ".safetensors" and not ours:
        raise UserError(
            f"{target}: a file of format {to!r} is not a safetensors file; name it .pth"
        )
    loaded = read_weights(source, format, scale, **hints)
    network = build_network(loaded).eval()
    notes: list[str] = []
    given: dict[str, Any] = {}
    hub_config = None
    if ours:
        data = safetensors_bytes(loaded.state_dict, loaded.config)
    else:
        wanted, extra = get_format(to)
        state, notes, given = translate(loaded, wanted, extra)
        hub_config = _hub_config(loaded.config) if wanted.name == "super-image" else None
        if neighbour_config(target) not in (None, hub_config):  # it decides how others read
            raise UserError(
                f"{target.parent / 'config.json'}: describes another network; write to a folder "
                "of its own"
            )
        buffer = io.BytesIO()
        torch.save(wanted.wrap({key: value.clone() for key, value in state.items()}), buffer)
        data, given, to = buffer.getvalue(), {"format": to, **given}, wanted.name
    difference = 0.0

    def check(draft: Path) -> None:
        nonlocal difference
        back = build_network(read_weights(draft, **given)).eval()
        difference = _compare(network, back, loaded.config)
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{target}: the converted network differs by {difference:.2g}")

    write_atomically(target, lambda file: file.write(data), durable=True, check=check)
    if hub_config is not None:
        write_text(target.parent / "config.json", json.dumps(hub_config, indent=2) + "\n")
        notes.append("config.json written beside it")
    return Conversion(loaded.summary, target, to, tuple(notes), difference)


def translate(
    loaded: LoadedWeights, wanted: Format, extra: Mapping[str, Any]
) -> tuple[State, list[str], dict[str, Any]]:
    """``loaded`` in the names and numbers of another format.

    Returns:
        The state dict in its names, notes, and the hints to read it back with.

    Raises:
        UserError: the format cannot hold this network or its numbers.
    """
    config = full_config(loaded.config)
    given = {**{k: config[k] for k in HINTED if k in config}, **extra}
    fault = f"it has no {config['type']}"
    for layout in wanted.layouts:
        if layout.network != config["type"] or layout.partial:
            continue
        try:
            table = layout.expected(loaded.state_dict)
            shapes = {key: tuple(loaded.state_dict[ours].shape) for key, ours in table.items()}
            read_as = full_config(layout.config(shapes, given))
        except (KeyError, IndexError, UserError):
            fault = "its names do not cover this variant of the network"
            continue
        differing = [k for k in config if plain(read_as[k]) != plain(config[k])]
        if other := [k for k in differing if k not in IRRELEVANT]:
            fault = f"it means another {', '.join(other)}"
        elif stuck := _unfoldable(config, read_as, layout):
            messages = [f"{key} {config[key]} here, {read_as[key]} there" for key in stuck]
            fault = f"{'; '.join(messages)}, which cannot be folded into the weights exactly"
            break
        else:
            state, notes = folded(loaded.state_dict, config, read_as)
            if layout.config(shapes, extra).get("studio_luma") and not config["studio_luma"]:
                notes.append("its programs feed Y of YCbCr, and these weights were made for grey")
            result = {key: state[ours] for key, ours in table.items()}
            return {**_mean_shift(layout, config, read_as), **result}, notes, given
    raise UserError(f"format {wanted.name!r} cannot hold this {config['type']}: {fault}")


def _unfoldable(config: Mapping[str, Any], read_as: Mapping[str, Any], layout: Layout) -> list[str]:
    """What of the numeric convention ``config`` differs from the format's and must not."""
    held = layout.mean_shift and layout.mean_applied and config["in_channels"] == 3
    stuck = {
        # Zero padding keeps a mean out of the weights.
        "rgb_mean": not held and _mean(config) != _mean(read_as),
        "rgb_std": {float(value) for value in config.get("rgb_std") or [1]} != {1.0},
        "res_scale": config.get("attention") and _ratio("res_scale", config, read_as) != 1,
        "img_range": not homogeneous(config) and _ratio("img_range", config, read_as) != 1,
    }
    return [key for key, is_stuck in stuck.items() if is_stuck]


def folded(
    state: State, config: Mapping[str, Any], read_as: Mapping[str, Any]
) -> tuple[State, list[str]]:
    """Weights for the numeric convention ``read_as``, equal in effect to ``config``'s."""
    state, notes = dict(state), []
    if (ratio := _ratio("res_scale", config, read_as)) != 1:
        state.update({key: state[key] * ratio for key in state if ".conv2." in key})
        notes.append(f"residual scale {config['res_scale']:g} folded into the weights")
    if (ratio := _ratio("img_range", read_as, config)) != 1:
        state = rescaled(state, ratio)
        notes.append(f"range 0..{config['img_range']:g} folded to 0..{read_as['img_range']:g}")
    return state, notes


def _ratio(key: str, above: Mapping[str, Any], below: Mapping[str, Any]) -> float:
    return above.get(key, 1) / below.get(key, 1)


def rescaled(state: Mapping[str, torch.Tensor], factor: float) -> State:
    """Weights that give ``factor`` times the output for that many times the input.

    Exact where a network is :func:`homogeneous`.
    """
    return {k: v * factor if k.endswith(".bias") else v for k, v in state.items()}


def homogeneous(config: Mapping[str, Any]) -> bool:
    """Whether scaling the input and all biases scales the output: no gates, no batch norm."""
    known = ("EDSR", "MDSR", "SRCNNAblation", "MSRResNet", "RDN", "SRCNN", "VDSR")
    return config["type"] in known and not config.get("attention") and not config.get("batch_norm")


def _mean(config: Mapping[str, Any]) -> list[float]:
    return [round(float(value), 9) for value in config.get("rgb_mean") or [0.0] * 3]


def _mean_shift(layout: Layout, config: Mapping[str, Any], read_as: Mapping[str, Any]) -> State:
    """The 1x1 convolutions of the mean, as the format stores them, be they used or not."""
    if not layout.mean_shift or config["in_channels"] != 3:
        return {}
    mean = torch.tensor(_mean(config)) * read_as["img_range"]
    eye = torch.eye(3).view(3, 3, 1, 1)
    return dict(zip(layout.mean_keys(), (eye, -mean, eye.clone(), mean), strict=True))


def _hub_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json that super-image needs beside its weights."""
    bam = config.get("attention") == "bam"
    content = {"model_type": str(config["type"]), "bam": bam, "data_parallel": False}
    if config["type"] == "EDSR":
        sizes = {"n_resblocks": config["num_blocks"], "n_feats": config["channels"]}
        content |= {**sizes, "res_scale": 1}
    return content


def _compare(a: torch.nn.Module, b: torch.nn.Module, config: Mapping[str, Any]) -> float:
    """Largest difference of two networks on an image, relative to the largest output."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, in_channels(a), 24, 20), generator=generator)
    worst = 0.0
    for scale in config.get("scales") or [None]:
        for network in (a, b) if scale is not None else ():
            network.set_scale(scale)
        with torch.no_grad():
            left, right = a(image), b(image)
        worst = max(worst, float((left - right).abs().max() / left.abs().max().clamp(min=1e-12)))
    return worst
