"""docs/performance.md from what ``superres benchmark NAME --json`` wrote.

``python -m superres.benchmarks._page docs/results docs/performance.md``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superres.errors import UserError

INTRODUCTION = """\
# Performance

This page is generated: `python -m superres.benchmarks._page docs/results docs/performance.md` from
the files that `tools/benchmark.py NAME --json docs/results/benchmark-NAME.json` writes. Variants of
one table were measured in turn within one run, each several times; single times drift with the
machine, ratios hold.

## What the fast step consists of

`fast` in a config chooses: `'auto'` (the default), `'max'`, `'off'`, or a dict of parts on top of
one of these, such as `fast=dict(preset='auto', compile=True, tf32=False)`.

| part | `'auto'` | `'max'` | what it does |
|---|---|---|---|
| `channels_last` | x86 and GPUs from Volta on | the same | weights lie as pictures do |
| `fused` | yes | yes | one kernel updates all weights, for torch's optimisers that have one |
| `prefetch` | GPU | GPU | integers travel from pinned memory on a stream of their own |
| `autotune` | GPU, unless `deterministic` | the same | cuDNN keeps the quickest of its algorithms |
| `amp` | as the key `amp` says | where it is quick | bfloat16 arithmetic, float32 weights |
| `tf32` | torch's choice | yes | products with a 10-bit mantissa; `False` for full float32 |
| `compile` | no | GPU | the backbone, for training only; a failure is told and training goes on |
| `cuda_graph` | no | one GPU | an update is recorded once and replayed as one launch |

Losses are read from a GPU once per `log_interval`, averaged weights (`ema`) are updated all at
once, and `train_dataloader.dataset.cache='gpu'` keeps the training set there: none of it changes a
result.
"""
NO_GPU = """
**Not yet measured on a GPU.** Everything that is for GPUs only (CUDA graphs, prefetching, TF32,
autotuning, the cache on the device) is written and, as far as a CPU can, tested; no number here is
of one.
"""


def page(results: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The page's text.

    Args:
        results: (file name, report) in the order of the page.
    """
    text = [INTRODUCTION]
    if all(result["device"].startswith("cpu:") for _, result in results):
        text.append(NO_GPU)
    for name, result in results:
        text.append(section(name, result))
    return "\n".join(text)


def section(name: str, result: dict[str, Any]) -> str:
    """One benchmark's tables."""
    setup = ", ".join(f"{k} {v}" for k, v in result.get("setup", {}).items())
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [f"## `benchmark {result['benchmark']}`", "", f"{result['device']}; {setup}."]
    lines += [f"{versions}. From `{name}`.", "", "| variant | median | unit |", "|---|---:|---|"]
    lines += [f"| {v['name']} | {_number(v['median'])} | {v['unit']} |" for v in result["variants"]]
    if result["ratios"]:
        lines += ["", "| ratio | value |", "|---|---:|"]
        lines += [f"| {key} | {value:.2f} |" for key, value in result["ratios"].items()]
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main(argv: Sequence[str]) -> int:
    """Write the page; gives the exit code.

    Raises:
        UserError: wrong arguments, or a file that is no benchmark's result.
    """
    if len(argv) != 2 or not Path(argv[0]).is_dir():
        raise UserError("give the folder of the results and the page to write")
    results = []
    for path in sorted(Path(argv[0]).glob("benchmark-*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            section(path.name, result)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path}: no result of a benchmark: {error!r}") from error
        results.append((path.name, result))
    Path(argv[1]).write_text(page(results), encoding="utf-8")
    print(f"{argv[1]}: {len(results)} benchmarks")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
