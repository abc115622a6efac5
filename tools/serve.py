"""The same as `superres serve`; see `--help`."""

from _command import run

run(__name__, __file__)
