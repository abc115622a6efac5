"""Read and write weights: published formats, our own, and the network that goes with them."""

from superres.checkpoints.building import build_network, load_model, pick_device
from superres.checkpoints.convert import TARGETS, Conversion, convert
from superres.checkpoints.formats import FORMATS, format_names
from superres.checkpoints.names import PUBLISHED
from superres.checkpoints.reading import LoadedWeights, read_weights
from superres.checkpoints.warm_start import WarmStart, warm_start
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
