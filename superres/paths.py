"""Where files lie: configs and tools that come with the package, and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def share_dir(kind: str) -> Path:
    """The folder ``configs`` or ``tools``: beside the package in a checkout, in it in a wheel."""
    package = Path(__file__).resolve().parent
    shared = package / "_share" / kind
    return shared if shared.is_dir() else package.parent / kind


def cache_dir() -> Path:
    """Where downloads and conversions are kept.

    ``$SUPERRES_HOME``, else superres/ in the user's cache folder (``$XDG_CACHE_HOME`` or
    ~/.cache).
    """
    if os.environ.get("SUPERRES_HOME"):
        return Path(os.environ["SUPERRES_HOME"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "superres"
