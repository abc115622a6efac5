"""Protocols: how a published table scored its images, as a frozen record with a name.

The same pair of images scores differently by protocol, by more than methods differ from each
other, so no table shows a number without one. ``get_protocol`` is the one look-up, also for
protocols that a config defines; ``evaluate_pair`` scores a pair of images by one.

Every module of this folder is imported, which registers its protocols: a named protocol can be
one new file and no edit elsewhere.
"""

import importlib
import pkgutil

from . import papers as papers  # first in the order of names
from ._pair import classical_bicubic as classical_bicubic
from ._pair import compared as compared
from ._pair import evaluate_pair as evaluate_pair
from ._pair import pillow_bicubic as pillow_bicubic
from ._pair import quantise as quantise
from ._rules import PROTOCOLS as PROTOCOLS
from ._rules import Protocol as Protocol
from ._rules import get_protocol as get_protocol
from ._rules import protocols_of as protocols_of
from ._rules import register_protocol as register_protocol

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
