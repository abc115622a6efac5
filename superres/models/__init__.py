"""Networks, losses and restorers.

Importing this imports every module in it, which registers what is in them: a new network is one new
file and no edit elsewhere.
"""

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
