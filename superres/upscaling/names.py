"""File names that a terminal may see, whatever bytes they are made of."""

from __future__ import annotations

import os


def shown(path: str | os.PathLike | bytes) -> str:
    """A path as one printable line: control characters and stray bytes as escapes."""
    text = os.fsdecode(path)
    return "".join(_escape(letter) for letter in text)


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    if letter.isprintable():
        return letter
    return letter.encode("unicode_escape").decode("ascii")
