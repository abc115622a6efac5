"""File names that a terminal may see, whatever bytes they are made of."""

from __future__ import annotations

import os

from superres.output import printable


def shown(path: str | os.PathLike | bytes) -> str:
    """A path as one printable line: control characters and stray bytes as escapes."""
    return printable(os.fsdecode(path), keep="")
