"""What a published weight format is: names, shapes and numeric convention of its networks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import torch

from superres.errors import UserError
from superres.models.layers import DIV2K_MEAN, on_meta, with_scale
from superres.registry import MODELS, registered

Shapes = Mapping[str, tuple[int, ...]]
Names = dict[str, str]
"""Their module name -> our module name; tensor suffixes (.weight, .bias, ...) are the same."""

MEAN = list(DIV2K_MEAN)


class Layout:
    """One network as one format stores it."""

    network: ClassVar[str]
    anchors: ClassVar[tuple[str, ...]]
    """Keys, digits as '#', that tell the layout; all must be there."""
    absent: ClassVar[tuple[str, ...]] = ()
    """Keys, digits as '#', none of which may be there."""
    mean_shift: ClassVar[tuple[str, str] | None] = None
    """Modules that subtract and add the mean as 1x1 convolutions."""
    mean_applied: ClassVar[bool] = True
    """False where the file holds a mean shift that the published forward never calls."""
    partial: ClassVar[bool] = False
    """True where the file holds a part of the network only."""
    ignored: ClassVar[tuple[str, ...]] = ()
    """Prefixes of keys that belong to something else in the same file."""
    enlarges_first: ClassVar[bool] = False
    """True where the network works on an enlarged image: no tensor tells the scale."""
    example: ClassVar[dict[str, Any]] = {}
    """Arguments beside ``type`` of one network, to list its keys."""

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        """The backbone's config from the file's shapes; ``hints`` hold what no shape can tell."""
        raise NotImplementedError

    def names(self, config: Mapping[str, Any]) -> Names:
        """The name table of the network that ``config`` describes."""
        raise NotImplementedError

    def settle(self, config: dict[str, Any], state: Mapping[str, torch.Tensor]) -> None:
        """Put into ``config`` what only the values in ``state`` (in our names) tell."""

    def fits(self, patterns: set[str]) -> bool:
        """Whether a file with these key patterns is of this layout."""
        return set(self.anchors) <= patterns and not set(self.absent) & patterns

    def expected(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Their key -> our key for every tensor of the network."""
        theirs = {ours: name for name, ours in self.names(config).items()}
        table = {}
        for key in network_shapes(config):
            module, _, suffix = key.rpartition(".")
            if module in theirs or not self.partial:
                table[f"{theirs[module]}.{suffix}"] = key
        return table

    def mean_keys(self) -> list[str]:
        """Keys of the mean shift, or none."""
        return [f"{m}.{s}" for m in self.mean_shift or () for s in ("weight", "bias")]

    @lru_cache(maxsize=1)  # noqa: B019  layouts live as long as the program
    def patterns(self) -> frozenset[str]:
        """Key patterns of the example network, to find the layout nearest to a foreign file."""
        keys = [*self.expected({"type": self.network, **self.example}), *self.mean_keys()]
        return frozenset(map(pattern, keys))


@dataclass(frozen=True)
class Format:
    """A family of weight files.

    Attributes:
        name: what ``format=`` and ``--format`` take.
        title: what messages call it.
        convention: numeric convention in a few words.
        layouts: its networks.
        aliases: other spellings of the name.
        variants: further names, each with the hints it stands for where keys cannot tell.
    """

    name: str
    title: str
    convention: str
    layouts: tuple[Layout, ...]
    aliases: tuple[str, ...] = ()
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def pattern(key: str) -> str:
    """A key with every number replaced by '#'."""
    return re.sub(r"\d+", "#", key)


def build_meta(config: Mapping[str, Any]) -> torch.nn.Module:
    """The network of a config without memory for its weights."""
    import superres.models.backbones  # noqa: F401  registers them

    return on_meta(lambda: build_named(config))


def build_named(config: Mapping[str, Any]) -> torch.nn.Module:
    """The network of a config that may come from a file, which is data and nothing more.

    Raises:
        UserError: its ``type`` is not the name of a registered network (nothing is imported or
            called for it), or takes no such arguments.
    """
    name = config.get("type")
    made = registered(MODELS, name)
    is_network = isinstance(made, type) and issubclass(made, torch.nn.Module)
    takes = inspect.signature(made).parameters if is_network else {}
    # Losses and restorers are registered beside the networks, but take no scale. A network of a
    # user's own may have a fixed one.
    library = is_network and made.__module__.startswith(("superres.", "mmengine."))
    if not is_network or (library and not {"scale", "scales"} & set(takes)):
        raise UserError(
            f"{str(name)[:80]!r} is the name of no network here; where it is one of your own, "
            "import its module first: custom_imports in a config, or SUPERRES_IMPORTS=MODULE in "
            "the environment of a command without one. Names are looked up, never run"
        )
    given = {key: value for key, value in config.items() if key != "type"}
    unknown = [str(key) for key in given if key not in takes]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        raise UserError(f"{name} takes no argument {unknown[0][:80]!r}")
    if not is_plain(given):
        raise UserError(f"the arguments of {name} are nested too deeply or too many")
    return with_scale(made(**given), config)


def is_plain(value: Any, depth: int = 8, budget: int = 10_000) -> bool:
    """Whether nested data is small enough to be some network's arguments.

    A pickle can hold a list of lists of lists that are one and the same, or that hold themselves:
    a few bytes, and walking through them takes for ever.
    """
    waiting = [(value, depth)]
    while waiting and budget:
        item, left = waiting.pop()
        budget -= 1
        if isinstance(item, Mapping | list | tuple):
            parts = list(item.values()) if isinstance(item, Mapping) else item
            if not left or len(parts) > budget:
                return False
            waiting += [(part, left - 1) for part in parts]
    return not waiting


def network_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the network that ``config`` describes, in our names."""
    return {key: tuple(value.shape) for key, value in build_meta(config).state_dict().items()}


def full_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the network's defaults filled in."""
    defaults = inspect.signature(MODELS.get(config["type"]).__init__).parameters
    filled = {
        name: parameter.default
        for name, parameter in defaults.items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {**filled, **config}


def count(shapes: Iterable[str], template: str) -> int:
    """How many numbers stand in place of '#' in keys like ``template``: 'body.#.conv1.weight'."""
    regex = re.compile(re.escape(template).replace(r"\#", r"(\d+)") + "$")
    return len({m.group(1) for key in shapes if (m := regex.match(key))})


def scale_of(shapes: Shapes, stages: Iterable[str]) -> int:
    """The scale of a pixel-shuffle upsampler from its convolutions' shapes.

    Raises:
        UserError: not an upsampler of a network here.
    """
    factors = [shapes[key][0] // shapes[key][1] for key in stages if key in shapes]
    scale = {(4,): 2, (9,): 3, (4, 4): 4, (4, 4, 4): 8}.get(tuple(factors))
    if scale is None:
        raise UserError(f"an upsampler with stages of {factors} times the channels is unknown")
    return scale


def upsampler_names(theirs: str, ours: str, scale: int, stride: int, tail: str = "") -> Names:
    """Name table of an upsampler whose stages are ``stride`` indices apart in their Sequential."""
    stages = 1 if scale == 3 else scale.bit_length() - 1
    return {f"{theirs}.{k * stride}{tail}": f"{ours}.{k}.upsample_conv" for k in range(stages)}
