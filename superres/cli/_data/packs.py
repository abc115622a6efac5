"""`superres data pack`, `unpack`, `list` and `five-crop`. A pack is an LMDB of decoded pixels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from superres.cli._data.common import Record, command, pack_record, workers
from superres.options import whole_scale
from superres.output import printable


def add_arguments(commands: Any) -> None:
    """Add the four subcommands; their help is the docstring of the function."""
    parser = command(commands, "pack", _pack)
    parser.add_argument("source", type=Path, help="folder, or LMDB of BasicSR, MMEditing or ours")
    parser.add_argument("target", type=Path, help="LMDB to write, by convention NAME.lmdb")
    text = "rgb (default) repeats grey images and drops transparency"
    parser.add_argument(
        "--channels", choices=("rgb", "grey", "unchanged"), default="rgb", help=text
    )
    parser.add_argument("--depth", choices=("8", "keep"), default="8", help="of 16-bit images")
    parser.add_argument("--overwrite", action="store_true", help="pack again what is at TARGET")
    workers(parser)
    text = "fail at the end if an image could not be read"
    parser.add_argument("--strict", action="store_true", help=text)

    parser = command(commands, "unpack", _unpack)
    parser.add_argument("source", type=Path, help="LMDB")
    parser.add_argument("target", type=Path, help="folder to write to")
    text = "images, by their names in list (default: all)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    parser.add_argument("--suffix", default=".png", help="format (default .png, lossless)")
    parser.add_argument("--overwrite", action="store_true", help="write existing files again")

    parser = command(commands, "list", _list)
    parser.add_argument("source", type=Path, help="LMDB or folder")

    parser = command(commands, "five-crop", _five_crop)
    parser.add_argument("source", type=Path, metavar="HR", help="a set, folder or LMDB")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument("--scale", type=whole_scale, required=True, metavar="S")
    parser.add_argument("--name", metavar="SET", help="of the new set")
    parser.add_argument("--overwrite", action="store_true", help="pack again what is at TARGET")
    workers(parser)


def _pack(args: argparse.Namespace) -> Record:
    """Pack a folder, or another toolbox's LMDB, into one LMDB of decoded pixels.

    After an interruption run it again. Exit code 1 where images had to be left out.
    """
    from superres.cli._progress import Progress
    from superres.datasets.pack import pack_images

    names = ("channels", "num_workers", "overwrite", "strict")
    options = {name: getattr(args, name) for name in names}
    options["dtype"] = "uint8" if args.depth == "8" else "keep"
    with Progress() as bar:
        progress = bar.step(f"packing {args.target.name}")
        report = pack_images(args.source, args.target, progress=progress, **options)
    return pack_record(report)


def _unpack(args: argparse.Namespace) -> Record:
    """Write the images of an LMDB as files; existing files are kept, so a second run continues."""
    from superres.cli._progress import Progress
    from superres.datasets.pack import unpack
    from superres.datasets.storage import open_store

    store = open_store(args.source, channels="unchanged", dtype="keep")
    options = {"suffix": args.suffix, "overwrite": args.overwrite}
    with Progress() as bar:
        options["progress"] = bar.step(f"writing to {args.target.name}")
        written, failed = unpack(store, args.target, args.names or None, **options)
    print(f"{args.target}: {written} files written")
    return {"target": str(args.target), "written": written, "failed": failed}


def _list(args: argparse.Namespace) -> Record:
    """Print the images of an LMDB or folder: name, width x height x channels, depth, checksum."""
    from superres.datasets.storage import ImageLmdb, open_store
    from superres.errors import UserError

    store = open_store(args.source, channels="unchanged", dtype="keep")
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
        record["pictures"] += [row] if args.json else []  # only the report needs them
    return record


def _five_crop(args: argparse.Namespace) -> Record:
    """Make super-image's five-crop training pairs, offline, into LMDBs.

    Four corners and the centre of every image, half its size; LR by PIL's bicubic.
    """
    from superres.cli._progress import Progress
    from superres.datasets.prepare.five_crop import five_crop

    with Progress() as bar:
        options = {name: getattr(args, name) for name in ("name", "num_workers", "overwrite")}
        reports = five_crop(args.source, args.out, args.scale, **options, step=bar.step)
    return {"packs": [pack_record(report) for report in reports]}
