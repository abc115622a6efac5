"""Write the pages, tables and cards of this repository that are made from files of it.

python tools/maintain/docs.py [gallery|licences|...]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from superres.cli.main import exit_code

# Made from committed files alone; the others from what is installed, or by computing.
ALWAYS = ("methods", "cards", "reproduce", "measurements", "scaling", "compatibility")
ASKED = ("gallery", "licences")


def changes(names: Iterable[str]) -> dict[Path, str]:
    """The files that are not as they would be made, with what they should hold."""
    made = {}
    for name in names:
        made |= importlib.import_module(f"maintain.{name}").pages()
    return {p: t for p, t in made.items() if not p.is_file() or p.read_text("utf-8") != t}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told = f"of {', '.join((*ALWAYS, *ASKED))}; default: all but the last two"
    parser.add_argument("names", nargs="*", metavar="NAME", help=told)
    args = parser.parse_args()
    if wrong := set(args.names) - {*ALWAYS, *ASKED}:
        parser.error(f"{', '.join(wrong)}: NAME is {told}")
    for path, text in changes(args.names or ALWAYS).items():
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
