"""`superres data download` and `prepare`: sets that configs find."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import superres
from superres.cli._data.common import Record, command, print_pack, workers
from superres.datasets.download import SETS, download
from superres.options import scales

if TYPE_CHECKING:
    from superres.datasets.prepare import Options

_RECIPES = Path(superres.__file__).parent / "datasets" / "prepare" / "recipes.py"


def add_arguments(commands: Any) -> None:
    """Both subcommands; prepare's has a line of each recipe's docstring, read without import."""
    parser = command(commands, "download", _download)
    parser.add_argument("name", choices=SETS, metavar="NAME", help=", ".join(SETS))
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument(
        "--downloads", type=Path, default=Path("downloads"), metavar="DIR", help="of the archives"
    )
    parser.add_argument("--scales", type=scales, default=(2, 3, 4), help="default: 2,3,4")
    parser.add_argument("--mirror", metavar="URL", help="an address that holds the same files")
    workers(parser)

    functions = ast.parse(_RECIPES.read_text("utf-8")).body
    functions = [f for f in functions if getattr(f, "name", "").startswith("plan_")]
    docs = {f.name.removeprefix("plan_"): ast.get_docstring(f) or "" for f in functions}
    parser = command(commands, "prepare", _prepare)
    lines = [f"  {name:<10} {doc.splitlines()[0]}" for name, doc in docs.items()]
    parser.description = "\n".join([f"{parser.description}\n\nsources:", *lines])
    parser.add_argument("recipe", choices=docs, metavar="NAME", help=", ".join(docs))
    parser.add_argument("--root", type=Path, required=True, metavar="SOURCE", help="never written")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument("--scales", type=scales, default=(2, 3, 4), help="default: 2,3,4")
    workers(parser)
    parser.add_argument(
        "--no-verify", dest="verify", action="store_false", help="don't check what was made"
    )
    parser.add_argument("--name", metavar="SET", help="of the set (folder, hf)")
    parser.add_argument(
        "--border",
        choices=("reflect", "replicate"),
        default="reflect",
        help="of a bicubic that is made: as newer (default) or older MATLAB releases",
    )
    parser.add_argument("--depth", choices=("8", "keep"), default="8", help="of 16-bit images")
    parser.add_argument("--allow-partial", action="store_true", help="an incomplete set is fine")
    parser.add_argument("--overwrite", action="store_true", help="pack again what is at TARGET")


def _prepare(args: argparse.Namespace) -> Record:
    """Make sets that configs find, from downloaded archives or folders.

    Makes TARGET/SET/HR.lmdb and LR_bicubic_X2.lmdb, ... (data_root=TARGET in a config). Missing
    low-quality images are made by MATLAB's bicubic, exactly. Run it again after an interruption:
    what is finished is kept.
    """
    from superres.datasets.prepare import Options

    names = ("root", "out", "scales", "num_workers", "verify", "name", "border", "overwrite")
    options = {name: getattr(args, name) for name in (*names, "allow_partial")}
    dtype = "uint8" if args.depth == "8" else "keep"
    return prepare_sets(args.recipe, Options(**options, dtype=dtype))


def prepare_sets(recipe: str, options: Options) -> Record:
    """Prepare and verify, and print what was made."""
    from superres.cli._data.tables import print_verification
    from superres.cli._progress import Progress
    from superres.datasets.prepare import prepare

    with Progress() as bar:
        record = prepare(recipe, options, bar.step, bar.say)
    for one in record["sets"]:
        for pack in one["packs"]:
            print_pack(pack)
    if options.verify:
        print_verification(record["verification"])
    return {**record, "code": int(not record["ok"])}


def _download(args: argparse.Namespace) -> Record:
    """Fetch a published set, then prepare and verify it.

    The archives stay in DIR; an interrupted download is resumed by the same command. Without a
    network it prints the addresses and where the files belong. EDSR's benchmark archive holds
    Set5, Set14, B100 and Urban100, which are prepared together.
    """
    from superres.datasets.prepare import Options

    download(args.name, args.downloads, args.scales, args.mirror)
    options = Options(
        root=args.downloads, out=args.out, scales=args.scales, num_workers=args.num_workers
    )
    return prepare_sets(SETS[args.name].recipe, options)
