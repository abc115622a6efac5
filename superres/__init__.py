"""superres: single-image super-resolution with configs, exact data and trustworthy tables.

Importing this package loads neither torch nor OpenCV; what needs them is imported on use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superres.checkpoints import load_model
    from superres.checkpoints.pretrained import from_pretrained, push_to_hub, save_pretrained
    from superres.engine.api import test, train
    from superres.upscaling.compare import save_comparison
    from superres.upscaling.python import PictureUpscaler, upscale

__version__ = "0.1.0"
__all__ = [
    "PictureUpscaler",
    "__version__",
    "from_pretrained",
    "load_model",
    "push_to_hub",
    "save_comparison",
    "save_pretrained",
    "test",
    "train",
    "upscale",
]

_LAZY = {
    "PictureUpscaler": "superres.upscaling.python",
    "from_pretrained": "superres.checkpoints.pretrained",
    "load_model": "superres.checkpoints",
    "push_to_hub": "superres.checkpoints.pretrained",
    "save_comparison": "superres.upscaling.compare",
    "save_pretrained": "superres.checkpoints.pretrained",
    "test": "superres.engine.api",
    "train": "superres.engine.api",
    "upscale": "superres.upscaling.python",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'superres' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
