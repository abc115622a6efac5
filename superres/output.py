"""Standard output whose reader has gone, or that never was."""

from __future__ import annotations

import os
import sys


def drop_output() -> None:
    """From now on nothing is printed; nor does Python complain at exit of what it still holds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing() -> None:
    """Let what was closed before the start (``>&-``, some daemons) lead nowhere.

    Else its number goes to the next file that is opened, and what is printed into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the whole run
