"""One file per paper. Every module of this folder is imported, which registers its networks:
a new backbone is one new file and no edit elsewhere."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
