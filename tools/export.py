"""The same as `superres export`; see `--help`."""

from _command import run

if __name__ == "__main__":
    run(__file__)
