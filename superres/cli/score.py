"""Score pictures made by any program: SR_DIR against HR_DIR, by published protocols.

Pairs are found by name, also where SR names carry decorations (baby_RCAN_x2.png, babyx2.png,
img_001_SRF_2_SR.png). Exit code 0: all scored; 1: some pictures are missing or unusable, the
others were scored; 2: nothing could be scored.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.errors import UserError
from superres.options import whole_scale
from superres.output import printable

if TYPE_CHECKING:
    from superres.evaluation.extra_metrics import ExtraMetrics
    from superres.evaluation.protocols import Protocol


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sr_dir", type=Path, metavar="SR_DIR", help="folder of results")
    parser.add_argument("hr_dir", type=Path, metavar="HR_DIR", help="folder of the true pictures")
    parser.add_argument(
        "--scale", type=whole_scale, required=True, metavar="S", help="upscaling factor"
    )
    parser.add_argument(
        "--protocol",
        "--protocols",
        nargs="+",
        default=["edsr-y"],
        metavar="NAME",
        help="edsr-y (default), edsr-div2k, classical-y, mmediting-rgb, mmediting-ssim-bug, "
        "super-image, or all; several give a table each",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=[],
        metavar="NAME",
        help="beside PSNR and SSIM: ms-ssim, lpips, lpips-vgg, dists, niqe, through optional "
        "libraries, or one of your own, of the module that SUPERRES_IMPORTS names",
    )
    parser.add_argument(
        "--name",
        help="what the table calls the results (default: SR_DIR's name)",
    )
    parser.add_argument(
        "--published",
        metavar="METHOD",
        help="the images are results of this published method, such as RCAN: show its scores "
        "beside yours",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write DIR/results.json, .md, .csv and .tex"
    )


def run(args: argparse.Namespace) -> int:
    """Score, print the tables, write the file; gives the exit code."""
    if args.scale < 1:
        raise UserError(f"--scale must be at least 1, not {args.scale}")

    from rich.console import Console

    from superres.cli._progress import Progress
    from superres.datasets.locate import high_side
    from superres.evaluation.extra_metrics import ExtraMetrics
    from superres.evaluation.pairing import pair_by_name
    from superres.evaluation.protocols import PROTOCOLS, get_protocol
    from superres.evaluation.published import is_published_name, known_method
    from superres.evaluation.render import print_table
    from superres.evaluation.results import (
        require_folder,
        results_record,
        set_result,
        with_published,
        write_results,
        write_tables,
    )
    from superres.imaging.listing import list_images

    published = known_method(args.published) if args.published else []
    names = _split(args.protocol)
    names = list(PROTOCOLS) if "all" in names else names
    protocols = [get_protocol(name) for name in dict.fromkeys(names)]
    extras = ExtraMetrics(_split(args.metrics))
    if args.out:
        require_folder(args.out)
    sr, hr = list_images(args.sr_dir), list_images(args.hr_dir)
    if not hr and (side := high_side(args.hr_dir, args.scale)):  # a set's own folder
        args.hr_dir, hr = side, list_images(side)
    for folder, pictures in ((args.sr_dir, sr), (args.hr_dir, hr)):
        if not pictures:
            raise UserError(f"{folder}: no pictures in this folder")
    pairing = pair_by_name(sr, hr, args.scale)
    if not pairing.pairs:
        raise UserError(
            f"no picture of {args.sr_dir} ({sr[0].name}, ...) belongs to one of {args.hr_dir} "
            f"({hr[0].name}, ...) at scale {args.scale}, judged by their names"
        )
    with Progress(passing=True) as shown:
        progress = shown.step("scoring")
        scores, resized = _score_all(pairing.pairs, args.scale, protocols, extras, progress)
    for name, instead in pairing.missing.items():
        error = f"no SR picture for {name}" + (f" ({instead})" if instead else "")
        for images in scores.values():
            images.append({"name": name, "psnr": None, "ssim": None, "error": error})

    errors = {i["error"]: None for images in scores.values() for i in images if "error" in i}
    errors |= {
        f"{i['name']}: {error}": None
        for images in scores.values()
        for i in images
        for error in i.get("metric_errors", {}).values()
    }
    for error in errors:
        print(printable(f"not scored: {error}"), file=sys.stderr)
    if pairing.extra:
        names = ", ".join(path.name for path in pairing.extra)
        print(printable(f"not used: {names} in {args.sr_dir}"), file=sys.stderr)
    if all(image["psnr"] is None for images in scores.values() for image in images):
        raise UserError(f"none of the {len(pairing.pairs)} pairs could be scored, see above")

    method = args.name or args.sr_dir.resolve().name
    stated = []
    if published:
        stated = [f"results of {published[0].method} as stated by --published"]
    elif is_published_name(method):
        stated = [f"called {method} by its folder or --name, not known to be results of it"]
    results = [
        with_published(
            set_result(
                _set_name(args.hr_dir),
                args.scale,
                protocol.name,
                scores[protocol.name],
                method=method,
                notes=[*_resize_notes(resized[protocol.name]), *stated],
                metrics=extras.names,
            ),
            published,
        )
        for protocol in protocols
    ]
    record = results_record(
        results,
        protocols,
        metrics=extras.described(),
        device="cpu",
        sr_dir=str(args.sr_dir.resolve()),
        hr_dir=str(args.hr_dir.resolve()),
    )
    written = []
    if args.out:  # files first: nobody may be reading what is printed
        written = [write_results(args.out, record), *write_tables(args.out, record)]
    # Off a terminal the width would be cut to 80 columns.
    print_table(record, Console(width=None if sys.stdout.isatty() else 160))
    if written:
        print(f"written: {written[0]}, {', '.join(path.name for path in written[1:])}")
    return 1 if errors else 0


def _score_all(
    pairs: list[tuple[str, Path, Path]],
    scale: int,
    protocols: list[Protocol],
    extras: ExtraMetrics,
    progress: Callable[[int, int, str], None],
) -> tuple[dict[str, list[dict[str, Any]]], Counter[str]]:
    """Scores per protocol and image; and for how many images a protocol resized HR."""
    from superres.evaluation.protocols import evaluate_pair

    scores: dict[str, list[dict[str, Any]]] = {protocol.name: [] for protocol in protocols}
    resized: Counter[str] = Counter()
    for number, (name, sr_path, hr_path) in enumerate(pairs):
        progress(number, len(pairs), name)
        try:
            sr, hr = _read_pair(sr_path, hr_path)
        except UserError as error:
            for images in scores.values():
                images.append({"name": name, "psnr": None, "ssim": None, "error": str(error)})
            continue
        for protocol in protocols:
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    values = evaluate_pair(sr, hr, scale, protocol)
                resized[protocol.name] += any("resizes HR" in str(w.message) for w in said)
                image = {"name": name, **values}
                found, failed = extras.score(sr, hr, scale, protocol)
                image.update(found, **({"metric_errors": failed} if failed else {}))
                scores[protocol.name].append(image)
            except UserError as error:
                failed = {"name": name, "psnr": None, "ssim": None, "error": f"{sr_path}: {error}"}
                scores[protocol.name].append(failed)
    return scores, resized


def _split(texts: list[str]) -> list[str]:
    """Names given as several words, with commas, or both."""
    return [name for text in texts for name in text.replace(",", " ").split()]


def _read_pair(sr_path: Path, hr_path: Path) -> tuple[Any, Any]:
    """Both pictures as RGB at the depth they have."""
    from superres.imaging.io import image_header, read_image

    if image_header(sr_path).channels == 1 and image_header(hr_path).channels >= 3:
        raise UserError(
            f"{sr_path} is grey and {hr_path} is RGB: an SR picture needs the colours of HR "
            "(write Y results back into RGB before scoring)"
        )
    return tuple(read_image(path, channels="rgb", dtype="keep") for path in (sr_path, hr_path))


def _resize_notes(count: int) -> list[str]:
    if not count:
        return []
    return [f"HR was resized for {count} images, which raises their scores"]


def _set_name(hr_dir: Path) -> str:
    """The folder's name, or its parent's where it is only called HR."""
    folder = hr_dir.resolve()
    return folder.parent.name if folder.name.lower() in ("hr", "gt", "original") else folder.name
