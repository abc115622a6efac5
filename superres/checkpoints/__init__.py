"""Read and write weights: published formats, our own, and the network that goes with them.

Importing this loads no torch: names and the zoo do without.
"""

from typing import TYPE_CHECKING

from superres.checkpoints.zoo import PUBLISHED
from superres.lazy import lazily

if TYPE_CHECKING:  # what type checkers and the pages of the API see
    from superres.checkpoints.conversion import TARGETS, Conversion, convert
    from superres.checkpoints.formats import FORMATS, format_names
    from superres.checkpoints.loading import (
        LoadedWeights,
        build_network,
        load_model,
        read_weights,
    )
    from superres.checkpoints.networks import pick_device
    from superres.checkpoints.state_dict import WarmStart, warm_start
    from superres.checkpoints.writing import save_safetensors

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
]
__getattr__ = lazily(
    __name__,
    {
        f"{__name__}.conversion": ("TARGETS", "Conversion", "convert"),
        f"{__name__}.formats": ("FORMATS", "format_names"),
        f"{__name__}.loading": ("LoadedWeights", "build_network", "load_model", "read_weights"),
        f"{__name__}.networks": ("pick_device",),
        f"{__name__}.state_dict": ("WarmStart", "warm_start"),
        f"{__name__}.writing": ("save_safetensors",),
    },
)
