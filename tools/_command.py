"""What the scripts beside this one do: run the command of their name, from this checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from superres.cli.main import main


def run(name: str, script: str) -> None:
    """End with the exit code of ``superres NAME``, NAME being that of the script.

    Args:
        name: the script's ``__name__``: a process that it starts by spawn imports it once more.
        script: its ``__file__``.
    """
    if name == "__main__":
        sys.exit(main([Path(script).stem.replace("_", "-"), *sys.argv[1:]]))
