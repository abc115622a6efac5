"""``python -m superres``: the command line."""

from superres.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
