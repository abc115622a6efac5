"""The same as `superres export`; see `--help`."""

from _command import run

run(__name__, __file__)
