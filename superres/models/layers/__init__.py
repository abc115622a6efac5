"""Building blocks that several backbones share; one small file per kind."""

from superres.models.layers.backbone import Backbone

__all__ = ["Backbone"]
