"""`superres data prepare`."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

import superres
from superres.cli._data.common import Record, command, workers
from superres.options import scales

_RECIPES = Path(superres.__file__).parent / "datasets" / "prepare" / "recipes"


def add_arguments(commands: Any) -> None:
    parser = command(commands, "prepare", _prepare)
    recipes = _recipes()
    parser.description += "\n\nsources:\n" + "\n".join(
        f"  {name:<10} {text}" for name, text in recipes.items()
    )
    parser.add_argument("name", choices=recipes, metavar="NAME", help=", ".join(recipes))
    parser.add_argument("--root", type=Path, required=True, metavar="SOURCE", help="never written")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument("--scales", type=scales, default=(2, 3, 4), help="default: 2,3,4")
    workers(parser)
    parser.add_argument("--no-verify", action="store_true", help="don't check what was made")
    parser.add_argument("--format", choices=("lmdb", "folder"), default="lmdb")
    parser.add_argument("--name", dest="set_name", metavar="SET", help="of the set (folder, hf)")
    parser.add_argument(
        "--border",
        choices=("reflect", "replicate"),
        default="reflect",
        help="of a bicubic that is made: as newer (default) or older MATLAB releases",
    )
    parser.add_argument("--depth", choices=("8", "keep"), default="8", help="of 16-bit pictures")
    parser.add_argument("--allow-partial", action="store_true", help="an incomplete set is fine")
    parser.add_argument("--overwrite", action="store_true", help="replace what differs at TARGET")


def _prepare(args: argparse.Namespace) -> Record:
    """Make sets that configs find, from downloaded archives or folders.

    Makes TARGET/SET/HR.lmdb and LR_bicubic_X2.lmdb, ... (data_root=TARGET in a config). Missing
    low-quality pictures are made by MATLAB's bicubic, exactly. Run it again after an interruption:
    what is finished is kept.
    """
    from superres.datasets.prepare import Options

    options = Options(
        root=args.root,
        out=args.out,
        scales=args.scales,
        num_workers=args.num_workers,
        verify=not args.no_verify,
        format=args.format,
        name=args.set_name,
        border=args.border,
        dtype="uint8" if args.depth == "8" else "keep",
        allow_partial=args.allow_partial,
        overwrite=args.overwrite,
    )
    return prepare_sets(args.name, options)


def prepare_sets(recipe: str, options: Any) -> Record:
    """Prepare and verify, and print what was made.

    Args:
        recipe: its name.
        options: a :class:`superres.datasets.prepare.Options`.
    """
    from superres.cli._data.tables import print_verification
    from superres.cli._progress import Progress
    from superres.datasets.prepare import prepare

    with Progress() as told:
        reports = prepare(recipe, options, told)
    sets, failed = [], []
    for report in reports:
        for pack in report.packs:
            print(
                f"{pack['path']}: {pack['count']} pictures ({pack['made']}), "
                f"{pack['added']} new, {pack['bytes'] / 2**20:.1f} MiB, {pack['seconds']:.1f} s"
            )
        failed += report.failed
        known = {k: v for k, v in vars(report).items() if k not in ("verification", "incomplete")}
        faults = [{"name": name, "fault": fault} for name, fault in report.failed]
        sets.append({**known, "path": str(report.path), "failed": faults})
    record = {"recipe": recipe, "sets": sets, "failed": failed}
    if options.verify:
        record["verification"] = [report.verification for report in reports]
        for report in reports:
            print_verification(report.verification)
    return {**record, "code": int(not all(report.ok for report in reports))}


def _recipes() -> dict[str, str]:
    """Name -> first line of each recipe, read without importing it."""
    found = {}
    for file in sorted(_RECIPES.glob("*.py")):
        if not file.name.startswith("_"):
            doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
            found[file.stem] = doc.partition("\n")[0]
    return found
