"""Metrics: one file per family. Every module of this folder is imported, which registers its
metrics in ``METRICS``: a new one is one new file and no edit elsewhere.

A metric takes (sr, hr, protocol) and returns a float. SR and HR are the parts that the protocol
compares (see :func:`superres.evaluation.protocols.compared`): HWC RGB or HW grey, of one size,
borders shaved. It is a function, or a class whose instances are called so; a class with an argument
``device`` says where networks run. Tables print its ``title``, ``better`` ('higher' or
'lower') and ``text``, which may be left out.
"""

import importlib
import pkgutil

from .psnr_ssim import WINDOW, psnr, ssim

__all__ = ["BASIC", "WINDOW", "psnr", "ssim"]

BASIC = ("psnr", "ssim")
"""What every protocol defines, and every table shows."""

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
