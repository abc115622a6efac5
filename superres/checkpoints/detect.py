"""Which published format and network a state dict is, from its keys and shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from superres.checkpoints.formats import FORMATS, Format, Layout, get_format
from superres.checkpoints.formats.base import Shapes, pattern
from superres.checkpoints.names import PUBLISHED
from superres.errors import UserError

KNOWN_FILES = {
    "1bc9523228fdc3b0a5ddb0d7062001e22b31bbb398ae09cfdefb97e8ee06e171": "edsr-pytorch",
    "abf2a44e7a137228efa42a4264a23e12603168d43ac7596b1adef40c649b9240": "edsr-pytorch",
    "6b446fab734f4de74448d2fd1f3f990f5bae726e49dc7eff2ae9cefe444a1723": "edsr-pytorch",
    "a00cab12f80c2a7cf0a15c3b9fcae3cfe9273121e8942692303e5010d1dca5ef": "edsr-pytorch",
    # Of the others only the leading digits of the hashes are published, in their file names.
    **{file.digits: file.format for file in PUBLISHED.values()},
}
"""SHA-256 of official files (or its first eight digits) whose keys alone are ambiguous."""

# config.json keys that only super-image's files have, and keys that they share with others.
HUB_KEYS = {"model_type", "data_parallel", "bam", "supported_scales"}
SIZE_KEYS = {
    "num_blocks": ("n_resblocks", "num_blocks", "num_block"),
    "channels": ("n_feats", "mid_channels", "num_feat"),
}

_NEAR = 0.3
"""Share of common keys from which a message compares a file with a format."""


class UnknownNetwork(UserError):
    """The keys are of no network that is known here; another package may know it."""


@dataclass
class Match:
    """A format, its layout and the hints that go with it."""

    format: Format
    layout: Layout
    hints: dict[str, Any]


def detect(
    shapes: Shapes,
    where: str,
    hints: Mapping[str, Any],
    format: str | None = None,
    neighbour: Mapping[str, Any] | None = None,
    digest: Callable[[], str] | None = None,
) -> Match:
    """The format and layout of a state dict.

    Args:
        shapes: key -> shape.
        where: names the file in errors.
        hints: ``scale`` and other arguments that the user gave.
        format: asked for by the user; overrides everything else.
        neighbour: content of a config.json beside the file.
        digest: gives the file's SHA-256; called only if the keys leave a choice.

    Raises:
        UserError: unknown keys (the nearest format and first differing keys are named), a file
            that several formats could mean, a file that is not of the format asked for.
    """
    patterns = {pattern(key) for key in shapes}
    fitting = [(f, x) for f in FORMATS for x in f.layouts if x.fits(patterns)]
    if format is not None:
        wanted, extra = get_format(format)
        for candidate, layout in fitting:
            if candidate is wanted:
                beside = neighbour_hints(neighbour, wanted.name)
                return Match(wanted, layout, {**beside, **extra, **hints})
        raise UserError(_not_that_format(where, wanted, fitting, patterns))
    if not fitting:
        raise UnknownNetwork(_unknown(where, patterns))
    choices = _distinct(fitting, shapes, hints)
    named = choices[0][0].name if len(choices) == 1 else _named_by(neighbour, where)
    if named is None and digest is not None:
        sha = digest()
        named = KNOWN_FILES.get(sha) or KNOWN_FILES.get(sha[:8])
    if named is not None:
        return detect(shapes, where, hints, named, neighbour)
    options = "; ".join(f"{f.name!r} ({f.convention})" for f, _ in choices)
    raise UserError(
        f"{where}: this {choices[0][1].network} can be of {len(choices)} formats with the same "
        f"keys and different numbers. Pass format= (--format) one of: {options}; or put the "
        "model's own config.json beside the file."
    )


def neighbour_hints(neighbour: Mapping[str, Any] | None, format: str) -> dict[str, Any]:
    """What a config.json beside the file says that its weights do not.

    One of super-image's says nothing about a file of another format.
    """
    if neighbour is None or "res_scale" not in neighbour:
        return {}
    if format != "super-image" and HUB_KEYS & neighbour.keys():
        return {}
    return {"res_scale": neighbour["res_scale"]}


def check_neighbour(
    neighbour: Mapping[str, Any] | None, config: Mapping[str, Any], where: str
) -> None:
    """UserError if a config.json that was used describes a network of another size."""
    for ours, names in SIZE_KEYS.items():
        for name in names:
            if neighbour and ours in config and neighbour.get(name, config[ours]) != config[ours]:
                raise UserError(
                    f"{where}: the config.json beside it says {name} = {neighbour[name]}, the "
                    f"weights have {config[ours]}; it belongs to another file"
                )


def _named_by(neighbour: Mapping[str, Any] | None, where: str) -> str | None:
    """The format that a config.json speaks for; UserError for one that there is not."""
    if not neighbour:
        return None
    if "format" in neighbour:
        try:
            get_format(str(neighbour["format"]))
        except UserError as error:
            raise UserError(f"{where}: in the config.json beside it, {error}") from error
        return str(neighbour["format"])
    sizes = {"n_resblocks", "n_feats"} & neighbour.keys()
    if sizes and isinstance(neighbour.get("scale"), list):
        return "edsr-pytorch"  # that program's options, whose scale is a list
    return "super-image" if sizes or HUB_KEYS & neighbour.keys() else None


def _distinct(
    fitting: list[tuple[Format, Layout]], shapes: Shapes, hints: Mapping[str, Any]
) -> list[tuple[Format, Layout]]:
    """One of each set of layouts that read the file in the same way."""
    seen: list[Any] = []
    result = []
    for candidate, layout in fitting:
        try:
            config = layout.config(shapes, hints)
        except (UserError, LookupError, ValueError, TypeError, ArithmeticError):
            config = {"type": layout.network, "unreadable": True}
        if config not in seen:
            seen.append(config)
            result.append((candidate, layout))
    return result


def _likeness(layout: Layout, patterns: set[str]) -> float:
    keys = layout.patterns()
    return len(keys & patterns) / len(keys | patterns)


def _difference(patterns: set[str], layout: Layout) -> str:
    missing = sorted(set(layout.patterns()) - set(layout.mean_keys()) - patterns)
    extra = sorted(patterns - layout.patterns())
    return f"missing {shorten(missing)}; unexpected {shorten(extra)}"


def shorten(keys: list[str], most: int = 4) -> str:
    """The first few of a list of keys, for a message."""
    text = ", ".join(keys[:most]) or "none"
    return text + (f" and {len(keys) - most} more" if len(keys) > most else "")


def _unknown(where: str, patterns: set[str]) -> str:
    pairs = ((f, x) for f in FORMATS for x in f.layouts)
    nearest, layout = max(pairs, key=lambda pair: _likeness(pair[1], patterns))
    unknown = f"{where}: the weights of a network that is not known here"
    if _likeness(layout, patterns) < _NEAR:
        return f"{unknown}; its keys are (# stands for a number): {shorten(sorted(patterns))}."
    return (
        f"{unknown}. Nearest is {layout.network} as {nearest.title} stores it, and the keys differ "
        f"(# stands for a number): {_difference(patterns, layout)}."
    )


def _not_that_format(
    where: str, wanted: Format, fitting: list[tuple[Format, Layout]], patterns: set[str]
) -> str:
    if fitting:
        reason = "they look like " + " or ".join(sorted({f.name for f, _ in fitting}))
    else:
        nearest = max(wanted.layouts, key=lambda x: len(x.patterns() & patterns))
        reason = f"against its {nearest.network}: {_difference(patterns, nearest)}"
    return f"{where}: the keys are not those of format {wanted.name!r}; {reason}"
