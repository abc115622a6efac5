"""Published weight formats: every module here that has a ``FORMAT``.

A format is a `Format` with a `Layout` for each network it stores: which keys tell it, how its
names translate into ours, and the numeric convention its weights imply.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import Format, Layout
from superres.errors import UserError

OWN = "superres"
"""Name of our own formats: training checkpoints, and safetensors with the config inside."""

_modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
FORMATS: tuple[Format, ...] = tuple(
    sorted((m.FORMAT for m in _modules if hasattr(m, "FORMAT")), key=lambda f: (f.order, f.name))
)


def format_names() -> list[str]:
    """Every name that ``format=`` takes, without the aliases."""
    return [OWN, *(name for f in FORMATS for name in (f.name, *f.variants))]


def get_format(name: str) -> tuple[Format, Mapping[str, Any]]:
    """The format of a name or alias, and the hints a variant's name stands for.

    Raises:
        UserError: there is no such format.
    """
    wanted = name.lower().replace("_", "-")
    for candidate in FORMATS:
        if wanted in (candidate.name, *candidate.aliases):
            return candidate, {}
        if wanted in candidate.variants:
            return candidate, candidate.variants[wanted]
    raise UserError(f"format {name!r} is not known; choose one of {', '.join(format_names())}")


__all__ = ["FORMATS", "OWN", "Format", "Layout", "format_names", "get_format"]
