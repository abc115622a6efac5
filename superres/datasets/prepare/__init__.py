"""From what people download to sets that a config finds: ``superres data prepare``."""

from superres.datasets.prepare.prepare_set import prepare
from superres.datasets.prepare.recipes import Options

__all__ = ["Options", "prepare"]
