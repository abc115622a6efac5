"""List the models that have a config, and tell what one costs.

superres models list ['edsr*' ...]     names, scales, parameters
superres models info NAME              layers, operations, memory, receptive field
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
    from superres.models.summary import Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand each."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|info")
    listing = commands.add_parser("list", help="the configs that come with the package")
    listing.add_argument("patterns", nargs="*", metavar="PATTERN", help="e.g. 'edsr*' (quoted)")
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
    from superres.engine.recipes import find_recipes

    rows = []
    for recipe in find_recipes(args.patterns):
        rows.append(
            {
                "name": recipe.name,
                "network": recipe.config.model.backbone.type,
                "scale": recipe.scales[0] if len(recipe.scales) == 1 else recipe.scales,
                "parameters": recipe.parameters(),
                "config": str(recipe.path),
            }
        )
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(row["name"]) for row in rows)
    print(f"{'name':<{width}}  {'network':<13}  {'scale':<11}  {'parameters':>11}")
    for row in rows:
        scale = row["scale"]
        text = "+".join(f"x{s}" for s in (scale if isinstance(scale, list) else [scale]))
        print(f"{row['name']:<{width}}  {row['network']:<13}  {text:<11}  {row['parameters']:>11,}")
    return 0


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
    from superres.checkpoints.files import SUFFIXES
    from superres.checkpoints.names import PUBLISHED
    from superres.checkpoints.shipped import model_names, shipped

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
    from rich import box
    from rich.console import Console
    from rich.table import Table

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
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("part", "type", "convolutions", "parameters", "GFLOPs", "output"):
        right = column in ("convolutions", "parameters", "GFLOPs")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for part in summary.parts:
        table.add_row(
            part.name,
            part.type,
            str(part.layers or ""),
            f"{part.parameters:,}" if part.parameters else "",
            f"{part.flops / 1e9:,.2f}" if part.flops else "",
            shape(part.output),
        )
    Console(width=None if _on_terminal() else 100).print(table, markup=False, highlight=False)


def _on_terminal() -> bool:
    import sys

    return sys.stdout.isatty()
