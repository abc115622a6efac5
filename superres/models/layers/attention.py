"""Attention layers by name, for the ``attention`` argument of backbones."""

from __future__ import annotations

from torch import nn

from superres.errors import UserError
from superres.models.layers.bam import BAM
from superres.models.layers.channel_attention import ChannelAttention
from superres.models.layers.laplacian import LaplacianAttention

ATTENTIONS = {"bam": BAM, "channel": ChannelAttention, "laplacian": LaplacianAttention}


def build_attention(name: str | None, channels: int, reduction: int = 16) -> nn.Module | None:
    """The layer ``name`` for a map of ``channels``; None gives None. All of them pool globally."""
    if name is None:
        return None
    if name not in ATTENTIONS:
        raise UserError(f"attention={name!r} is not known; choose one of {', '.join(ATTENTIONS)}")
    return ATTENTIONS[name](channels, reduction)
