"""Loading networks from weight files of any known format, and saving them as files of ours.

Loading is strict: a missing, unexpected or misshapen tensor is an error. 'own' are training
checkpoints and exports of superres, 'foreign' all other files.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from numbers import Integral
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from superres.checkpoints import networks, state_dict, weight_files
from superres.checkpoints.detect import Match, detect, nearest
from superres.checkpoints.formats import FORMATS, OWN
from superres.checkpoints.formats.base import Shapes, pattern
from superres.checkpoints.spandrel_networks import SPANDREL, SpandrelNetwork, load_foreign
from superres.checkpoints.state_dict import State, shapes_of
from superres.checkpoints.zoo import resolve, scale_in_name, usual_scale, variants
from superres.errors import ScaleNeeded, UserError, did_you_mean
from superres.files import write_atomically
from superres.models.layers.backbone import Backbone
from superres.output import printable

logger = logging.getLogger("superres")
BATCHES = "num_batches_tracked"  # a counter of batch norm that files may lack


@dataclass
class LoadedWeights:
    """Weights in our names with the config that rebuilds their network.

    Attributes:
        state_dict: name -> tensor, without prefix; float32 on the CPU. Empty if ``network`` is set.
        config: the backbone's arguments and its class name as ``type``; plain data.
        format: the name of the file's format.
        notes: what a user should know about how the file was read.
        partial: True if the file holds a part of the network only (LIIF's encoder).
        path: the file.
        meta: a training checkpoint's record of its training; empty for other files.
        network: the network itself if only the package spandrel knows it; else None.
        lacks: what is not in the file, such as the scale, the range or the weights of a part:
            values come from the user or are the published ones, weights are missing.
    """

    state_dict: State
    config: dict[str, Any]
    format: str
    notes: list[str] = field(default_factory=list)
    partial: bool = False
    path: Path = Path()
    meta: Mapping[str, Any] = field(default_factory=dict)
    network: SpandrelNetwork | None = None
    lacks: list[str] = field(default_factory=list)

    @property
    def scales(self) -> list[Any]:
        """The scales of the network; [None] if it has none."""
        return list(self.config.get("scales") or [self.config.get("scale")])

    @property
    def summary(self) -> str:
        """One line for the user: file, format, network, scales, range and mean."""
        c = self.config
        mean = ", ".join(f"{value:.4g}" for value in c.get("rgb_mean") or ())
        words = [
            " ".join([c["type"], "+".join(f"x{s}" for s in self.scales if s)]).rstrip(),
            *(f"{name} {c[name]}" for name in ("channels", "num_blocks") if name in c),
            f"range 0..{c.get('img_range', 1):g}",
            f"mean {mean}" if mean else "no mean",
            *([f"residual scale {c['res_scale']:g}"] if "res_scale" in c else ()),
            *filter(None, [_fewer_channels(c)]),
        ]
        text = f"{printable(self.path.name, keep='')}: {self.format} weights, {'; '.join(words)}"
        return text + (f" ({'; '.join(self.notes)})" if self.notes else "")


def load_model(
    name_or_path: str | Path,
    scale: int | None = None,
    format: str | None = None,
    device: str | torch.device = "auto",
    **hints: Any,
) -> Backbone:
    """Build a network from a weight file, in evaluation mode.

    Args:
        name_or_path: a weight file of any known format, a folder in the Hugging Face layout, or
            the name of a published file (`superres.checkpoints.zoo.PUBLISHED`).
        scale: the scale it must have; selects one in a network for several scales (MDSR). A name
            that comes in several scales is x4 if this is None.
        format, **hints: see `read_weights`.
        device: 'auto' is the first CUDA device if there is one, else the CPU.

    Returns:
        A module that maps (N, C, h, w) RGB in [0, 1] to (N, C, h * scale, w * scale), not
        clamped, with ``scale`` and ``receptive_radius``.

    Raises:
        UserError: see `read_weights`; also if the file holds only a part of a network.
    """
    device = networks.pick_device(device)
    if scale is None and not os.path.exists(name_or_path) and (has := variants(str(name_or_path))):
        scale = usual_scale(has)
        logger.info("%s: x%d of %s", name_or_path, scale, ", ".join(f"x{s}" for s in has))
    loaded = read_weights(name_or_path, format, scale, **hints)
    logger.info(loaded.summary)
    model = build_network(loaded)
    if scale is not None and hasattr(model, "set_scale"):
        model.set_scale(scale)
    return model.to(device).eval()


def read_weights(
    name_or_path: str | Path,
    format: str | None = None,
    scale: int | None = None,
    **hints: Any,
) -> LoadedWeights:
    """Read a weight file; its format is recognised from keys and shapes.

    Args:
        name_or_path: a file, a folder in the Hugging Face layout, or a published name.
        format: a name from `superres.checkpoints.formats.format_names` where keys alone cannot
            tell; overrides config.json and hash. 'spandrel' leaves the file to that package, which
            is also tried on files that no format here fits.
        scale: the scale the network must have; needed if the file does not determine it.
        **hints: network arguments that no file holds, such as ``res_scale=0.1``.

    Raises:
        ScaleNeeded: the network works on an upscaled image (SRCNN, VDSR, rows 1 to 3 of the
            ablation study), and no scale was given.
        UserError: the file cannot be read (see `open_weights`), holds no state dict, has an unknown
            or ambiguous format, a missing, unexpected or misshapen tensor (named), or another
            scale or argument than asked for.
    """
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, Integral)):
        raise UserError(f"scale must be a whole number such as 2, 3 or 4, not {scale!r}")
    if not networks.is_factor(hints.get("res_scale", 1)):
        raise UserError(f"res_scale must be a positive number such as 0.1, not {hints!r}")
    path = resolve(name_or_path, scale)
    tree, metadata = weight_files.open_weights(path)
    loaded = _own(tree, metadata, path)
    if format is not None and (format == OWN) != (loaded is not None):
        own = "a file of superres itself" if loaded else "neither a checkpoint nor an export of it"
        raise UserError(f"{path}: this is {own}, not of format {format!r}")
    if loaded is None:
        loaded = _foreign(tree, path, format, hints if scale is None else {**hints, "scale": scale})
    elif loaded.config.get("scale") == 1 and "interpolation" in loaded.config:
        # SRCNN or VDSR, saved for images that are upscaled already: fits any scale.
        loaded.config["scale"] = scale or 1
    if scale not in (None, *loaded.scales) and not loaded.partial and loaded.scales != [None]:
        has = " and ".join(f"x{s}" for s in loaded.scales)
        raise UserError(
            f"{path}: these weights are for {has}, not x{scale}; leave the scale out or take "
            f"weights for x{scale}"
        )
    for name, value in hints.items():
        if name not in loaded.config:
            fault = f"its network, {loaded.config['type']}, has no {name}"
        elif networks.plain(value) != networks.plain(loaded.config[name]):
            fault = f"asked for {name} = {value}, but the file says {loaded.config[name]}"
        else:
            continue
        known = () if name in loaded.config else ("scale", "format", "device", *loaded.config)
        raise UserError(f"{path}: {fault}; leave it out{did_you_mean(name, known)}")
    return loaded


def _fewer_channels(config: Mapping[str, Any]) -> str:
    """``1 channel of 3`` if the network returns fewer channels than it takes, else ''."""
    takes, makes = (config.get(key) or 0 for key in ("in_channels", "out_channels"))
    return f"{makes} channel{'s' * (makes > 1)} of {takes}" if 0 < makes < takes else ""


def build_network(loaded: LoadedWeights) -> nn.Module:
    """Build the network of a result of `read_weights`, with its weights, on the CPU.

    Raises:
        UserError: the weights are only a part of a network, or the network returns fewer channels
            than it takes.
    """
    if loaded.network is not None:
        return loaded.network
    if loaded.partial:
        raise UserError(
            f"{loaded.path}: holds a part of {loaded.config['type']} only and cannot upscale "
            "images; use it as load_from of a training"
        )
    if odd := _fewer_channels(loaded.config):
        raise UserError(f"{loaded.path}: this network makes {odd} and cannot upscale images")
    model = networks.build_meta(loaded.config)
    model.load_state_dict(loaded.state_dict, strict=True, assign=True)
    ours = type(model).__module__.startswith("superres.")
    if not ours or any(t.is_meta for t in chain(model.parameters(), model.buffers())):
        # Tensors outside the state dict, which this may have, exist only if it is built for real.
        model = networks.build_named(loaded.config)
        model.load_state_dict(loaded.state_dict, strict=True)
    model.superres_config = dict(loaded.config)  # so that it can be saved again
    return model


def save_safetensors(
    path: str | Path,
    model_or_state: nn.Module | Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
) -> Path:
    """Write a network's weights with its config in the metadata; `load_model` needs no more.

    Args:
        path: the file; it appears whole or not at all.
        model_or_state: a backbone, a restorer that owns one as ``backbone``, or a state dict of
            either (with or without the ``backbone.`` prefix).
        config: the backbone's config with its ``type``, as a config file has it.

    Returns:
        The path.

    Raises:
        UserError: the weights are not those of the config's network, or the file cannot be written.
    """
    data = safetensors_bytes(model_or_state, config)
    write_atomically(Path(path), lambda file: file.write(data), durable=True)
    return Path(path)


def safetensors_bytes(
    model_or_state: nn.Module | Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> bytes:
    """The content of the file that `save_safetensors` writes; the same arguments."""
    if isinstance(model_or_state, nn.Module):
        model_or_state = getattr(model_or_state, "backbone", model_or_state).state_dict()
    prefix = "backbone." if any(key.startswith("backbone.") for key in model_or_state) else ""
    state = {
        key.removeprefix(prefix): value.detach().cpu().contiguous().clone()
        for key, value in model_or_state.items()
        if key.startswith(prefix)
    }
    config = networks.plain(networks.full_config(config))
    if faults := state_dict.differences(networks.network_shapes(config), state):
        raise UserError(f"the weights are not those of {config}: {faults}")
    metadata = {weight_files.METADATA_KEY: json.dumps(config), "format": "pt"}
    return safetensors.torch.save(state, metadata | weight_files.checksums(state, metadata))


def _own(tree: Any, metadata: Mapping[str, str], path: Path) -> LoadedWeights | None:
    """Read a training checkpoint or export of superres; None for any other file.

    Args:
        tree, metadata: the result of `open_weights`.
        path: the file, for messages.
    """
    notes: list[str] = []
    meta: Mapping[str, Any] = {}
    if weight_files.METADATA_KEY in metadata:
        config = weight_files.parse_config(metadata[weight_files.METADATA_KEY], str(path))
        state = {key: value for key, value in tree.items() if key != weight_files.CONFIG_TENSOR}
    elif state := _backbone(tree, "state_dict"):
        if averaged := _backbone(tree, "ema_state_dict"):
            state, notes = averaged, ["averaged (EMA) weights"]
        meta = tree["meta"] if isinstance(tree.get("meta"), Mapping) else {}
        model = meta.get("model")
        config = model.get("backbone", model) if isinstance(model, Mapping) else None
        if not isinstance(config, Mapping) or "type" not in config:
            raise UserError(
                f"{path}: a training checkpoint without its model's config (meta.model.backbone); "
                "test it with the config it was trained from"
            )
    else:
        return None
    state = state_dict.clean(state, str(path))
    counts = [v for k, v in config.items() if str(k).startswith("num_") and isinstance(v, int)]
    if prod(counts) > len(state):  # found here, since building it could take hours
        raise UserError(
            f"{path}: the network in its config has more blocks than the file has tensors "
            f"({len(state)}); the file is damaged or of another network"
        )
    try:
        wanted = networks.network_shapes(config)
        config = networks.plain(networks.full_config(config))
    except Exception as error:  # a constructor may raise anything
        raise UserError(
            f"{path}: the network in its config cannot be built here: {error}"
        ) from error
    _check(str(path), wanted, state)
    return LoadedWeights(state, config, OWN, notes, path=path, meta=meta)


def _backbone(tree: Any, entry: str) -> dict[str, Any]:
    """The backbone's tensors in an entry of a training checkpoint, without the prefixes
    ``backbone.`` and ``module.`` (DistributedDataParallel's); empty if there are none."""
    named = tree.get(entry) if isinstance(tree, Mapping) else None
    if not isinstance(named, Mapping):
        return {}
    keys = {str(key).removeprefix("module."): key for key in named}
    prefix = "backbone."
    return {n.removeprefix(prefix): named[k] for n, k in keys.items() if n.startswith(prefix)}


def _foreign(tree: Any, path: Path, format: str | None, hints: Mapping[str, Any]) -> LoadedWeights:
    """Read a file that superres did not write: of a format here, or of a network of spandrel."""
    state, notes = state_dict.find_state(tree, str(path))
    state = state_dict.clean(state, str(path))
    match = None if format == SPANDREL else detect(shapes_of(state), path, hints, format)
    if match is not None:
        return _published(state, path, match, notes)
    closest = nearest(FORMATS, {pattern(key) for key in state})
    unknown = f"{path}: the weights of a network that is not known here; {closest}."
    # First as in the file: what is a prefix here (model.) belongs to the names of some networks.
    network = load_foreign(unknown, tree, state)
    return LoadedWeights({}, network.config, SPANDREL, notes, path=path, network=network)


def _published(state: State, path: Path, match: Match, notes: list[str]) -> LoadedWeights:
    """Rename, check and complete the weights of a published format.

    Args:
        state: the file's tensors under their names.
        path: the file.
        match: the format, the layout (a network in that format) and the hints that fit the file.
        notes: what was noted so far; more are added.

    Raises:
        ScaleNeeded, UserError: see `read_weights`.
    """
    layout, shapes = match.layout, shapes_of(state)
    title = f"{layout.network} of {match.format.title}"
    try:
        # With today's defaults written out, so that a later change of one changes no weights.
        config = networks.plain(networks.full_config(layout.config(shapes, match.hints)))
        wanted = networks.network_shapes(config)
        our_key = layout.expected(wanted)  # by theirs
    except UserError as error:
        raise UserError(f"{path}: {title}: {error}") from error
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:  # impossible shapes
        raise UserError(
            f"{path}: looks like {title}, but tensors that tell its size are missing or have "
            f"other shapes than any such network ({error})"
        ) from error
    named_scale = scale_in_name(path.name)
    if layout.enlarges_first and "scale" not in match.hints:
        raise ScaleNeeded(
            f"{path}: the scale of this {layout.network} ({match.format.title}) is not in the "
            f"file, since the network works on an upscaled image; pass "
            f"scale={named_scale or 2} (--scale {named_scale or 2})"
        )
    # The mean may be in the file, as 1x1 convolutions.
    mean = layout.mean_keys() if layout.mean_applied else []
    has_mean = any(key in shapes for key in mean)
    unused = () if has_mean else layout.mean_keys()
    given = {k: v for k, v in state.items() if not layout.ignores(k) and k not in unused}
    colours = len(config.get("rgb_mean") or ())
    shift = {"weight": (colours, colours, 1, 1), "bias": (colours,)}
    needed = {key: shift[key.rpartition(".")[2]] for key in mean if has_mean}  # all of it, or none
    _check(f"{path}: as {title}", needed | {t: wanted[o] for t, o in our_key.items()}, given)
    ours = {our_key[key]: value for key, value in given.items() if key in our_key}
    if layout.settle is not None:
        layout.settle(config, ours)
    for key in wanted:
        if key.endswith(BATCHES) and not layout.partial:
            ours.setdefault(key, torch.zeros((), dtype=torch.long))
    if layout.enlarges_first and named_scale and config["scale"] not in (1, named_scale):
        notes.append(f"its name says x{named_scale}")
    if has_mean:
        notes += state_dict.fold_mean_shift(ours, config, [state[key] for key in mean], str(path))
    elif mean:
        notes.append("no mean shift in the file; the published mean is used")
    if layout.partial:
        notes.append("a part of the network only: to start a training from, not to upscale with")
    lacks = ["scale"] * layout.enlarges_first + ["residual scale"] * ("res_scale" in config)
    lacks += ["range"] + ["mean"] * (not has_mean)
    lacks += sorted({f"weights of {key.partition('.')[0]}" for key in wanted if key not in ours})
    name = match.format.name
    return LoadedWeights(ours, config, name, notes, layout.partial, path, lacks=lacks)


def _check(what: str, wanted: Shapes, state: State) -> None:
    """Raise `UserError` unless all tensors are there, of these shapes and floating-point numbers.

    ``what`` begins the message. Batch norm's counters may be absent, and are integers.
    """
    wanted = {k: v for k, v in wanted.items() if k in state or not k.endswith(BATCHES)}
    if faults := state_dict.differences(wanted, state):
        raise UserError(
            f"{what}, these tensors are wrong: {faults}. The file is of another network or has "
            "parts added or taken away; nothing was loaded."
        )
    for key, value in state.items():
        if not value.is_floating_point() and not key.endswith(BATCHES):
            raise state_dict.no_weights(key, value, what)
