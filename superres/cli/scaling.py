"""Tell what would bound a training on 1 to 1024 GPUs: arithmetic, memory, network or data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.errors import UserError

if TYPE_CHECKING:
    from superres.engine.scaling import Hardware

START, END = "<!-- made by `superres scaling` -->", "<!-- end -->"
MODELS = (
    "srcnn_x2k915_g1_1000k_div2k",
    "vdsr_x2c64b20_g1_80k_291",
    "srresnet_x2c64b16_g1_300k_div2k",
    "edsr_x2c64b16_g1_300k_div2k",
    "edsr_x4c64b16_g1_300k_div2k",
    "mdsr_x2x3x4c64b16_g1_650k_div2k",
    "rcan_x2c64g10b20_g1_1000k_div2k",
    "drln_x2c64b20_g1_3000k_div2k",
    "edsr_x2c256b32_g1_300k_div2k",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("names", nargs="*", metavar="CONFIG", help="default: one of each model")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="other hardware, e.g. flops=312e12 network=12.5e9",
    )
    parser.add_argument(
        "--measure", type=Path, metavar="FILE", help="measure one and two ranks here, into FILE"
    )
    parser.add_argument("--measured", type=Path, metavar="FILE", help="of an earlier --measure")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the tables into a document, between marks"
    )


def run(args: argparse.Namespace) -> int:
    """Count, divide, and tell."""
    from superres.engine.config.types import use_scope
    from superres.files import write_text

    use_scope()
    hardware = _hardware(args.set)
    measured = None
    if args.measure:
        from superres.engine.scaling_measure import measure

        measured = measure()
        args.measure.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.measure, json.dumps(measured, indent=2) + "\n")
    elif args.measured:
        try:
            measured = json.loads(args.measured.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"--measured {args.measured}: {error}") from error
    text = document(list(args.names or MODELS), hardware, measured)
    if args.write is None:
        print(text)
        return 0
    try:
        before, rest = args.write.read_text(encoding="utf-8").split(START)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        raise UserError(f"--write {args.write}: needs the lines {START} and {END}") from error
    write_text(args.write, f"{before}{START}\n\n{text}\n\n{END}{after}")
    print(f"written: {args.write}")
    return 0


def _hardware(options: list[str]) -> Hardware:
    from dataclasses import fields, replace

    from superres.engine.scaling import Hardware

    known = {field.name: field for field in fields(Hardware)}
    changes: dict[str, Any] = {}
    for option in options:
        key, sign, value = option.partition("=")
        if key not in known or not sign:
            raise UserError(f"--set {option}: KEY=VALUE with one of {', '.join(known)}")
        try:
            changes[key] = type(known[key].default)(float(value))
        except ValueError as error:
            raise UserError(f"--set {option}: {value!r} is no number") from error
        if not changes[key] > 0:
            raise UserError(f"--set {option}: must be above 0")
    return replace(Hardware(), **changes)


def document(names: list[str], hw: Hardware, measured: dict[str, Any] | None) -> str:
    """The tables, as markdown."""
    from superres.engine.scaling import GPUS, needs, step_of

    works = [_work(name) for name in names]
    lines = [f"Assumed of each GPU: {_assumed(hw)}.", ""]
    lines += ["### What one iteration asks for", ""]
    lines += _table(
        ["config", "parameters", "batch", "TFLOP", "activations, GB", "optimiser, GB",
         "gradients, MB", "FLOP per byte exchanged"],
        [
            [w.name, f"{w.parameters:,}", str(w.batch), f"{w.flops * w.batch / 1e12:.3f}",
             f"{2 * w.kept * w.batch / 1e9:.2f}", f"{w.optimiser_bytes / 1e9:.3f}",
             f"{w.gradient_bytes / 1e6:.1f}", f"{w.flops * w.batch / w.gradient_bytes:,.0f}"]
            for w in works
        ],
    )  # fmt: skip
    for title, batch_of in (
        ("The published batch, shared out", lambda w, n: w.batch),
        ("The published batch on each GPU", lambda w, n: w.batch * n),
    ):
        lines += ["", f"### {title}", ""]
        lines += ["Milliseconds an iteration, and what bounds it.", ""]
        rows = []
        for w in works:
            cells = [w.name]
            for n in GPUS:
                batch = batch_of(w, n)
                if batch % n:
                    cells.append("")
                    continue
                step = step_of(w, n, batch, hw)
                seconds = step.seconds(hw.overlap)
                cells.append(f"{1e3 * seconds:.2f} {step.bound(hw.overlap)}")
            rows.append(cells)
        used = [i for i, n in enumerate(GPUS) if any(row[i + 1] for row in rows)]
        rows = [[row[0], *(row[i + 1] for i in used)] for row in rows]
        lines += _table(["config", *(f"{GPUS[i]} GPU" for i in used)], rows)
    lines += ["", "### What a node has to deliver", ""]
    lines += [
        "With the published batch on each GPU, per GPU: below these rates the network between "
        "nodes, or the data, would bound the training.",
        "",
    ]
    lines += _table(
        ["config", "busy, ms", "network, GB/s", "samples/s"],
        [[w.name, *(f"{x:,.2f}" for x in needs(w, hw)[:2]), f"{needs(w, hw)[2]:,.0f}"]
         for w in works],
    )  # fmt: skip
    if measured:
        lines += ["", "### Checked where it can be measured", ""]
        lines += [
            f"EDSR-baseline x2, two samples of 48x48 per rank, gloo, one thread per rank, "
            f"{measured['cores']} cores, torch {measured['versions']['torch']}, median of "
            f"{measured['repeats']}.",
            "",
        ]
        lines += _table(
            ["quantity", "model", "measured", "measured / model"],
            [
                [p["name"], f"{p['model']:.4g}", f"{p['measured']:.4g}", f"{p['ratio']:.3f}"]
                for p in measured["points"]
            ],
        )
        lines += ["", "Seconds: " + "; ".join(
            f"{k} {v:.3f}" for k, v in measured["seconds"].items()) + "."]  # fmt: skip
    return "\n".join(lines)


def _work(name: str) -> Any:
    from superres.engine.config.load import load_config
    from superres.engine.config.values import scales_of, to_plain
    from superres.engine.scaling import work_of

    cfg = load_config(name)
    return work_of(
        Path(name).stem,
        to_plain(cfg.model)["backbone"],
        scales_of(cfg)[0],
        cfg.get("lq_patch_size", 48),
        cfg.global_batch_size,
    )


def _assumed(hw: Hardware) -> str:
    return (
        f"{hw.flops / 1e12:g} TFLOP/s in bfloat16, of which {hw.flops_share:.0%} are reached; "
        f"{hw.memory / 1e12:g} TB/s of memory ({hw.memory_share:.0%}); {hw.gpus_per_node} GPUs a "
        f"node, joined by {hw.link / 1e9:g} GB/s each way, nodes by {hw.network / 1e9:g} GB/s per "
        f"GPU ({hw.exchange_share:.0%} of both); {1e6 * hw.link_latency:g} and "
        f"{1e6 * hw.network_latency:g} us a hop; gradients travel during {hw.overlap:.0%} of the "
        f"step; {hw.workers} data-loading processes of {hw.samples:,.0f} samples/s"
    )


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
