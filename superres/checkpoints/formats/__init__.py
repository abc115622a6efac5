"""Published weight formats, one file each.

A format is a `Format` with a `Layout` for each network it stores: which keys tell it, how its
names translate into ours, and the numeric convention its weights imply.
"""

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats import (
    authierj,
    bam,
    basicsr,
    drln,
    edsr_pytorch,
    esrgan,
    liif,
    lornatang,
    mmediting,
    rcan,
    rdn,
    super_image,
    twtygqyy,
)
from superres.checkpoints.formats.base import Format, Layout
from superres.errors import UserError

OWN = "superres"
"""Name of our own formats: training checkpoints, and safetensors with the config inside."""

FORMATS: tuple[Format, ...] = tuple(
    module.FORMAT
    for module in (
        edsr_pytorch,
        mmediting,
        basicsr,
        super_image,
        drln,
        bam,
        rcan,
        rdn,
        esrgan,
        authierj,
        lornatang,
        twtygqyy,
        liif,
    )
)


def format_names() -> list[str]:
    """Every name that ``format=`` takes, without the aliases."""
    return [OWN, *(name for f in FORMATS for name in (f.name, *f.variants))]


def get_format(name: str) -> tuple[Format, Mapping[str, Any]]:
    """The format of a name or alias, and the hints a variant's name stands for.

    Raises:
        UserError: there is no such format.
    """
    wanted = name.lower()
    for candidate in FORMATS:
        if wanted in (candidate.name, *candidate.aliases):
            return candidate, {}
        if wanted in candidate.variants:
            return candidate, candidate.variants[wanted]
    raise UserError(f"format {name!r} is not known; choose one of {', '.join(format_names())}")


__all__ = ["FORMATS", "OWN", "Format", "Layout", "format_names", "get_format"]
