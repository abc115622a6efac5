"""The kinds of faults: each a function that makes one and returns what came of it."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable

from .lab import Fault, Lab

Kind = Callable[[Lab, random.Random, int], Fault]
KINDS: dict[str, Kind] = {}
"""Name -> function of the lab, a source of random numbers, and the fault's number in its kind."""


def kind(name: str) -> Callable[[Kind], Kind]:
    """Register a kind of faults."""

    def register(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return register


def all_kinds() -> dict[str, Kind]:
    """All kinds, in the order of the table."""
    for module in ("kills", "signals", "disks", "damage", "times"):
        importlib.import_module(f"tests.faults.{module}")
    return KINDS
