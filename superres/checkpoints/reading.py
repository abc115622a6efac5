"""Read weights of any known format into our names, strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, prod
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from superres.checkpoints.detect import check_neighbour, detect, neighbour_hints, shorten
from superres.checkpoints.files import neighbour_config, open_weights, sha256
from superres.checkpoints.formats import OWN
from superres.checkpoints.formats.base import full_config, network_shapes
from superres.checkpoints.light import CONFIG_TENSOR, METADATA_KEY, parse_config
from superres.checkpoints.mean_shift import fold_mean_shift
from superres.checkpoints.shipped import resolve, scale_in_name
from superres.checkpoints.state import State, check_floating, clean, find_state
from superres.errors import ScaleNeeded, UserError
from superres.output import printable


@dataclass
class LoadedWeights:
    """Weights in our names with the config that rebuilds their network.

    Attributes:
        state_dict: name -> tensor, without prefix; float32 on the CPU.
        config: the backbone's config, plain data with a ``type``.
        format: the format they were read from.
        notes: what a user should know about the reading.
        partial: True if the file holds a part of the network only (LIIF's encoder).
        path: the file.
        meta: what a training checkpoint of superres says of its training; else empty.
    """

    state_dict: State
    config: dict[str, Any]
    format: str
    notes: list[str] = field(default_factory=list)
    partial: bool = False
    path: Path = Path()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """One line: what was recognised, with the numeric convention."""
        c = self.config
        scales = c.get("scales") or [c.get("scale")]
        words = [" ".join([c["type"], "+".join(f"x{s}" for s in scales if s)]).rstrip()]
        if "channels" in c:
            words.append(f"channels {c['channels']}")
        if "num_blocks" in c:
            words.append(f"{c['num_blocks']} blocks")
        words.append(f"range 0..{c.get('img_range', 1):g}")
        mean = c.get("rgb_mean")
        words.append("mean " + ", ".join(f"{m:.4g}" for m in mean) if mean else "no mean")
        if "res_scale" in c:
            words.append(f"residual scale {c['res_scale']:g}")
        text = f"{printable(self.path.name, keep='')}: {self.format} weights, {'; '.join(words)}"
        return text + (f" ({'; '.join(self.notes)})" if self.notes else "")


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
            tell; beats config.json and hash.
        scale: the scale the network must have; needed where the file cannot say it.
        **hints: network arguments that no file holds, such as ``res_scale=0.1``.

    Raises:
        ScaleNeeded: the network works on an enlarged image (SRCNN, VDSR, rows 1 to 3 of the
            ablation study), and no scale was given.
        UserError: see `open_weights`, `find_state`, `clean` and `detect`; also a missing,
            unexpected or misshapen tensor (named), and another scale or argument than asked for.
    """
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, Integral)):
        raise UserError(f"scale must be a whole number such as 2, 3 or 4, not {scale!r}")
    factor = hints.get("res_scale", 1)
    if isinstance(factor, bool) or not isinstance(factor, Real) or not 0 < factor < inf:
        raise UserError(f"res_scale must be a positive number such as 0.1, not {factor!r}")
    path = resolve(name_or_path, scale)
    where = str(path)
    tree, metadata = open_weights(path)
    own = _own(tree, metadata, where)
    if own is not None:
        loaded = own
        if format not in (None, OWN):
            raise UserError(f"{where}: this is a file of superres itself, not of format {format!r}")
        # SRCNN or VDSR, stored as it takes enlarged images: it makes any scale.
        if own.config.get("scale") == 1 and "interpolation" in full_config(own.config):
            own.config["scale"] = scale or 1
    else:
        if format == OWN:
            raise UserError(f"{where}: neither a training checkpoint nor an export of superres")
        state, notes = find_state(tree, where)
        given = dict(hints) if scale is None else {**hints, "scale": scale}
        loaded = _foreign(clean(state, where), path, format, given)
        loaded.notes = [*notes, *loaded.notes]
    loaded.path = path
    _check_scale(loaded, scale, where)
    _check_hints(loaded.config, hints, where)
    return loaded


def _foreign(
    state: State, path: Path, format: str | None, hints: Mapping[str, Any]
) -> LoadedWeights:
    where = str(path)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    neighbour = neighbour_config(path)
    match = detect(shapes, where, hints, format, neighbour, lambda: sha256(path))
    layout = match.layout
    try:
        # With today's defaults written out, so that a later change of one changes no weights.
        config = plain(full_config(layout.config(shapes, match.hints)))
        table = layout.expected(config)
    except UserError as error:
        raise UserError(f"{where}: {match.format.title} {layout.network}: {error}") from error
    except (KeyError, IndexError) as error:
        raise UserError(
            f"{where}: looks like {layout.network} of {match.format.title}, but {error} is missing"
        ) from error
    except (ValueError, TypeError, ArithmeticError) as error:  # tensors of impossible shapes
        raise UserError(
            f"{where}: looks like {layout.network} of {match.format.title}, but tensors that tell "
            f"its size have other shapes than any such network ({error})"
        ) from error
    named = scale_in_name(path.name)
    if layout.enlarges_first and "scale" not in match.hints:
        raise ScaleNeeded(
            f"{where}: the scale of this {layout.network} ({match.format.title}) is not in the "
            f"file, since the network works on an enlarged image; pass scale={named or 2} "
            f"(--scale {named or 2})"
        )
    if neighbour_hints(neighbour, match.format.name):
        check_neighbour(neighbour, config, where)
    wanted = network_shapes(config)
    allowed = {*layout.mean_keys(), *(k for k in state if k.startswith(layout.ignored or ("\0",)))}
    needed = {theirs: wanted[ours] for theirs, ours in table.items()}
    if layout.mean_applied and any(key in shapes for key in layout.mean_keys()):
        # All of a mean shift or nothing of it; `fold_mean_shift` looks at the shapes.
        needed |= {key: shapes.get(key, ()) for key in layout.mean_keys()}
        allowed -= needed.keys()
    _check(
        f"{where}: as {layout.network} of {match.format.title}",
        needed,
        {key: shape for key, shape in shapes.items() if key not in allowed},
    )
    check_floating({key: state[key] for key in state if key in table}, where)
    ours = {table[key]: state[key] for key in state if key in table}
    layout.settle(config, ours)
    for key in wanted:
        if key.endswith("num_batches_tracked") and not layout.partial:
            ours.setdefault(key, torch.zeros((), dtype=torch.long))
    notes = []
    if layout.enlarges_first and named and config["scale"] not in (1, named):
        notes.append(f"its name says x{named}")
    if layout.mean_shift and layout.mean_applied:
        keys = layout.mean_keys()
        if all(key in state for key in keys):
            pairs = (state[keys[0]], state[keys[1]]), (state[keys[2]], state[keys[3]])
            notes += fold_mean_shift(ours, config, *pairs, where)
        else:
            notes.append("no mean shift in the file; the published mean is used")
    if layout.partial:
        notes.append("a part of the network only: to start a training from, not to enlarge with")
    return LoadedWeights(ours, config, match.format.name, notes, layout.partial)


def _own(tree: Any, metadata: Mapping[str, str], where: str) -> LoadedWeights | None:
    """Our own training checkpoint or export, or None."""
    notes: list[str] = []
    meta: Mapping[str, Any] = {}
    if METADATA_KEY in metadata:
        config = parse_config(metadata[METADATA_KEY], where)
        state = {key: value for key, value in tree.items() if key != CONFIG_TENSOR}
    elif isinstance(tree, Mapping) and _has_backbone(tree.get("state_dict")):
        state = tree["state_dict"]
        if _has_backbone(tree.get("ema_state_dict")):
            state = tree["ema_state_dict"]
            notes.append("averaged (EMA) weights")
        prefix = "backbone."
        state = {str(k).removeprefix("module."): v for k, v in state.items()}
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        meta = tree["meta"] if isinstance(tree.get("meta"), Mapping) else {}
        model = meta.get("model")
        config = model.get("backbone", model) if isinstance(model, Mapping) else None
        if not isinstance(config, Mapping) or "type" not in config:
            raise UserError(
                f"{where}: a training checkpoint without its model's config (meta.model.backbone); "
                "test it with the config it was trained from"
            )
    else:
        return None
    state = clean(state, where)
    _check_counts(config, len(state), where)
    _check_factor(config, where)
    try:
        wanted = network_shapes(config)
    except Exception as error:  # whatever a foreign config makes a constructor raise
        raise UserError(
            f"{where}: the network in its config cannot be built here: {error}"
        ) from error
    _check(where, wanted, {key: tuple(value.shape) for key, value in state.items()})
    check_floating(state, where)
    return LoadedWeights(state, plain(config), OWN, notes, meta=meta)


def _check_counts(config: Mapping[str, Any], tensors: int, where: str) -> None:
    """A network of a billion blocks would be built for hours before its tensors are missed."""
    counts = [v for k, v in config.items() if str(k).startswith("num_") and isinstance(v, int)]
    if prod(counts) > tensors:
        raise UserError(
            f"{where}: the network in its config has more blocks than the file has tensors "
            f"({tensors}); the file is damaged or of another network"
        )


def _check_factor(config: Mapping[str, Any], where: str) -> None:
    """A residual scale is only multiplied with: any value would build a network."""
    factor = config.get("res_scale", 1)
    known = isinstance(factor, Real) and not isinstance(factor, bool)
    if not known or not (abs(factor) < 1e9 and isfinite(factor)):
        raise UserError(
            f"{where}: the residual scale in its config is {factor!r}, not a number; the file is "
            "damaged"
        )


def _has_backbone(state: Any) -> bool:
    return isinstance(state, Mapping) and any(
        str(key).removeprefix("module.").startswith("backbone.") for key in state
    )


def plain(value: Any) -> Any:
    """Plain dicts, lists and numbers, whatever the mappings were."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _check(
    what: str, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in wanted]
    wrong = [
        f"{key} is {_size(found[key])}, not {_size(wanted[key])}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    faults = [
        f"{word} {shorten(keys)}"
        for word, keys in (("missing", missing), ("unexpected", unexpected), ("shape:", wrong))
        if keys
    ]
    if faults:
        raise UserError(
            f"{what}, these tensors are wrong: {'; '.join(faults)}. The file is of another network "
            "or has parts added or taken away; nothing was loaded."
        )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _check_hints(config: Mapping[str, Any], hints: Mapping[str, Any], where: str) -> None:
    """UserError for an argument that the network has not, or has with another value."""
    for name, value in hints.items():
        if name not in config:
            raise UserError(f"{where}: its network, {config['type']}, has no {name}; leave it out")
        if plain(value) != plain(config[name]):
            raise UserError(
                f"{where}: asked for {name} = {value}, but the file says {config[name]}; leave "
                "it out"
            )


def _check_scale(loaded: LoadedWeights, scale: int | None, where: str) -> None:
    scales = loaded.config.get("scales") or [loaded.config.get("scale")]
    if scale is not None and scale not in scales and not loaded.partial and scales != [None]:
        has = " and ".join(f"x{s}" for s in scales)
        raise UserError(
            f"{where}: these weights are for {has}, not x{scale}; leave the scale out or take "
            f"weights for x{scale}"
        )


def read_config_tensor(state: Mapping[str, Any]) -> dict[str, Any]:
    """The config inside a state dict.

    Raises:
        KeyError: there is none.
        ValueError: it is damaged.
    """
    config = json.loads(bytes(state[CONFIG_TENSOR].to(torch.uint8).tolist()))
    if not isinstance(config, dict) or "type" not in config:
        raise ValueError(f"{CONFIG_TENSOR} holds no network config")
    return config
