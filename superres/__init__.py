"""superres: single-image super-resolution with configs, exact data and trustworthy tables.

Importing this package loads neither torch nor OpenCV; what needs them is imported on use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superres.checkpoints import load_model

__version__ = "0.1.0"
__all__ = ["__version__", "load_model"]

_LAZY = {"load_model": "superres.checkpoints"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'superres' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
