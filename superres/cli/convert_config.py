"""Translate a config of MMEditing, MMagic, BasicSR, or EDSR-PyTorch's option line."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    text = "path of their config, or a line such as '--model EDSR --scale 2'"
    parser.add_argument("config", help=text)
    text = "where to write it; default: it is printed"
    parser.add_argument("--out", metavar="CONFIG.py", help=text)


def run(args: argparse.Namespace) -> int:
    """Translate, and read the result once as a training would."""
    from superres.engine.config.check import check_config
    from superres.engine.config.load import find_config, load_config
    from superres.engine.config.reading import read_config
    from superres.errors import UserError
    from superres.files import write_text
    from superres.interop.configs import READ, recipe_of, recipe_of_line

    if "--" in args.config and not Path(args.config).exists():
        recipe = recipe_of_line(args.config)
    else:
        path = find_config(args.config)
        recipe = recipe_of(read_config(path)[0]._cfg_dict, path)
        if recipe is None:
            raise UserError(f"{path}: no config of a toolbox that is read: {READ}")
    with recipe.file() as leaf:
        note = recipe.notes.append  # without the name of that file
        check_config(load_config(str(leaf), warn=lambda text: note(text.partition(": ")[2])))
    if args.out is None:
        print(recipe.leaf(None), end="")
        return 0
    out = Path(args.out)
    if out.exists():
        raise UserError(f"{out} is there already; choose another --out, or remove it")
    write_text(out, recipe.leaf(out.absolute().parent))
    print(f"{out}: translated from a config of {recipe.toolbox}")
    for note in recipe.notes:
        print(f"note: {note}")
    return 0
