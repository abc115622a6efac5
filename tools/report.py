"""The same as `superres report`; see `--help`."""

from _command import run

if __name__ == "__main__":
    run(__file__)
