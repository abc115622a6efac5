"""Prepare, pack, verify and look at data sets.

Exit codes: 0 done, 1 some pictures failed or are not as they should be, 2 a mistake, 130 and 143
interrupted (what was done is kept; run the same command again).
"""

from __future__ import annotations

import argparse
import ast
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import superres

_RECIPES = Path(superres.__file__).parent / "datasets" / "prepare" / "recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand each; this imports nothing heavy."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    _prepare_arguments(commands)
    _verify_arguments(commands)
    _fingerprint_arguments(commands)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; gives the exit code."""

    def terminate(*_: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        return args.function(args)
    except _Terminated:
        print("terminated; run the same command again to go on", file=sys.stderr)
        return 143
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, unwound like Ctrl-C so that what is done is saved."""


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int], **options: Any
) -> argparse.ArgumentParser:
    """A subcommand whose help is its function's docstring."""
    text = (function.__doc__ or "").strip()
    parser = commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
    parser.set_defaults(function=function)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    return parser


def _recipes() -> dict[str, str]:
    """Name -> first line of each recipe, read without importing it."""
    found = {}
    for file in sorted(_RECIPES.glob("*.py")):
        if not file.name.startswith("_"):
            doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
            found[file.stem] = doc.partition("\n")[0]
    return found


def _scales(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers such as 2,3,4") from None


def _workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--num-workers",
        type=int,
        metavar="N",
        help="processes; 0: none but this one (default: one per CPU where it is worth it)",
    )


def _prepare_arguments(commands: Any) -> None:
    parser = _command(commands, "prepare", _prepare)
    recipes = _recipes()
    parser.description += "\n\nsources:\n" + "\n".join(
        f"  {name:<10} {text}" for name, text in recipes.items()
    )
    parser.add_argument("name", choices=recipes, metavar="NAME", help=", ".join(recipes))
    parser.add_argument("--root", type=Path, required=True, metavar="SOURCE", help="never written")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument("--scales", type=_scales, default=(2, 3, 4), help="default: 2,3,4")
    _workers(parser)
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


def _prepare(args: argparse.Namespace) -> int:
    """Make sets that configs find, from downloaded archives or folders.

    Makes TARGET/SET/HR.lmdb and LR_bicubic_X2.lmdb, ... (data_root=TARGET in a config). Missing
    low-quality pictures are made by MATLAB's bicubic, exactly. Run it again after an interruption:
    it goes on where it stopped.
    """
    from superres.cli._progress import Progress
    from superres.datasets.prepare import Options, prepare

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
    with Progress() as told:
        reports = prepare(args.name, options, told)
    record: dict[str, Any] = {"schema": 1, "command": "prepare", "recipe": args.name, "sets": []}
    code = 0
    for report in reports:
        for pack in report.packs:
            print(
                f"{pack['path']}: {pack['count']} pictures ({pack['made']}), "
                f"{pack['added']} new, {pack['bytes'] / 2**20:.1f} MiB, {pack['seconds']:.1f} s"
            )
        for name, fault in report.failed:
            print(f"left out: {name}: {fault}", file=sys.stderr)
        record["sets"].append(
            {
                "name": report.name,
                "path": str(report.path),
                "packs": report.packs,
                "notes": report.notes,
                "warnings": report.warnings,
                "failed": [{"name": n, "fault": f} for n, f in report.failed],
            }
        )
        if report.failed or (report.warnings and not args.allow_partial):
            code = 1
    if options.verify:
        from superres.cli._data_tables import print_verification

        record["verification"] = [report.verification for report in reports]
        for report in reports:
            print_verification(report.verification)
            code = code if report.verification["ok"] else 1
    _write_json(args.json, record)
    return code


def _verify_arguments(commands: Any) -> None:
    parser = _command(commands, "verify", _verify)
    parser.add_argument("dir", type=Path, metavar="DIR", help="a set, or a folder of sets")
    parser.add_argument(
        "--scale", type=_scales, metavar="S", help="e.g. 2 or 2,4; default: those that are there"
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="test sets: none of their pictures may occur in DIR",
    )
    parser.add_argument("--count", type=int, metavar="N", help="pictures that the set must have")
    parser.add_argument("--allow-partial", action="store_true", help="an incomplete set is fine")
    parser.add_argument(
        "--degradation",
        default="auto",
        metavar="any|NAME",
        help="any: don't judge how LR was made; else a name that fingerprint prints",
    )
    _workers(parser)


def _verify(args: argparse.Namespace) -> int:
    """Check that sets are complete, whole, paired, exactly bicubic, and leak no test picture.

    Counts, names, decoding, checksums, channels, depth, sizes, whether LR is MATLAB's bicubic of
    HR, pictures that occur twice, training pictures that occur in a test set. Exit code 1 where
    there are errors.
    """
    from superres.cli._data_tables import print_verification
    from superres.cli._progress import Progress
    from superres.datasets.verify import verify

    with Progress() as told:
        record = verify(
            args.dir,
            args.scale,
            against=args.against,
            count=args.count,
            allow_partial=args.allow_partial,
            degradation=args.degradation,
            num_workers=args.num_workers,
            step=told.step,
        )
    print_verification(record)
    _write_json(args.json, record)
    return 0 if record["ok"] else 1


def _fingerprint_arguments(commands: Any) -> None:
    parser = _command(commands, "fingerprint", _fingerprint)
    parser.add_argument("lq", type=Path, metavar="LR", help="folder, LMDB or picture")
    parser.add_argument("gt", type=Path, metavar="HR", help="folder, LMDB or picture")
    parser.add_argument("--scale", type=int, required=True, metavar="S")
    parser.add_argument("--limit", type=int, metavar="N", help="look at the first N pictures only")
    _workers(parser)


def _fingerprint(args: argparse.Namespace) -> int:
    """Tell which known convention made low-quality pictures: MATLAB, ports of it, PIL, OpenCV.

    For each convention the number of samples that differ and the largest difference; one that
    differs nowhere made the pictures.
    """
    from superres.cli._data_tables import print_fingerprint
    from superres.cli._progress import Progress
    from superres.datasets.fingerprint import fingerprint

    with Progress() as told:
        record = fingerprint(
            args.lq,
            args.gt,
            args.scale,
            limit=args.limit,
            num_workers=args.num_workers,
            progress=told.step("comparing"),
        )
    print_fingerprint(record)
    _write_json(args.json, record)
    return 0


def _write_json(path: Path | None, record: dict[str, Any]) -> None:
    if path is None:
        return
    from superres.imaging.io import write_atomically

    data = (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )
    write_atomically(path, lambda file: file.write(data))
