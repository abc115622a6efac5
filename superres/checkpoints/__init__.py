"""Read and write weights: published formats, our own, and the network that goes with them.

Importing this loads no torch: names, files and the zoo do without.
"""

from typing import TYPE_CHECKING

from superres.checkpoints.names import PUBLISHED
from superres.lazy import lazily

if TYPE_CHECKING:
    from superres.checkpoints.building import build_network, load_model, pick_device
    from superres.checkpoints.conversion import TARGETS, Conversion, convert
    from superres.checkpoints.formats import FORMATS, format_names
    from superres.checkpoints.reading import LoadedWeights, read_weights
    from superres.checkpoints.warm import WarmStart, warm_start
    from superres.checkpoints.writing import save_safetensors, write_whole

__all__ = [
    "FORMATS",
    "PUBLISHED",
    "TARGETS",
    "Conversion",
    "LoadedWeights",
    "WarmStart",
    "build_network",
    "convert",
    "format_names",
    "load_model",
    "pick_device",
    "read_weights",
    "save_safetensors",
    "warm_start",
    "write_whole",
]

__getattr__ = lazily(
    __name__,
    {
        "superres.checkpoints.building": (
            "build_network",
            "load_model",
            "pick_device",
        ),
        "superres.checkpoints.conversion": (
            "TARGETS",
            "Conversion",
            "convert",
        ),
        "superres.checkpoints.formats": (
            "FORMATS",
            "format_names",
        ),
        "superres.checkpoints.reading": (
            "LoadedWeights",
            "read_weights",
        ),
        "superres.checkpoints.warm": (
            "WarmStart",
            "warm_start",
        ),
        "superres.checkpoints.writing": (
            "save_safetensors",
            "write_whole",
        ),
    },
)
