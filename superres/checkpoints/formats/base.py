"""What a published weight format is: tables of names, and the numbers its weights imply."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from superres.models.layers.normalise import DIV2K_MEAN

Shapes = Mapping[str, tuple[int, ...]]
Hints = Mapping[str, Any]
"""Arguments that no shape can tell."""
Arguments = Callable[[Shapes, Hints], dict[str, Any]]
MEAN = list(DIV2K_MEAN)
IN_255 = {"rgb_mean": MEAN, "img_range": 255.0}
"""EDSR's convention: 0..255, the mean subtracted."""
UNIT = {"rgb_mean": None, "img_range": 1.0}

_NUMBER = re.compile(r"\{(#|\d*)(\w)\+?(\d*)\}")


@dataclass(frozen=True)
class Layout:
    """One network as one format stores it: its modules, and what follows from there being these.

    Attributes:
        network: our class.
        arguments: the network's arguments, from shapes under our names and from hints.
        names: our module name -> theirs; see :func:`same` for names that are equal. A letter in
            braces stands for any number, ``{2i+1}`` for one computed from it. In their names a
            capital is how many different numbers its small letter has in the network, ``{#s}`` the
            place of ``{s}`` among them. Tensor suffixes (.weight, .bias, ...) are the same.
        optional: names of modules that only some of these networks have.
        tensors: keys, digits as '#', that must be there (or not: after '-'), where other layouts
            have modules of the same names.
        convention: arguments that are the same in all files: range and mean.
        hints: what is taken where the user gives no such hint.
        mean_shift: modules that subtract and add the mean as 1x1 convolutions.
        mean_applied: False where the published forward never calls them.
        grey: only of one channel, and then meant where layouts of other formats have the same keys.
        ignored: prefix of keys in the same file that do not belong to the network.
        enlarges_first: the network works on an upscaled image: no tensor tells the scale.
        settle: puts into a config what only the values in a state dict (in our names) tell.
    """

    network: str
    arguments: Arguments
    names: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    convention: Mapping[str, Any] = field(default_factory=dict)
    hints: Hints = field(default_factory=dict)
    mean_shift: tuple[str, ...] = ()
    mean_applied: bool = True
    grey: bool = False
    ignored: str | None = None
    enlarges_first: bool = False
    settle: Callable[[dict[str, Any], Mapping[str, torch.Tensor]], None] | None = None

    @property
    def partial(self) -> bool:
        """Whether the file holds a part of the network only."""
        return self.ignored is not None

    def ignores(self, key: str) -> bool:
        """Whether a key belongs to something else."""
        return self.ignored is not None and key.startswith(self.ignored)

    def compare(self, patterns: set[str]) -> tuple[set[str], set[str], int]:
        """Their modules that are missing in a file and not known here, and how many agree.

        Args:
            patterns: the file's keys, digits as '#'.
        """
        found = {_module(key) or key for key in patterns if not self.ignores(key)}
        wanted, optional = (
            {pattern(_NUMBER.sub("0", name)) for name in table.values()}
            for table in (self.names, self.optional)
        )
        return wanted - found, found - wanted - optional - {*self.mean_shift}, len(wanted & found)

    def fits(self, patterns: set[str], grey: bool) -> bool:
        """Whether a file with these key patterns, of one channel or more, is of this layout."""
        missing, unknown, _ = self.compare(patterns)
        told = [(key.removeprefix("-") in patterns) != key.startswith("-") for key in self.tensors]
        return not missing and not unknown and all(told) and grey >= self.grey

    def config(self, shapes: Shapes, hints: Hints) -> dict[str, Any]:
        """The backbone's config from the file's shapes and from hints."""
        names = self.ours({_module(key) for key in shapes})
        known = {_renamed(k, names): shape for k, shape in shapes.items() if _module(k) in names}
        arguments = self.arguments(known, {**self.hints, **hints})
        return {"type": self.network, **arguments, **self.convention}

    def expected(self, keys: Iterable[str]) -> dict[str, str]:
        """Their key -> our key, of a whole network's.

        Raises:
            KeyError: the format has no name for one.
        """
        keys = list(keys)
        names = self.theirs(dict.fromkeys(map(_module, keys)))
        return {_renamed(k, names): k for k in keys if _module(k) in names or not self.partial}

    def ours(self, modules: set[str]) -> dict[str, str]:
        """Our names of a file's modules; those that have none are left out."""
        found: dict[str, str] = {}
        rules = {**self.names, **self.optional}
        # Names with a capital first: the largest number is the count.
        for mine in sorted(rules, key=lambda mine: not re.search(r"\{\d*[A-Z]", rules[mine])):
            matches = {module: _match(rules[mine], module) for module in modules - found.keys()}
            numbers = {module: match for module, match in matches.items() if match is not None}
            by_count = sorted(numbers, key=lambda module: sorted(numbers[module].items()))
            last = {_fill(mine, numbers[module]): module for module in by_count}
            found |= {module: name for name, module in last.items()}
        return found

    def theirs(self, modules: Iterable[str]) -> dict[str, str]:
        """Their names of a network's modules; those that have none are left out."""
        rules: dict[str, tuple[str, dict[str, int]]] = {}
        places: dict[str, dict[int, int]] = defaultdict(dict)
        for module in modules:
            for mine, template in {**self.names, **self.optional}.items():
                if (numbers := _match(mine, module)) is not None:
                    rules[module] = template, numbers
                    for letter, number in numbers.items():
                        places[letter].setdefault(number, len(places[letter]))
        return {module: _fill(*rule, places) for module, rule in rules.items()}

    def mean_keys(self) -> list[str]:
        """Keys of the mean shift, or none."""
        return [f"{m}.{s}" for m in self.mean_shift for s in ("weight", "bias")]


@dataclass(frozen=True)
class Format:
    """A family of weight files.

    Attributes:
        name: what ``format=`` and ``--format`` take; underscores are as good as hyphens.
        title: what messages call it.
        convention: numeric convention in a few words.
        layouts: its networks.
        aliases: other names.
        variants: further names, each with the hints it stands for where keys cannot tell.
        order: place in lists; of formats that read a file alike the first one is named.
        wrap: what is saved of a state dict in their names.
    """

    name: str
    title: str
    convention: str
    layouts: tuple[Layout, ...]
    aliases: tuple[str, ...] = ()
    variants: Mapping[str, Hints] = field(default_factory=dict)
    order: int = 50
    wrap: Callable[[dict[str, torch.Tensor]], dict[str, Any]] = dict


def same(*names: str) -> dict[str, str]:
    """A table of names that are ours, too."""
    return {name: name for name in names}


def pattern(key: str) -> str:
    """A key with every number replaced by '#'."""
    return re.sub(r"\d+", "#", key)


def _module(key: str) -> str:
    return key.rpartition(".")[0]


def _renamed(key: str, names: Mapping[str, str]) -> str:
    module, _, suffix = key.rpartition(".")
    return f"{names[module]}.{suffix}"


@cache
def _compiled(template: str) -> re.Pattern[str]:
    return re.compile(r"(\d+)".join(map(re.escape, re.split(r"\{.*?\}", template))))


def _match(template: str, module: str) -> dict[str, int] | None:
    """The numbers in a name of this form; None where it has another."""
    found = _compiled(template).fullmatch(module)
    if found is None:
        return None
    numbers: dict[str, int] = {}
    for (times, letter, plus), digits in zip(_NUMBER.findall(template), found.groups()):
        number, rest = divmod(int(digits) - int(plus or 0), int(times.strip("#") or 1))
        if rest or number < 0 or numbers.setdefault(letter, number) != number:
            return None
    return numbers


def _fill(
    template: str, numbers: Mapping[str, int], places: Mapping[str, Mapping[int, int]] | None = None
) -> str:
    def number(found: re.Match[str]) -> str:
        times, letter, plus = found.groups()
        if times == "#":
            return str(places[letter][numbers[letter]])
        value = numbers[letter] if letter in numbers else len(places[letter.lower()])
        return str(int(times or 1) * value + int(plus or 0))

    return _NUMBER.sub(number, template)
