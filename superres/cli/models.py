"""List the models that have a config, and tell what one costs.

superres models list [WORD ...]     names, scales, parameters, sizes, scores, weights
superres models info NAME           layers, operations, memory, receptive field
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.errors import UserError
from superres.options import whole_scale

if TYPE_CHECKING:
    from superres.checkpoints.zoo import Entry
    from superres.models.summary import Summary

STUDIES = ("ablation", "ladder", "recipe")
"""Folders of configs that compare trainings and are no method to take."""

PREFERRED = {"edsr-y": 0, "classical-y": 1, "super-image": 2, "mmediting-rgb": 3}

_HEAD = ("config", "scale", "10^6 parameters", "MB", "Set5, dB", "weights")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand each."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|info")
    listing = commands.add_parser("list", help="the configs that come with the package")
    listing.add_argument(
        "words", nargs="*", metavar="WORD", help="parts of names; or 'edsr*_x2*' (quoted)"
    )
    listing.add_argument("--all", action="store_true", help="a line for every config")
    listing.add_argument("--json", action="store_true", help="as JSON")
    info = commands.add_parser("info", help="what a model costs")
    info.add_argument(
        "name", metavar="NAME", help="a config (path or bare name) or weights (file, folder, name)"
    )
    info.add_argument(
        "--size", metavar="HxW", help="of the input; default: what is enlarged to 720x1280"
    )
    info.add_argument(
        "--scale", type=whole_scale, metavar="S", help="one of several, or where a file cannot tell"
    )
    info.add_argument("--format", help="format of a weight file that cannot tell it")
    info.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    return _list(args) if args.action == "list" else _info(args)


def _list(args: argparse.Namespace) -> int:
    import itertools

    from superres.checkpoints.zoo import find

    found = find(args.words)
    if args.json:
        print(json.dumps([_plain(entry) for entry in found], indent=2))
        return 0
    studies = (
        [] if args.all or args.words else [e for e in found if e.config.parent.name in STUDIES]
    )
    found = [entry for entry in found if entry not in studies]
    groups = [[entry] for entry in found]
    if not args.all:
        by_family = sorted(found, key=lambda e: e.family)
        groups = [list(group) for _, group in itertools.groupby(by_family, lambda e: e.family)]
        groups.sort(key=lambda group: found.index(group[0]))
    rows = [_row(group) for group in groups]
    widths = [max(map(len, column)) for column in zip(*rows, _HEAD, strict=True)]
    for row in (_HEAD, *rows):
        print("  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True)).rstrip())
    print("\nSet5: published PSNR, * measured here; protocol edsr-y where none is named")
    if not args.all:
        print("models list WORD ... shows what has it in a name; --all a line for every config")
    if studies:
        print(f"{len(studies)} configs of studies are left out: models list {' | '.join(STUDIES)}")
    return 0


def _plain(entry: Entry) -> dict[str, Any]:
    import dataclasses

    plain = dataclasses.asdict(entry)
    scale = entry.scales[0] if len(entry.scales) == 1 else entry.scales
    return plain | {"config": str(entry.config), "scale": scale}


def _row(group: list[Entry]) -> tuple[str, ...]:
    """One line for configs that differ in scale (or iterations) only."""
    first = group[0]
    scales = list(dict.fromkeys(scale for entry in group for scale in entry.scales))
    written = f"_x{'x'.join(map(str, first.scales))}"
    name = first.name if len(group) == 1 else first.name.replace(written, "_x*", 1)
    sizes = sorted(entry.parameters for entry in group if entry.parameters)
    sizes = sizes[:1] + sizes[-1:]
    weights = list(dict.fromkeys(re.sub(r"_x\d$", "", e.weights) for e in group if e.weights))
    where = "in the package" if any(entry.shipped for entry in group) else "download"
    return (
        name,
        " ".join(f"x{scale}" for scale in scales),
        "-".join(dict.fromkeys(f"{size / 1e6:.2f}" for size in sizes)),
        "-".join(dict.fromkeys(f"{size * 4 / 1e6:.1f}" for size in sizes)),
        _scores(group, scales),
        f"{', '.join(weights)} ({where})" if weights else "none",
    )


def _scores(group: list[Entry], scales: list[int]) -> str:
    """Each scale's PSNR of Set5 in dB, ``-`` where nobody states one, all by one protocol."""
    scores = [s for entry in group for s in entry.scores if s.set == "Set5"]
    protocols = dict.fromkeys(score.protocol for score in scores)
    protocol = min(protocols, key=lambda p: PREFERRED.get(p, len(PREFERRED)), default=None)
    by_scale = {s.scale: s for s in scores if s.protocol == protocol}
    if not by_scale:
        return "-"
    texts = [
        f"{by_scale[s].psnr:.2f}{'*' * by_scale[s].measured}" if s in by_scale else "-"
        for s in scales
    ]
    return " ".join(texts) + ("" if protocol == "edsr-y" else f" ({protocol})")


def _info(args: argparse.Namespace) -> int:
    from superres.models.summary import summarise

    size = _size(args.size) if args.size else None
    config, scales = _network(args)
    if args.scale is not None:
        if args.scale not in scales:
            has = ", ".join(f"x{s}" for s in scales)
            raise UserError(f"{args.name} has no x{args.scale}, but {has}")
        scales = [args.scale]
    summaries = [summarise(config, size, scale) for scale in scales]
    if args.json:
        import dataclasses

        print(json.dumps([dataclasses.asdict(s) for s in summaries], indent=2))
        return 0
    for summary in summaries:
        _print(args.name, summary)
    return 0


def _network(args: argparse.Namespace) -> tuple[dict[str, Any], list[int]]:
    """The backbone's config and its scales, from a config file or a weight file."""
    if _names_weights(args.name):
        from superres.checkpoints import read_weights

        config = dict(read_weights(args.name, format=args.format, scale=args.scale).config)
        scales = config.get("scales") or [config.get("scale")]
    else:
        from superres.engine.config.check import check_config
        from superres.engine.config.load import load_config
        from superres.engine.config.values import scales_of, to_plain

        cfg = load_config(args.name)
        check_config(cfg)
        config, scales = to_plain(cfg.model)["backbone"], scales_of(cfg)
    return config, list(scales)


def _names_weights(name: str) -> bool:
    """Whether a name is that of weights: a file, a folder with some in it, a published name."""
    from superres.checkpoints.names import PUBLISHED
    from superres.checkpoints.shipped import SUFFIXES, model_names, shipped

    if os.path.isfile(name):
        return not name.endswith(".py")
    if os.path.isdir(name):
        return any(p.suffix in SUFFIXES for p in Path(name).iterdir())
    return name in {*model_names(), *PUBLISHED, *shipped()}


def _size(text: str) -> tuple[int, int]:
    sizes = re.fullmatch(r"\s*([0-9]{1,18})\s*[xX]\s*([0-9]{1,18})\s*", text)
    if sizes is None or not int(sizes[1]) or not int(sizes[2]):
        raise UserError(f"--size takes HEIGHTxWIDTH in pixels, such as 180x320, not {text!r}")
    return int(sizes[1]), int(sizes[2])


def _print(name: str, summary: Summary) -> None:
    def mega(count: int) -> str:
        return f"{count / 2**20:,.0f} MiB"

    def shape(sizes: tuple[int, ...]) -> str:
        return "x".join(map(str, sizes))

    print(f"{name}: {summary.network} x{summary.scale}")
    radius = summary.receptive_radius
    lines = {
        "parameters": f"{summary.parameters:,}"
        + ("" if summary.trainable == summary.parameters else f" ({summary.trainable:,} trained)"),
        "convolutions": f"{summary.layers}",
        "receptive field": "the whole picture, or not known"
        if radius is None
        else f"{radius} input pixels to each side ({2 * radius + 1}x{2 * radius + 1})",
        "input, output": f"{shape(summary.input)} to {shape(summary.output)} (CxHxW)",
        "FLOPs": f"{summary.flops / 1e9:,.1f} G (an addition and a multiplication are two)",
        "activation memory": f"{mega(summary.inference_memory)} at most to enlarge it, "
        f"{mega(summary.training_memory)} kept to train on it (float32)",
    }
    for key, text in lines.items():
        print(f"  {key:<18} {text}")
    rows = []
    for part in summary.parts:
        numbers = [str(part.layers or ""), f"{part.parameters:,}" if part.parameters else ""]
        flops = f"{part.flops / 1e9:,.2f}" if part.flops else ""
        rows.append([part.name, part.type, *numbers, flops, shape(part.output)])
    _show(["part", "type", "convolutions", "parameters", "GFLOPs", "output"], rows)


def _show(head: list[str], rows: list[list[str]]) -> None:
    from superres.evaluation.render import print_tables
    from superres.evaluation.tables import Table

    print_tables([Table(head, rows)])
