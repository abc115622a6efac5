"""The configs that come with the package."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from superres.errors import UserError
from superres.models.summary import build_on_meta
from superres.paths import share_dir

from .config.load import load_config
from .config.types import use_scope
from .config.values import scales_of, to_plain


@dataclass(frozen=True)
class Recipe:
    """One config.

    Attributes:
        path: the file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The bare name that commands take."""
        return self.path.stem

    @cached_property
    def config(self) -> Config:
        """Read and completed."""
        return load_config(str(self.path))

    @property
    def scales(self) -> list[int]:
        """One, or those of a multi-scale network."""
        return scales_of(self.config)

    def parameters(self) -> int:
        """Of the network."""
        use_scope()
        network = build_on_meta(to_plain(self.config.model)["backbone"])
        return sum(p.numel() for p in network.parameters())


def find_recipes(patterns: Sequence[str] = ()) -> list[Recipe]:
    """The configs whose names match one of the patterns (``edsr*``; none: all), by name.

    Raises:
        UserError: nothing matches; near names are given.
    """
    root = share_dir("configs")
    found = [Recipe(p) for p in sorted(root.rglob("*.py")) if "_base_" not in p.parts]
    if not patterns:
        return found
    chosen = [r for r in found if any(fnmatch.fnmatchcase(r.name, p) for p in patterns)]
    if not chosen:
        names = [r.name for r in found]
        near = difflib.get_close_matches(patterns[0].strip("*"), names, n=3, cutoff=0.4)
        raise UserError(
            f"no config is called {' or '.join(patterns)}"
            + (f"; near are {', '.join(near)}" if near else "")
            + ". `superres models list` shows all; quote patterns: 'edsr*'"
        )
    return chosen
