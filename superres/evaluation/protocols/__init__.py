"""Protocols: how a published table scored its pictures, as a frozen record with a name.

The same pair of pictures scores differently by protocol, by more than methods differ from each
other, so no table shows a number without one. ``get_protocol`` is the one look-up, also for
protocols that a config defines; ``evaluate_pair`` scores a pair of pictures by one.

Every module of this folder without an underscore is imported, which registers its protocols: a
named protocol is one new file and no edit elsewhere.
"""

import importlib
import pkgutil

from ._pair import classical_bicubic, compared, evaluate_pair, pillow_bicubic, quantise
from ._rules import PROTOCOLS, Protocol, get_protocol, register_protocol

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "classical_bicubic",
    "compared",
    "evaluate_pair",
    "get_protocol",
    "pillow_bicubic",
    "quantise",
    "register_protocol",
]

# EDSR's first, which most tables are of; the others in the order of their names.
_names = (module.name for module in pkgutil.iter_modules(__path__))
for _name in sorted(_names, key=lambda name: (name != "edsr", name)):
    if _name[0] != "_":
        importlib.import_module(f"{__name__}.{_name}")
