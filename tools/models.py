"""The same as `superres models`; see `--help`."""

from _command import run

run(__name__, __file__)
