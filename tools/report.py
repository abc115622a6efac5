"""The same as `superres report`; see `--help`."""

from _command import run

run(__name__, __file__)
