"""Inference: a network applied to images of any size.

`Tiler` does it on numpy arrays: the whole image, tiles, the published chop, self-ensemble. It
takes any `Network`; of the back ends, which are networks, torch is one. Importing this loads none
of them.
"""

from typing import TYPE_CHECKING

from superres.inference.network import Network, in_channels, radius_of
from superres.inference.tiles import Tiler, Tiling, UpscaleRecord, parse_tile
from superres.lazy import lazily

if TYPE_CHECKING:
    from superres.inference.backends.pytorch import upscale_tensor, upscale_with_record

__all__ = [
    "Network",
    "Tiler",
    "Tiling",
    "UpscaleRecord",
    "in_channels",
    "parse_tile",
    "radius_of",
    "upscale_tensor",
    "upscale_with_record",
]

__getattr__ = lazily(
    __name__,
    {"superres.inference.backends.pytorch": ("upscale_tensor", "upscale_with_record")},
)
