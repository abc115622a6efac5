"""Where files lie: configs and tools that come with the package, and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from superres.errors import UserError


def share_dir(kind: str) -> Path:
    """The folder ``configs`` or ``tools``: beside the package in a checkout, inside it in a wheel.

    Raises:
        UserError: neither is there (a broken installation).
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "_share" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise UserError(f"{kind}/ was not installed with superres ({package}); install it again")


def cache_dir() -> Path:
    """Where downloads and conversions are kept.

    ``$SUPERRES_HOME``, else superres/ in the user's cache folder (``$XDG_CACHE_HOME`` or
    ~/.cache).
    """
    if os.environ.get("SUPERRES_HOME"):
        return Path(os.environ["SUPERRES_HOME"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "superres"
