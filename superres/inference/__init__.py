"""Inference: a network applied to pictures of any size.

``upscale_tensor`` is the one entry: the whole picture, tiles, the published chop, self-ensemble.
It takes any callable with ``scale`` (and ``receptive_radius``) and knows nothing of models.
"""

from superres.inference.ensemble import SelfEnsemble
from superres.inference.upscale import (
    UpscaleRecord,
    parse_tile,
    upscale_tensor,
    upscale_with_record,
)
from superres.inference.whole import Upscaler, in_channels, radius_of

__all__ = [
    "SelfEnsemble",
    "UpscaleRecord",
    "Upscaler",
    "in_channels",
    "parse_tile",
    "radius_of",
    "upscale_tensor",
    "upscale_with_record",
]
