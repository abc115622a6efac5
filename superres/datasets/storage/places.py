"""Where results may go: never into what they are made from."""

from __future__ import annotations

import os
from pathlib import Path

from superres.errors import UserError


def check_apart(target: str | os.PathLike, source: str | os.PathLike) -> None:
    """Refuse a target that is, or lies inside, its source; symbolic links are followed.

    Raises:
        UserError: names both.
    """
    target, source = Path(os.path.abspath(target)), Path(source)
    # What is written beside the target (its lock, its partial) lies in its parent, so a target
    # that is itself a link counts at both places.
    places = target.resolve(), target.parent.resolve() / target.name
    if any(place.is_relative_to(source.resolve()) for place in places):
        raise UserError(
            f"{target}: inside the source {source}, which is never written. Choose a target "
            "elsewhere, for example beside it."
        )


def check_set_name(name: str) -> None:
    """Refuse a set's name that would lead out of the folder that the set belongs into.

    Raises:
        UserError: ``.``, ``..``, an empty name, or one with a separator.
    """
    if name in ("", ".", "..") or any(c in name for c in "/\\\0"):
        raise UserError(
            f"--name {name!r}: a set's name is the name of one folder, without '/', '\\' and "
            "'..'; where it goes is said by --out."
        )
