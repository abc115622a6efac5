"""Values of command-line options that several commands take. Imports nothing heavy."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from superres.errors import UserError


def whole_scale(text: str) -> int:
    """A whole scale, written 2, x2 or 2x."""
    return _scale(text, int, "a whole number such as 2 or x2")


def any_scale(text: str) -> float:
    """A scale that may be a fraction, written 1.5, x1.5 or 1.5x."""
    return _scale(text, float, "a number such as 2, x2 or 1.5")


def scales(text: str) -> tuple[int, ...]:
    """Whole scales, written 2,3,4 or x2,x3,x4."""
    found = tuple(dict.fromkeys(whole_scale(part) for part in text.split(",") if part.strip()))
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers such as 2,3,4")
    return found


def _scale(text: str, kind: Callable[[str], Any], wanted: str) -> Any:
    bare = text.strip().lower()
    try:
        return kind(bare[1:] if bare.startswith("x") else bare.removesuffix("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: {wanted}") from None


def whole(smallest: int) -> Callable[[str], int]:
    """A whole number that is not smaller."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number from {smallest} on")
        return int(text)

    return parse


def part_of(text: str) -> tuple[int, int]:
    """A part of several, written 3/16: the third of sixteen."""
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise argparse.ArgumentTypeError(f"{text!r}: a part such as 3/16, from 1/16 to 16/16")
    return part, parts


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
