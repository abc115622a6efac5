"""Read and write weights: published formats, our own, and the network that goes with them.

Importing this loads no torch: names and the zoo do without.
"""

from typing import TYPE_CHECKING

from superres.lazy import lazily

if TYPE_CHECKING:  # what type checkers and the pages of the API see
    from superres.checkpoints.conversion import convert
    from superres.checkpoints.loading import (
        LoadedWeights,
        build_network,
        load_model,
        read_weights,
        save_safetensors,
    )
    from superres.checkpoints.state_dict import warm_start

__all__ = [
    "LoadedWeights",
    "build_network",
    "convert",
    "load_model",
    "read_weights",
    "save_safetensors",
    "warm_start",
]
_LOADING = ("LoadedWeights", "build_network", "load_model", "read_weights", "save_safetensors")
__getattr__ = lazily(
    __name__,
    {
        f"{__name__}.conversion": ("convert",),
        f"{__name__}.loading": _LOADING,
        f"{__name__}.state_dict": ("warm_start",),
    },
)
