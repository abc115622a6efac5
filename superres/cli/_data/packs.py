"""`superres data pack`, `unpack`, `list`, `extract` and `merge`: single packs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from superres.cli._data.common import command, pack_record, tell_left_out, workers, write_json
from superres.output import printable


def add_arguments(commands: Any) -> None:
    """The five subcommands."""
    parser = command(commands, "pack", _pack)
    parser.add_argument("source", type=Path, help="folder, or LMDB of BasicSR, MMEditing or ours")
    parser.add_argument("target", type=Path, help="the LMDB to be, by custom NAME.lmdb")
    parser.add_argument("--recursive", action="store_true", help="subfolders too")
    _pack_options(parser)
    parser.add_argument(
        "--strict", action="store_true", help="a picture that cannot be read fails the pack"
    )
    workers(parser)

    parser = command(commands, "unpack", _unpack)
    parser.add_argument("source", type=Path, help="LMDB")
    parser.add_argument("target", type=Path, help="folder to be written")
    parser.add_argument("--suffix", default=".png", help="format (default .png, lossless)")
    parser.add_argument("--overwrite", action="store_true", help="write existing files anew")

    parser = command(commands, "list", _list)
    parser.add_argument("source", type=Path, help="LMDB or folder")

    parser = command(commands, "extract", _extract)
    parser.add_argument("source", type=Path, help="LMDB")
    parser.add_argument("names", nargs="+", metavar="NAME", help="of pictures, as list prints them")
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="PATH", help="folder, or file for one picture"
    )

    parser = command(commands, "merge", _merge)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="LMDBs or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the LMDB to be")
    _pack_options(parser)
    workers(parser)


def _pack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channels",
        choices=("rgb", "grey", "unchanged"),
        default="rgb",
        help="rgb (default) repeats grey pictures and drops transparency",
    )
    parser.add_argument("--depth", choices=("8", "keep"), default="8", help="of 16-bit pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace a differing target")


def _pack(args: argparse.Namespace) -> int:
    """Pack a folder, or another toolbox's LMDB, into one LMDB of decoded pixels.

    Run it again after an interruption: it goes on where it stopped. Exit code 1 where pictures
    had to be left out.
    """
    from superres.cli._progress import Progress
    from superres.datasets.pack import pack_images

    with Progress() as told:
        report = pack_images(
            args.source,
            args.target,
            channels=args.channels,
            dtype=_dtype(args),
            recursive=args.recursive,
            num_workers=args.num_workers,
            progress=told.step(f"packing {args.target.name}"),
            overwrite=args.overwrite,
            strict=args.strict,
        )
    write_json(args.json, {"schema": 1, "command": "pack", **pack_record(report)})
    return 1 if report.failed else 0


def _merge(args: argparse.Namespace) -> int:
    """Join LMDBs and folders into one LMDB; names must not clash."""
    from superres.cli._progress import Progress
    from superres.datasets.pack import merge
    from superres.datasets.storage import open_store

    stores = [open_store(source, args.channels, _dtype(args)) for source in args.sources]
    with Progress() as told:
        report = merge(
            stores,
            args.out,
            channels=args.channels,
            dtype=_dtype(args),
            num_workers=args.num_workers,
            progress=told.step(f"merging into {args.out.name}"),
            overwrite=args.overwrite,
        )
    write_json(args.json, {"schema": 1, "command": "merge", **pack_record(report)})
    return 1 if report.failed else 0


def _dtype(args: argparse.Namespace) -> str:
    return "uint8" if args.depth == "8" else "keep"


def _unpack(args: argparse.Namespace) -> int:
    """Write all pictures of an LMDB as files; existing ones are kept, so it can be continued."""
    from superres.cli._progress import Progress
    from superres.datasets.unpack import unpack

    failed: list[tuple[str, str]] = []
    with Progress() as told:
        written = unpack(
            args.source,
            args.target,
            suffix=args.suffix,
            overwrite=args.overwrite,
            progress=told.step(f"writing to {args.target.name}"),
            left_out=lambda name, fault: failed.append((name, fault)),
        )
    print(f"{args.target}: {written} files written")
    tell_left_out(failed)
    write_json(
        args.json,
        {
            "schema": 1,
            "command": "unpack",
            "target": str(args.target),
            "written": written,
            "failed": [{"name": name, "fault": fault} for name, fault in failed],
        },
    )
    return 1 if failed else 0


def _list(args: argparse.Namespace) -> int:
    """Print the pictures of an LMDB or folder: name, width x height x channels, depth, checksum."""
    from superres.datasets.storage import ImageLmdb, open_store
    from superres.errors import UserError

    store = open_store(args.source, "unchanged", "keep")
    rows, failed = [], []
    for i, name in enumerate(store.names()):
        try:
            height, width, channels = store.shape_at(i)
        except UserError as error:
            failed.append((name, str(error)))
            continue
        row: dict[str, Any] = {
            "name": name,
            "height": height,
            "width": width,
            "channels": channels,
        }
        text = f"{printable(name, keep='')}\t{width}x{height}x{channels}"
        if isinstance(store, ImageLmdb):
            row["bits"] = 8 * store.dtype_at(i).itemsize
            row["crc32"] = f"{store.checksum_at(i):08x}"
            text += f"\t{row['bits']} bit\tcrc32 {row['crc32']}"
        print(text)
        if args.json:
            rows.append(row)
    tell_left_out(failed)
    info = store.info if isinstance(store, ImageLmdb) else {}
    write_json(
        args.json,
        {
            "schema": 1,
            "command": "list",
            "path": str(args.source),
            "info": info,
            "pictures": rows,
            "failed": [{"name": name, "fault": fault} for name, fault in failed],
        },
    )
    return 1 if failed else 0


def _extract(args: argparse.Namespace) -> int:
    """Write single pictures of an LMDB as files."""
    from superres.datasets.storage import open_store
    from superres.datasets.unpack import UnreadableError, extract
    from superres.errors import UserError

    if len(args.names) > 1 and not args.out.is_dir():
        raise UserError(f"--out: {args.out} is no folder, and there are {len(args.names)} pictures")
    store = open_store(args.source, "unchanged", "keep")
    for name in args.names:
        if name not in store:
            raise UserError(f"{args.source} has no picture named {name!r} ({len(store)} pictures).")
    written, failed = [], []
    for name in args.names:
        try:
            written.append(str(extract(store, name, args.out)))
        except UnreadableError as error:
            failed.append((name, str(error)))
            continue
        print(printable(written[-1], keep=""))
    tell_left_out(failed)
    write_json(
        args.json,
        {
            "schema": 1,
            "command": "extract",
            "written": written,
            "failed": [{"name": name, "fault": fault} for name, fault in failed],
        },
    )
    return 1 if failed else 0
