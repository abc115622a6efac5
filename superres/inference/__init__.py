"""Inference: a network applied to images of any size.

`Tiler` does it on numpy arrays: the whole image, tiles, the published chop, self-ensemble. It
takes any `Backend`, torch among them. Importing this loads none of them.
"""

from superres.inference.network import Backend, in_channels
from superres.inference.tiles import Tiler, Tiling, UpscaleRecord, parse_tile

__all__ = ["Backend", "Tiler", "Tiling", "UpscaleRecord", "in_channels", "parse_tile"]
