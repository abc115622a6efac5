"""The same as `superres train`; see `--help`."""

from _command import run

run(__name__, __file__)
