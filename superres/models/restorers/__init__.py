"""Restorers: a backbone with its losses and its data preprocessor. All modules are imported."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
