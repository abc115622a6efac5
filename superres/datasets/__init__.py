"""Picture stores, paired datasets, transforms and samplers. Importing it registers them."""

from . import multi_scale, paired, transforms

__all__ = ["multi_scale", "paired", "transforms"]
