"""The same as `superres convert`; see `--help`."""

from _command import run

run(__name__, __file__)
