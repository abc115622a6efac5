"""Picture stores, paired datasets, transforms and samplers. Importing it registers them."""

from . import paired, transforms

__all__ = ["paired", "transforms"]
