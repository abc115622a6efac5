"""What the scripts beside this one do: run the command of their name, from this checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from superres.cli.main import main


def run(script: str) -> None:
    """End with the exit code of ``superres NAME``, NAME being that of the script."""
    sys.exit(main([Path(script).stem.replace("_", "-"), *sys.argv[1:]]))
