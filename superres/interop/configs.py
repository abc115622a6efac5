"""Configs of other toolboxes, as configs of superres.

Each toolbox has a file that recognises its configs and says the same in superres's keys; what it
returns is written as a leaf over ``configs/_base_``, which is then read like any other config.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superres.errors import UserError

from . import basicsr, edsr_pytorch, openmmlab
from .recipe import Recipe

TOOLBOXES = (openmmlab, basicsr)
READ = "MMEditing 0.x, MMagic 1.x, BasicSR, and EDSR-PyTorch's option line"


def recipe_of(tree: Mapping[str, Any], path: Path) -> Recipe | None:
    """The recipe of another toolbox's config; None for a config of superres.

    Args:
        tree: its content, inheritance done.
        path: its file.

    Raises:
        UserError: a toolbox that is not read, or what would train otherwise here; the file and
            the key are named.
    """
    toolbox = next((t for t in TOOLBOXES if t.recognises(tree)), None)
    if toolbox is not None:
        try:
            return _finished(toolbox.translate(tree, str(path)))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            key = "it lacks the key " if isinstance(error, KeyError) else ""
            raise UserError(f"{path}: a value is not as {READ} have it: {key}{error}") from error
    if path.suffix in (".yml", ".yaml") and "model" not in tree and "_base_" not in tree:
        raise UserError(f"{path} is not a config of superres or of a supported toolbox: {READ}")
    return None


def recipe_of_line(line: str) -> Recipe:
    """What an option line of EDSR-PyTorch says.

    Raises:
        UserError: an option that is unknown, or that would train otherwise here.
    """
    return _finished(edsr_pytorch.translate(line))


def _finished(recipe: Recipe) -> Recipe:
    """Missing files to start from are reported and left out: their configs name those of
    their authors."""
    start = recipe.config.get("load_from")
    if start and not os.path.exists(start):
        del recipe.config["load_from"]
        recipe.notes.append(f"starts from scratch: {start!r}, to start from, is not there")
    recipe.notes = list(dict.fromkeys(recipe.notes))
    return recipe
