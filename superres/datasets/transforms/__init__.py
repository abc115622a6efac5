"""Transforms of one sample. Every module of this folder is imported, so a new one is one file."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
