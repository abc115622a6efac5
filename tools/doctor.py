"""The same as `superres doctor`; see `--help`."""

from _command import run

run(__name__, __file__)
