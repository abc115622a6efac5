"""superres: single-image super-resolution with configs, exact data and trustworthy tables.

Importing this package loads neither torch nor OpenCV; what needs them is imported on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from superres.errors import UserError
from superres.lazy import lazily

if TYPE_CHECKING:
    from superres.checkpoints.loading import load_model
    from superres.checkpoints.pretrained import from_pretrained, save_pretrained
    from superres.engine.api import test, train
    from superres.upscaling.compare import save_comparison
    from superres.upscaling.python import ImageUpscaler, PictureUpscaler, SomeFailed, upscale

__version__ = "0.1.0"
__all__ = [
    "ImageUpscaler",
    "PictureUpscaler",
    "SomeFailed",
    "UserError",
    "__version__",
    "from_pretrained",
    "load_model",
    "save_comparison",
    "save_pretrained",
    "test",
    "train",
    "upscale",
]

__getattr__ = lazily(
    __name__,
    {
        "superres.checkpoints.loading": ("load_model",),
        "superres.checkpoints.pretrained": ("from_pretrained", "save_pretrained"),
        "superres.engine.api": ("test", "train"),
        "superres.upscaling.compare": ("save_comparison",),
        "superres.upscaling.python": ("ImageUpscaler", "PictureUpscaler", "SomeFailed", "upscale"),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
