"""The same as `superres models`; see `--help`."""

from _command import run

if __name__ == "__main__":
    run(__file__)
