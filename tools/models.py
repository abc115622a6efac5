"""The same as `superres models`; see `--help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from superres.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["models", *sys.argv[1:]]))
