"""The same as `superres score`; see `--help`."""

from _command import run

run(__name__, __file__)
