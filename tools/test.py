"""The same as `superres test`; see `--help`."""

from _command import run

run(__name__, __file__)
