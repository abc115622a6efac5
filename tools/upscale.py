"""The same as `superres upscale`; see `--help`."""

from _command import run

run(__name__, __file__)
