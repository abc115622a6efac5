#!/usr/bin/env python3
"""The same as ``superres scaling``, from a checkout: see ``python tools/scaling.py --help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from superres.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["scaling", *sys.argv[1:]]))
