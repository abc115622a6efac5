"""From what people download to sets that a config finds: ``superres data prepare``."""

from superres.datasets.prepare.plan import Options
from superres.datasets.prepare.prepare_set import prepare

__all__ = ["Options", "prepare"]
