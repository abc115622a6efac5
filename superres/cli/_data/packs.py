"""`superres data pack`, `unpack`, `list`, `extract` and `merge`: single packs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superres.cli._data.common import Record, command, pack_record, workers
from superres.output import printable


def add_arguments(commands: Any) -> None:
    """The five subcommands."""
    parser = command(commands, "pack", _pack)
    parser.add_argument("source", type=Path, help="folder, or LMDB of BasicSR, MMEditing or ours")
    parser.add_argument("target", type=Path, help="the LMDB to be, by custom NAME.lmdb")
    parser.add_argument("--recursive", action="store_true", help="subfolders too")
    _pack_options(parser)
    text = "a picture that cannot be read fails the pack"
    parser.add_argument("--strict", action="store_true", help=text)

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
    text = "folder, or file for one picture"
    parser.add_argument("--out", type=Path, default=Path(), metavar="PATH", help=text)

    parser = command(commands, "merge", _merge)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="LMDBs or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the LMDB to be")
    _pack_options(parser)


def _pack_options(parser: argparse.ArgumentParser) -> None:
    kinds = ("rgb", "grey", "unchanged")
    text = "rgb (default) repeats grey pictures and drops transparency"
    parser.add_argument("--channels", choices=kinds, default="rgb", help=text)
    parser.add_argument("--depth", choices=("8", "keep"), default="8", help="of 16-bit pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace a differing target")
    workers(parser)


def _packed(
    args: argparse.Namespace, make: Callable, source: Any, target: Path, **more: Any
) -> Record:
    """Call one of the functions of :mod:`superres.datasets.pack`; gives the record."""
    from superres.cli._progress import Progress

    names = ("channels", "num_workers", "overwrite")
    options = {name: getattr(args, name) for name in names} | more
    options["dtype"] = "uint8" if args.depth == "8" else "keep"
    with Progress() as told:
        progress = told.step(f"packing {target.name}")
        return pack_record(make(source, target, progress=progress, **options))


def _pack(args: argparse.Namespace) -> Record:
    """Pack a folder, or another toolbox's LMDB, into one LMDB of decoded pixels.

    After an interruption run it again. Exit code 1 where pictures had to be left out.
    """
    from superres.datasets.pack import pack_images

    more = {"recursive": args.recursive, "strict": args.strict}
    return _packed(args, pack_images, args.source, args.target, **more)


def _merge(args: argparse.Namespace) -> Record:
    """Join LMDBs and folders into one LMDB; names must not clash."""
    from superres.datasets.pack import merge
    from superres.datasets.storage import open_store

    dtype = "uint8" if args.depth == "8" else "keep"
    stores = [open_store(source, args.channels, dtype) for source in args.sources]
    return _packed(args, merge, stores, args.out)


def _unpack(args: argparse.Namespace) -> Record:
    """Write all pictures of an LMDB as files; existing ones are kept, so it can be continued."""
    from superres.cli._progress import Progress
    from superres.datasets.unpack import unpack

    failed: list[tuple[str, str]] = []
    options = {"suffix": args.suffix, "overwrite": args.overwrite}
    with Progress() as told:
        options["progress"] = told.step(f"writing to {args.target.name}")
        options["left_out"] = lambda *what: failed.append(what)
        written = unpack(args.source, args.target, **options)
    print(f"{args.target}: {written} files written")
    return {"target": str(args.target), "written": written, "failed": failed}


def _list(args: argparse.Namespace) -> Record:
    """Print the pictures of an LMDB or folder: name, width x height x channels, depth, checksum."""
    from superres.datasets.storage import ImageLmdb, open_store
    from superres.errors import UserError

    store = open_store(args.source, "unchanged", "keep")
    packed = isinstance(store, ImageLmdb)
    record: Record = {"path": str(args.source), "info": store.info if packed else {}}
    record |= {"pictures": [], "failed": []}
    for i, name in enumerate(store.names()):
        try:
            height, width, channels = store.shape_at(i)
        except UserError as error:
            record["failed"].append((name, str(error)))
            continue
        row = {"name": name, "height": height, "width": width, "channels": channels}
        text = f"{printable(name, keep='')}\t{width}x{height}x{channels}"
        if packed:
            row |= {"bits": 8 * store.dtype_at(i).itemsize, "crc32": f"{store.checksum_at(i):08x}"}
            text += f"\t{row['bits']} bit\tcrc32 {row['crc32']}"
        print(text)
        record["pictures"] += [row] if args.json else []
    return record


def _extract(args: argparse.Namespace) -> Record:
    """Write single pictures of an LMDB as files."""
    from superres.datasets.storage import open_store
    from superres.datasets.unpack import UnreadableError, extract
    from superres.errors import UserError

    if len(args.names) > 1 and not args.out.is_dir():
        raise UserError(f"--out: {args.out} is no folder, and there are {len(args.names)} pictures")
    store = open_store(args.source, "unchanged", "keep")
    record: Record = {"written": [], "failed": []}
    for name in args.names:
        try:
            record["written"].append(str(extract(store, name, args.out)))
            print(printable(record["written"][-1], keep=""))
        except UnreadableError as error:
            record["failed"].append((name, str(error)))
    return record
