"""Convert weight files between formats and check the result by running both networks."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superres.checkpoints.building import build_network
from superres.checkpoints.files import neighbour_config
from superres.checkpoints.formats import FORMATS, OWN, Format, Layout, get_format
from superres.checkpoints.formats.base import MEAN, full_config
from superres.checkpoints.reading import LoadedWeights, plain, read_weights
from superres.checkpoints.state import State
from superres.checkpoints.writing import safetensors_bytes, write_whole
from superres.errors import UserError
from superres.inference import in_channels

TARGETS = ("safetensors", *(f.name for f in FORMATS))
TOLERANCE = 1e-5
# Arguments that change nothing once the weights are there, or that only a hint can tell.
IRRELEVANT = {"init", "rgb_mean", "rgb_std", "img_range", "res_scale", "share_act"}
HINTED = ("scale", "global_skip", "act")


@dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    Attributes:
        source: one line about the weights read.
        path: the file written.
        format: its format.
        notes: what was folded or left out.
        difference: largest difference of the two networks' outputs on a test picture, relative
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
    are run on a picture before this returns.

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
    if to is None and target.suffix == ".safetensors":
        to = "safetensors"
    if to is None:
        raise UserError(f"{target}: pass to= (--to) one of {', '.join(TARGETS)}")
    if target.suffix == ".safetensors" and to not in ("safetensors", OWN):
        raise UserError(f"{target}: a file of format {to!r} is no safetensors file; name it .pth")
    loaded = read_weights(source, format, scale, **hints)
    network = build_network(loaded).eval()
    notes: list[str] = []
    given: dict[str, Any] = {}
    name, hub_config = None, None
    if to in ("safetensors", OWN):
        data = safetensors_bytes(loaded.state_dict, loaded.config)
    else:
        wanted, extra = get_format(to)
        _, state, notes, given = translate(loaded, wanted, extra)
        buffer = io.BytesIO()
        torch.save(_container(wanted, state), buffer)
        data, name, to = buffer.getvalue(), to, wanted.name
        if to == "super-image":
            hub_config = _hub_config(target, loaded.config)
    difference = 0.0

    def check(draft: Path) -> None:
        nonlocal difference
        back = read_weights(draft, name, **given)
        if name is not None and hub_config is None:
            _check_unguided(draft, target, back)
        difference = _compare(network, build_network(back).eval(), loaded.config)
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{target}: the converted network differs by {difference:.2g}")

    write_whole(target, data, check)
    if hub_config is not None:
        file = target.parent / "config.json"
        write_whole(file, (json.dumps(hub_config, indent=2) + "\n").encode())
        notes.append(f"{file.name} written beside it")
    return Conversion(loaded.summary, target, to, tuple(notes), difference)


def _check_unguided(draft: Path, target: Path, back: LoadedWeights) -> None:
    """UserError if a config.json that lies beside the file makes others read it differently."""
    if neighbour_config(target) is None:
        return
    try:
        found = read_weights(draft)
    except UserError:  # it says that it cannot tell: nobody is misled
        return
    if found.config != back.config:
        raise UserError(
            f"{target.parent / 'config.json'}: makes weights beside it be read as those of "
            f"{found.format}; write to a folder of its own"
        )


def translate(
    loaded: LoadedWeights, wanted: Format, extra: Mapping[str, Any]
) -> tuple[Layout, State, list[str], dict[str, Any]]:
    """``loaded`` in the names and numbers of another format.

    Returns:
        The layout, the state dict in its names, notes, and the hints to read it back with.

    Raises:
        UserError: the format cannot hold this network or its numbers.
    """
    config = full_config(loaded.config)
    faults = []
    for layout in wanted.layouts:
        if layout.network != config["type"] or layout.partial:
            continue
        given = {**{k: config[k] for k in HINTED if k in config}, **extra}
        try:
            table = layout.expected(config)
            theirs = {key: loaded.state_dict[ours] for key, ours in table.items()}
            read_as = layout.config({k: tuple(v.shape) for k, v in theirs.items()}, given)
        except (KeyError, IndexError, UserError):
            faults.append("its names do not cover this variant of the network")
            continue
        read_as = full_config(read_as)
        differing = [
            key
            for key in config
            if key not in IRRELEVANT and plain(read_as[key]) != plain(config[key])
        ]
        if differing:
            faults.append("it means another " + ", ".join(differing))
            continue
        state, notes = _renumber(loaded, config, read_as, layout, wanted)
        result = {key: state[ours] for key, ours in table.items()}
        return layout, {**_mean_shift(layout, config, read_as), **result}, notes, given
    reason = "; ".join(faults) or f"it has no {config['type']}"
    raise UserError(f"format {wanted.name!r} cannot hold this {config['type']}: {reason}")


def _renumber(
    loaded: LoadedWeights,
    config: Mapping[str, Any],
    read_as: Mapping[str, Any],
    layout: Layout,
    wanted: Format,
) -> tuple[State, list[str]]:
    """Weights for the numeric convention ``read_as``, equal in effect to ``config``'s."""
    state, notes = dict(loaded.state_dict), []
    channels = config["in_channels"]
    held = bool(layout.mean_shift and layout.mean_applied and channels == 3)
    if not held and _mean(config) != _mean(read_as):
        raise UserError(
            f"format {wanted.name!r} cannot hold this {config['type']}: it subtracts "
            f"{_told_mean(config)}, those of the format {_told_mean(read_as)}, and zero padding "
            "makes that impossible to fold"
        )
    if config.get("rgb_std") not in (None, [1, 1, 1], (1.0, 1.0, 1.0), [1]):
        raise UserError(f"format {wanted.name!r} has no rgb_std, which is {config['rgb_std']} here")
    ratio = config.get("res_scale", 1) / read_as.get("res_scale", 1)
    if ratio != 1:
        if config.get("attention"):
            raise UserError(
                f"format {wanted.name!r} means residual scale {read_as['res_scale']:g}, this "
                f"network has {config['res_scale']:g}, and attention keeps it from being folded"
            )
        blocks = [k for k in state if ".conv2." in k]
        state.update({key: state[key] * ratio for key in blocks})
        notes.append(f"residual scale {config['res_scale']:g} folded into the weights")
    factor = read_as.get("img_range", 1) / config.get("img_range", 1)
    if factor != 1:
        if not homogeneous(config):
            raise UserError(
                f"format {wanted.name!r} works on 0..{read_as['img_range']:g}, these weights on "
                f"0..{config['img_range']:g}, and a network with gates or batch norm cannot be "
                "rescaled exactly"
            )
        state = rescaled(state, factor)
        notes.append(f"range 0..{config['img_range']:g} folded to 0..{read_as['img_range']:g}")
    return state, notes


def rescaled(state: Mapping[str, torch.Tensor], factor: float) -> State:
    """Weights that give ``factor`` times the output for that many times the input.

    Exact where a network is :func:`homogeneous`.
    """
    return {k: v * factor if k.endswith(".bias") else v for k, v in state.items()}


def homogeneous(config: Mapping[str, Any]) -> bool:
    """Whether scaling the input and all biases scales the output: no gates, no batch norm."""
    if config["type"] in ("EDSR", "MDSR"):
        return not config.get("attention")
    if config["type"] == "SRCNNAblation":
        return not config.get("batch_norm")
    return config["type"] in ("MSRResNet", "RDN", "SRCNN", "VDSR")


def _mean(config: Mapping[str, Any]) -> list[float]:
    return [round(float(value), 9) for value in config.get("rgb_mean") or [0.0] * 3]


def _told_mean(config: Mapping[str, Any]) -> str:
    return f"the mean {config['rgb_mean']}" if any(_mean(config)) else "no mean"


def _mean_shift(layout: Layout, config: Mapping[str, Any], read_as: Mapping[str, Any]) -> State:
    """The 1x1 convolutions of the mean, as the format stores them."""
    if layout.mean_shift is None or config["in_channels"] != 3:
        return {}
    if layout.mean_applied:
        mean = torch.tensor(_mean(config)) * read_as["img_range"]
    else:  # there, and never used
        mean = torch.tensor(MEAN) * (255 if layout.mean_shift[0] == "sub_mean" else 1)
    eye: Tensor = torch.eye(3).view(3, 3, 1, 1)
    keys = layout.mean_keys()
    return dict(zip(keys, (eye, -mean, eye.clone(), mean), strict=True))


def _container(wanted: Format, state: State) -> dict[str, Any]:
    state = {key: value.clone() for key, value in state.items()}
    if wanted.name == "mmediting":
        return {"meta": {}, "state_dict": {f"generator.{k}": v for k, v in state.items()}}
    if wanted.name == "basicsr":
        return {"params": state}
    return state


def _hub_config(target: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json that super-image needs beside its weights; UserError if another is there."""
    file = target.parent / "config.json"
    content: dict[str, Any] = {
        "model_type": str(config["type"]),
        "bam": config.get("attention") == "bam",
        "data_parallel": False,
    }
    if config["type"] == "EDSR":
        content |= {"n_resblocks": config["num_blocks"], "n_feats": config["channels"]}
        content["res_scale"] = 1
    if neighbour_config(target) not in (None, content):
        raise UserError(f"{file}: describes another network; write to a folder of its own")
    return content


def _compare(a: torch.nn.Module, b: torch.nn.Module, config: Mapping[str, Any]) -> float:
    """Largest difference of two networks on a picture, relative to the largest output."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand((1, in_channels(a), 24, 20), generator=generator)
    worst = 0.0
    for scale in config.get("scales") or [None]:
        for network in (a, b) if scale is not None else ():
            network.set_scale(scale)
        with torch.no_grad():
            left, right = a(picture), b(picture)
        worst = max(worst, float((left - right).abs().max() / left.abs().max().clamp(min=1e-12)))
    return worst
