"""Read and write weights: published formats, our own, and the network that goes with them.

Importing this loads no torch: names and the zoo do without.
"""

from superres.checkpoints.zoo import PUBLISHED
from superres.lazy import lazily

_PLACES = {
    "conversion": ("TARGETS", "Conversion", "convert"),
    "formats": ("FORMATS", "format_names"),
    "loading": ("LoadedWeights", "build_network", "load_model", "read_weights"),
    "networks": ("pick_device",),
    "state_dict": ("WarmStart", "warm_start"),
    "writing": ("save_safetensors",),
}
__all__ = ["PUBLISHED", *(name for names in _PLACES.values() for name in names)]
__getattr__ = lazily(__name__, {f"{__name__}.{place}": names for place, names in _PLACES.items()})
