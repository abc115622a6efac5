"""The same as `superres data`; see `--help`."""

from _command import run

run(__name__, __file__)
