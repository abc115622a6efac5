"""List the models that have a config, and show the cost of one.

superres models list [WORD ...]     names, scales, parameters, sizes, scores, weights
superres models info NAME           layers, operations, memory, receptive field
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
from typing import TYPE_CHECKING, Any

from superres.cli._options import print_columns
from superres.errors import UserError
from superres.options import whole_scale

if TYPE_CHECKING:
    from superres.checkpoints.listing import Entry
    from superres.models.summary import Summary

STUDIES = ("ablation", "ladder", "recipe")
"""Folders of configs that compare trainings; ``list`` leaves them out unless asked for them."""

# A line shows scores by the first of these protocols that has any.
PREFERRED = {"edsr-y": 0, "classical-y": 1, "super-image": 2, "mmediting-rgb": 3}

_HEAD = ("config", "scale", "10^6 parameters", "MB", "Set5, dB", "weights")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands ``list`` and ``info``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|info")
    listing = commands.add_parser("list", help="the configs that come with the package")
    listing.add_argument("words", nargs="*", metavar="WORD", help="parts of names, or 'edsr*_x2*'")
    listing.add_argument("--all", action="store_true", help="a line for every config")
    info = commands.add_parser("info", help="what a model costs")
    info.add_argument("name", metavar="NAME", help="a config, or weights: path or bare name")
    info.add_argument("--size", metavar="HxW", help="of the input; default: for 720x1280 out")
    info.add_argument("-s", "--scale", type=whole_scale, metavar="S", help="if it has several")
    info.add_argument("--format", help="format of a weight file whose keys alone cannot tell")
    for command in (listing, info):
        command.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """List the configs, or show the cost of one model."""
    return _list(args) if args.action == "list" else _info(args)


def _list(args: argparse.Namespace) -> int:
    from superres.checkpoints.listing import find

    found = find(args.words)
    if args.json:
        print(json.dumps([_plain(entry) for entry in found], indent=2))
        return 0
    with_studies = args.all or args.words
    studies = [] if with_studies else [e for e in found if e.config.parent.name in STUDIES]
    found = [entry for entry in found if entry not in studies]
    groups: dict[str, list[Entry]] = {}
    for entry in found:
        groups.setdefault(entry.name if args.all else entry.family, []).append(entry)
    print_columns([_HEAD, *map(_row, groups.values())])
    print("\nSet5: published PSNR, * measured here; protocol edsr-y where none is named")
    if not args.all:
        print("models list WORD ... shows what has it in a name; --all a line for every config")
    if studies:
        print(f"{len(studies)} configs of studies are left out: models list {' | '.join(STUDIES)}")
    return 0


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry as ``--json`` prints it."""
    scale = entry.scales[0] if len(entry.scales) == 1 else entry.scales
    return dataclasses.asdict(entry) | {"config": str(entry.config), "scale": scale}


def _row(group: list[Entry]) -> tuple[str, ...]:
    """The cells of one line, for configs that differ only in scale (or iterations)."""
    first = group[0]
    scales = list(dict.fromkeys(scale for entry in group for scale in entry.scales))
    in_name = f"_x{'x'.join(map(str, first.scales))}"
    name = first.name if len(group) == 1 else first.name.replace(in_name, "_x*", 1)
    sizes = sorted(entry.parameters for entry in group if entry.parameters)
    sizes = sizes[:1] + sizes[-1:]  # parameters of the smallest and the largest, 4 bytes each
    weights = list(dict.fromkeys(re.sub(r"_x\d$", "", e.weights) for e in group if e.weights))
    where = "in the package" if any(entry.shipped for entry in group) else "download"
    return (
        name,
        " ".join(f"x{scale}" for scale in scales),
        "-".join(dict.fromkeys(f"{size / 1e6:.2f}" for size in sizes)) or "-",
        "-".join(dict.fromkeys(f"{size * 4 / 1e6:.1f}" for size in sizes)) or "-",
        _scores(group, scales),
        f"{', '.join(weights)} ({where})" if weights else "none",
    )


def _scores(group: list[Entry], scales: list[int]) -> str:
    """Each scale's PSNR on Set5 in dB, all by one protocol; ``-`` for a scale without a score."""
    scores = [s for entry in group for s in entry.scores if s["set"] == "Set5"]
    protocols = dict.fromkeys(score["protocol"] for score in scores)
    protocol = min(protocols, key=lambda p: PREFERRED.get(p, len(PREFERRED)), default=None)
    of_it = [score for score in scores if score["protocol"] == protocol]
    found = {s["scale"]: f"{s['psnr']:.2f}{'*' * s['measured']}" for s in of_it}
    if not found:
        return "-"
    text = " ".join(found.get(scale, "-") for scale in scales)
    return text + ("" if protocol == "edsr-y" else f" ({protocol})")


def _info(args: argparse.Namespace) -> int:
    from superres.models.summary import summarise

    size = _size(args.size) if args.size else None
    network, scales, notes = _network(args)
    if args.scale is not None and args.scale not in scales:
        has = ", ".join(f"x{s}" for s in scales)
        raise UserError(f"{args.name} has no x{args.scale}, but {has}")
    wanted = scales if args.scale is None else [args.scale]
    summaries = [summarise(network, size, scale) for scale in wanted]
    if args.json:
        print(json.dumps([dataclasses.asdict(s) for s in summaries], indent=2))
        return 0
    for line in notes:
        print(line)
    for summary in summaries:
        _print_summary(args.name, summary)
    return 0


def _network(args: argparse.Namespace) -> tuple[Any, list[int], list[str]]:
    """Return a backbone or its config, its scales, and lines to print about its weight file."""
    from superres.checkpoints.zoo import PUBLISHED, is_here, model_names, shipped, variants

    name, info = variants(args.name).get(args.scale, args.name), []
    is_config = name.endswith((".py", ".yml", ".yaml"))
    if name in PUBLISHED and not is_here(name):
        info = [f"its weights, {PUBLISHED[name].url}, are not here: upscale -m {name} fetches them"]
        name = PUBLISHED[name].config
    elif name in {*model_names(), *shipped(), *PUBLISHED} or (
        os.path.exists(name) and not is_config
    ):
        from superres.checkpoints.loading import read_weights

        loaded = read_weights(args.name, format=args.format, scale=args.scale)
        info = [loaded.summary]
        if loaded.lacks:
            info += [f"not in the file (as asked for, or usual there): {', '.join(loaded.lacks)}"]
        return loaded.network or loaded.config, loaded.scales, info
    from superres.engine.config.check import check_config
    from superres.engine.config.load import load_config
    from superres.engine.config.values import scales_of, to_plain

    cfg = load_config(name)
    check_config(cfg)
    return to_plain(cfg.model)["backbone"], list(scales_of(cfg)), info


def _size(text: str) -> tuple[int, int]:
    """Height and width from the text of ``--size``; UserError if it has another form."""
    sizes = re.fullmatch(r"\s*([0-9]{1,18})\s*[xX]\s*([0-9]{1,18})\s*", text)
    if sizes is None or not int(sizes[1]) or not int(sizes[2]):
        raise UserError(f"--size takes HEIGHTxWIDTH in pixels, such as 180x320, not {text!r}")
    return int(sizes[1]), int(sizes[2])


def _print_summary(name: str, summary: Summary) -> None:
    """Print a model's totals, then a table of its parts."""

    def shape(sizes: tuple[int, ...]) -> str:
        return "x".join(map(str, sizes))

    field, trained = "the whole image, or not known", ""
    if (radius := summary.receptive_radius) is not None:
        side = 2 * radius + 1
        field = f"{radius} input pixels to each side ({side}x{side})"
    if summary.trainable != summary.parameters:
        trained = f" ({summary.trainable:,} trained)"
    print(f"{name}: {summary.network} x{summary.scale}")
    for key, text in {
        "parameters": f"{summary.parameters:,}{trained}",
        "convolutions": f"{summary.layers}",
        "receptive field": field,
        "input, output": f"{shape(summary.input)} to {shape(summary.output)} (CxHxW)",
        "FLOPs": f"{summary.flops / 1e9:,.1f} G (counting multiply and add separately)",
        "activation memory": f"{summary.inference_memory / 2**20:,.0f} MiB at most to upscale it, "
        f"{summary.training_memory / 2**20:,.0f} MiB kept to train on it (float32)",
    }.items():
        print(f"  {key:<18} {text}")
    rows = [("part", "type", "convolutions", "parameters", "GFLOPs", "output")]
    for part in summary.parts:
        numbers = (part.layers, part.parameters, part.flops / 1e9)
        texts = (f"{n:,.2f}" if isinstance(n, float) else f"{n:,}" for n in numbers)
        shown = [text if number else "" for number, text in zip(numbers, texts, strict=True)]
        rows.append((part.name, part.type, *shown, shape(part.output)))
    print_columns(rows)
