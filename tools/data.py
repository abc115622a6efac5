"""The same as `superres data`; see `--help`."""

from _command import run

if __name__ == "__main__":
    run(__file__)
