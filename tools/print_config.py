"""The same as `superres print-config`; see `--help`."""

from _command import run

run(__name__, __file__)
