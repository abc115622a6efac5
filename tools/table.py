"""The same as `superres table`; see `--help`."""

from _command import run

run(__name__, __file__)
