"""From what people download to sets that a config finds: ``superres data prepare``."""

from superres.datasets.prepare.plan import Options
from superres.datasets.prepare.run import SetReport, Told, prepare, recipe_names

__all__ = ["Options", "SetReport", "Told", "prepare", "recipe_names"]
