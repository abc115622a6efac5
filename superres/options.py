"""Values of command-line options that several commands take. Imports nothing heavy."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from superres.errors import UserError


def whole_scale(text: str) -> int:
    """A whole scale, written 2, x2 or 2x."""
    try:
        return int(_bare(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number such as 2 or x2") from None


def any_scale(text: str) -> float:
    """A scale that may be a fraction, written 1.5, x1.5 or 1.5x."""
    try:
        return float(_bare(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number such as 2, x2 or 1.5") from None


def scales(text: str) -> tuple[int, ...]:
    """Whole scales, written 2,3,4 or x2,x3,x4."""
    try:
        found = tuple(dict.fromkeys(int(_bare(part)) for part in text.split(",") if part.strip()))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers such as 2,3,4")
    return found


def _bare(text: str) -> str:
    """A scale without its ``x``."""
    text = text.strip().lower()
    return text[1:] if text.startswith("x") else text.removesuffix("x")


def whole(smallest: int) -> Callable[[str], int]:
    """A whole number that is not smaller."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number from {smallest} on")
        return int(text)

    return parse


def count(text: str, option: str, thousand: int) -> int:
    """A count such as 300M or 2G.

    Args:
        option: what the message calls it.
        thousand: what a k stands for, 1000 or 1024.

    Raises:
        UserError: not a positive number.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip().lower())
    power = {"": 0, "k": 1, "m": 2, "g": 3}[match[2]] if match else 0
    value = int(float(match[1]) * thousand**power) if match else 0
    if value < 1:
        raise UserError(f"{option} takes a positive number such as 300M, not {text!r}")
    return value
