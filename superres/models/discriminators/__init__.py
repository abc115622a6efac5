"""Discriminators: (N, 3, H, W) in [0, 1] to logits. Every module of this folder is imported."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
