"""Which published format and network a state dict is, from its keys and shapes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from superres.checkpoints.formats import FORMATS, Format, Layout, get_format
from superres.checkpoints.formats.base import Shapes, pattern
from superres.checkpoints.networks import is_factor
from superres.checkpoints.weight_files import sha256
from superres.checkpoints.zoo import PUBLISHED
from superres.errors import UserError, some

# config.json keys that only super-image's files have, and names of sizes that it may hold.
HUB_KEYS = {"model_type", "data_parallel", "bam", "supported_scales", "n_resblocks", "n_feats"}
SIZE_KEYS = {"n_resblocks": "num_blocks", "n_feats": "channels"}

_NEAR = 0.3
"""Share of common names from which a message compares a file with a format."""


class Match(NamedTuple):
    """A format, its layout and the hints that go with it."""

    format: Format
    layout: Layout
    hints: dict[str, Any]


def detect(
    shapes: Shapes, path: Path, hints: Mapping[str, Any], format: str | None = None
) -> Match | None:
    """The format and layout of a state dict; None for a network that no format here has.

    Where the keys leave a choice, a ``config.json`` beside the file decides, then its hash.

    Args:
        shapes: key -> shape.
        path: the file.
        hints: ``scale`` and other arguments that the user gave.
        format: asked for by the user; overrides everything else.

    Raises:
        UserError: a file that several formats could mean, or that is not of the format asked for;
            a config.json of another file.
    """
    patterns = {pattern(key) for key in shapes}
    grey = any(len(shape) == 4 and shape[1] == 1 for shape in shapes.values())
    fitting = [(f, x) for f in FORMATS for x in f.layouts if x.fits(patterns, grey)]
    if format is None and not fitting:
        return None
    beside = neighbour_config(path) or {}
    if format is None:
        choices: dict[str, tuple[Format, dict[str, Any]]] = {}
        for candidate, layout in [x for x in fitting if x[1].grey] or fitting:
            config = _config(layout, shapes, hints)
            choices.setdefault(repr(config), (candidate, config))  # the first of those that agree
        first, config = next(iter(choices.values()))
        format = first.name if len(choices) == 1 else _named(beside, path, config)
        if format is None:
            options = "; ".join(f"{f.name!r} ({f.convention})" for f, _ in choices.values())
            raise UserError(
                f"{path}: this {config['type']} can be of {len(choices)} formats with the same "
                f"keys and different numbers. Pass format= (--format) one of: {options}; or put "
                "the model's own config.json beside the file."
            )
    wanted, extra = get_format(format)
    layout = next((x for f, x in fitting if f is wanted), None)
    if layout is None:
        looks = " or ".join(sorted({f.name for f, _ in fitting}))
        reason = f"they look like {looks}" if looks else nearest([wanted], patterns)
        raise UserError(f"{path}: the keys are not those of format {wanted.name!r}; {reason}")
    found = {**extra, **hints}
    if "res_scale" in beside and (wanted.name == "super-image" or not HUB_KEYS & beside.keys()):
        found.setdefault("res_scale", beside["res_scale"])
    return Match(wanted, layout, found)


def neighbour_config(path: Path) -> dict[str, Any] | None:
    """``config.json`` beside a weight file, or None.

    Raises:
        UserError: it is there but is not a JSON object, or its residual scale is not a number.
    """
    file = path.parent / "config.json"
    if not file.is_file():
        return None
    config = None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        config = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or not is_factor(config.get("res_scale", 1)):
        what = "a JSON object whose res_scale, if it has one, is a positive number"
        raise UserError(f"{file}: not readable as {what}; repair or remove it")
    return config


def _named(beside: Mapping[str, Any], path: Path, config: Mapping[str, Any]) -> str | None:
    """The format that a config.json or the file's own hash speaks for.

    Raises:
        UserError: the config.json is of a network of another size.
    """
    if not HUB_KEYS & beside.keys():
        digest = sha256(path)
        return next((p.format for p in PUBLISHED.values() if digest.startswith(p.digits)), None)
    for theirs, ours in SIZE_KEYS.items():
        if beside.get(theirs, config.get(ours)) != config.get(ours):
            raise UserError(
                f"{path}: the config.json beside it says {theirs} = {beside[theirs]}, the weights "
                f"have {config.get(ours)}; it belongs to another file"
            )
    return "super-image"


def _config(layout: Layout, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return layout.config(shapes, hints)
    except (UserError, LookupError, ValueError, TypeError, ArithmeticError):
        return {"type": layout.network, "unreadable": True}


def nearest(formats: Sequence[Format], patterns: set[str]) -> str:
    """What to say of key patterns: the nearest layout and how it differs, where one is near."""
    found = [
        (f"{x.network} of {f.title}", *x.compare(patterns)) for f in formats for x in f.layouts
    ]
    title, missing, unknown, common = max(found, key=lambda x: x[3] / sum(map(len, x[1:3]), x[3]))
    if common < 2 or common < _NEAR * (len(missing) + len(unknown) + common):
        return f"its keys are (# stands for a number): {some(sorted(patterns), 4)}"
    parts = {"missing": missing, "unexpected": unknown}
    words = [f"{word} {some(sorted(names), 4)}" for word, names in parts.items() if names]
    return f"nearest is {title}, from which it differs (# stands for a number): {'; '.join(words)}"
