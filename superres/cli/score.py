"""Score images made by any program: SR_DIR against HR_DIR, by published protocols.

Pairs are found by name, also where SR names carry decorations (baby_RCAN_x2.png, babyx2.png,
img_001_SRF_2_SR.png). Exit code 0: all scored; 1: some images are missing or unusable, the
others were scored; 2: nothing could be scored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from superres.cli import report
from superres.cli._options import METRICS, PROTOCOLS
from superres.errors import UserError, some
from superres.options import whole_scale
from superres.output import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("sr_dir", type=Path, metavar="SR_DIR", help="folder of results")
    add("hr_dir", type=Path, metavar="HR_DIR", help="folder of the true images")
    add("-s", "--scale", type=whole_scale, required=True, metavar="S", help="upscaling factor")
    text = f"{PROTOCOLS} (default: edsr-y); several give a table each"
    names = ("--protocol", "--protocols")
    add(*names, nargs="+", default=["edsr-y"], metavar="NAME", help=text)
    text = f"{METRICS}, of the module that SUPERRES_IMPORTS names"
    add("--metrics", nargs="+", default=[], metavar="NAME", help=text)
    add("--name", help="what the table calls the results (default: SR_DIR's name)")
    text = "show the scores of this published method, whose results they are, such as RCAN"
    add("--published", metavar="METHOD", help=text)
    text = "write DIR/results.json, .md, .csv and .tex"
    add("-o", "--out", type=Path, metavar="DIR", help=text)
    text = "write DIR/report.html, to look at every result"
    add("--report", action="store_true", help=text)


def run(args: argparse.Namespace) -> int:
    """Score, print the tables, write the file; gives the exit code."""
    if args.scale < 1:
        raise UserError(f"--scale must be at least 1, not {args.scale}")

    from superres.cli._progress import Progress
    from superres.evaluation import results
    from superres.evaluation.extra_metrics import ExtraMetrics, unscored
    from superres.evaluation.pairing import pair_by_name
    from superres.evaluation.protocols import PROTOCOLS, get_protocol
    from superres.evaluation.published import is_published_name, known_method, with_published
    from superres.evaluation.render import print_tables
    from superres.evaluation.tables import all_tables

    if args.report and not args.out:
        raise UserError("--report needs --out DIR")
    published = known_method(args.published) if args.published else []
    names = _split(args.protocol)
    names = list(PROTOCOLS) if "all" in names else names
    protocols = [get_protocol(name) for name in dict.fromkeys(names)]
    extras = ExtraMetrics(_split(args.metrics))
    if args.out:
        results.require_folder(args.out)
    sr, hr = _images(args)
    pairing = pair_by_name(sr, hr, args.scale)
    if not pairing.pairs:
        raise UserError(
            f"no image of {args.sr_dir} ({sr[0].name}, ...) belongs to one of {args.hr_dir} "
            f"({hr[0].name}, ...) at scale {args.scale}, judged by their names"
        )
    # A folder called only HR has its set's name above it.
    folder = args.hr_dir.resolve()
    folder = folder.parent if folder.name.lower() in ("hr", "gt", "original") else folder
    rows: list[list[dict[str, Any]]] = []  # by image, then protocol
    with Progress(passing=True) as shown:
        progress = shown.step("scoring")
        for number, (name, *paths) in enumerate(pairing.pairs):
            progress(number, len(pairing.pairs), name)
            try:
                pair = _read(*paths)
            except UserError as error:
                found = [unscored(str(error))] * len(protocols)
            else:
                found = [extras.row(protocol, *pair, args.scale) for protocol in protocols]
            rows.append([{"name": name, **row} for row in found])
    for name, instead in pairing.missing.items():
        error = "it has no SR image" + (f" ({instead})" if instead else "")
        rows.append([{"name": name, **unscored(error)}] * len(protocols))

    errors = [
        f"{image['name']}: {error}"
        for image in (image for row in rows for image in row)
        for error in [*filter(None, [image.get("error")]), *image.get("metric_errors", {}).values()]
    ]
    for error in dict.fromkeys(errors):
        print(printable(f"not scored: {error}"), file=sys.stderr)
    if pairing.extra:
        names = ", ".join(path.name for path in pairing.extra)
        print(printable(f"not used: {names} in {args.sr_dir}"), file=sys.stderr)
    if all(image["psnr"] is None for row in rows for image in row):
        raise UserError(f"none of the {len(pairing.pairs)} pairs could be scored, see above")

    method = args.name or args.sr_dir.resolve().name
    notes = []
    if published:
        notes = [f"results of {published[0].method} as stated by --published"]
    elif is_published_name(method):
        notes = [f"called {method} by its folder or --name, not known to be results of it"]
    entries = [
        results.set_result(
            folder.name, args.scale, protocol.name, images, method, notes, extras.names
        )
        for protocol, images in zip(protocols, zip(*rows))
    ]
    record = results.results_record(
        [with_published(entry, published) for entry in entries],
        protocols,
        metrics=extras.described(),
        device="cpu",
        sr_dir=str(args.sr_dir.resolve()),
        hr_dir=str(args.hr_dir.resolve()),
    )
    # Files first: nobody may be reading what is printed.
    written = results.write_results(args.out, record) if args.out else []
    if args.report:
        report.run(argparse.Namespace(folders=[str(args.out)], out=None))
    print_tables(all_tables(record))
    if written:
        print(f"written: {written[0]}, {', '.join(path.name for path in written[1:])}")
    return 1 if errors else 0


def _images(args: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """The images of both folders; ``args.hr_dir`` becomes the HR side of a set's own folder."""
    from superres.datasets.locate import high_side
    from superres.imaging.listing import list_images

    sr, hr = list_images(args.sr_dir), list_images(args.hr_dir)
    if not hr and (side := high_side(args.hr_dir, args.scale)):
        args.hr_dir, hr = side, list_images(side)
    for folder, pictures in ((args.sr_dir, sr), (args.hr_dir, hr)):
        if not pictures:
            below = {file.parent.name for file in list_images(folder, recursive=True)}
            there = f"; give one below it: {some(sorted(below))}" if below else ""
            raise UserError(f"{folder}: no images in this folder{there}")
    return sr, hr


def _read(*paths: Path) -> Any:
    """SR and HR as RGB, of the files' depth."""
    from superres.imaging.io import image_header, read_image

    if image_header(paths[0]).channels == 1 and image_header(paths[1]).channels >= 3:
        raise UserError(
            f"{paths[0]} is grey and {paths[1]} is RGB: an SR image needs the colours of HR "
            "(write Y results back into RGB before scoring)"
        )
    return [read_image(path, channels="rgb", dtype="keep") for path in paths]


def _split(texts: list[str]) -> list[str]:
    """Names given as several words, with commas, or both."""
    return [name for text in texts for name in text.replace(",", " ").split()]
