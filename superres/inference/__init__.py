"""Inference: a network applied to pictures of any size.

``upscale_tensor`` is the one entry: the whole picture, tiles, the published chop, self-ensemble.
It takes any callable with ``scale`` and ``receptive_radius`` and knows nothing of models.
"""

from superres.inference.ensemble import SelfEnsemble
from superres.inference.upscale import (
    UpscaleRecord,
    parse_tile,
    upscale_tensor,
    upscale_with_record,
)
from superres.inference.whole import Upscaler

__all__ = [
    "SelfEnsemble",
    "UpscaleRecord",
    "Upscaler",
    "parse_tile",
    "upscale_tensor",
    "upscale_with_record",
]
