"""What is printed: that it commands no terminal, and goes nowhere where nobody reads it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


def printable(text: str, keep: str = "\n\t") -> str:
    """``text`` without what would command a terminal: control characters and stray bytes escaped.

    Names of files, of entries in an LMDB or a JSON, and texts in weight files are a stranger's.

    Args:
        keep: control characters that stay.
    """
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def shown(path: str | os.PathLike | bytes) -> str:
    """A path as one printable line, whatever bytes it is made of."""
    return printable(os.fsdecode(path), keep="")


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def bar(stream: TextIO, passing: bool = True) -> Progress | None:
    """The one progress bar, begun; None where ``stream`` is not a terminal.

    Its tasks have the fields ``count`` (how much of how much, in words) and ``note``.

    Args:
        passing: nothing is left of it at its end.
    """
    if not stream.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    found = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(file=stream),
        transient=passing,
    )
    found.start()
    return found


def drop_output() -> None:
    """From now on nothing is printed; nor does Python complain at exit of what it still holds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing() -> None:
    """Let what was closed before the start (``>&-``, some daemons) lead nowhere.

    Else its number goes to the next file that is opened, and what is printed into that.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Takes the lowest free number, its own, for the whole run.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
