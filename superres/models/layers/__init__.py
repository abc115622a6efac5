"""Building blocks that several backbones share; one small file per kind."""

from superres.models.layers.attention import build_attention
from superres.models.layers.backbone import Backbone, on_meta, with_scale
from superres.models.layers.bam import BAM
from superres.models.layers.channel_attention import ChannelAttention
from superres.models.layers.init import check_init, kaiming_scaled
from superres.models.layers.interpolate import BicubicUpsample
from superres.models.layers.laplacian import LaplacianAttention
from superres.models.layers.normalise import DIV2K_MEAN, UNIT_STD, Denormalise, Normalise
from superres.models.layers.receptive import receptive_radius
from superres.models.layers.residual import ResidualBlock
from superres.models.layers.upsample import (
    SCALES,
    PixelShufflePack,
    Upsampler,
    check_scale,
    upsample_factors,
    upsample_steps,
)

__all__ = [
    "BAM",
    "DIV2K_MEAN",
    "SCALES",
    "UNIT_STD",
    "Backbone",
    "BicubicUpsample",
    "ChannelAttention",
    "Denormalise",
    "LaplacianAttention",
    "Normalise",
    "PixelShufflePack",
    "ResidualBlock",
    "Upsampler",
    "build_attention",
    "check_init",
    "check_scale",
    "kaiming_scaled",
    "on_meta",
    "receptive_radius",
    "upsample_factors",
    "upsample_steps",
    "with_scale",
]
