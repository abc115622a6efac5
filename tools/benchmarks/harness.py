"""Fair timings: variants interleaved, median of several rounds, one JSON schema for all.

The machine's speed drifts (other processes, clock, temperature). Interleaving lets every variant
meet the same drift, so the ratios of one run can be trusted where single times cannot.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.errors import UserError

MIN_REPEATS = 7
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}
_LIBRARIES = """numpy opencv-python opencv-python-headless torch mmengine lmdb openvino onnxruntime
    onnx""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Variant:
    """One way to do the work."""

    name: str
    call: Callable[[], Any]
    """Does the work once. The harness ignores what it returns; check it before measuring."""
    items: int = 1
    """How many samples, pictures or iterations one call handles; the result is per item."""
    unit: str = "ms"
    """``s``, ``ms`` or ``us``, also with what an item is (``us/sample``); or ``it/s``, a rate."""


def measure(
    variants: Sequence[Variant],
    repeats: int = MIN_REPEATS,
    warmup: int = 1,
) -> list[dict[str, Any]]:
    """Run all variants in turn, ``repeats`` times over.

    Args:
        variants: with different names.
        repeats: measured rounds, at least 7.
        warmup: rounds before that do not count.

    Returns:
        For each variant a dict of ``name``, ``median``, ``unit`` and ``repeats``.

    Raises:
        UserError: fewer than 7 repeats are asked for.
    """
    if repeats < MIN_REPEATS:
        raise UserError(f"benchmark: at least {MIN_REPEATS} repeats are needed, not {repeats}")
    if len({v.name for v in variants}) != len(variants):
        raise ValueError("two variants have the same name")
    seconds: dict[str, list[float]] = {v.name: [] for v in variants}
    for round_ in range(-warmup, repeats):
        for variant in variants:
            gc.collect()  # so that no variant pays for the garbage of the one before
            gc.disable()
            try:
                start = time.perf_counter()
                variant.call()
                elapsed = time.perf_counter() - start
            finally:
                gc.enable()
            if round_ >= 0:
                seconds[variant.name].append(elapsed)
    return [row(v.name, _in_unit(v, seconds[v.name]), v.unit) for v in variants]


def row(name: str, values: Sequence[float], unit: str) -> dict[str, Any]:
    """The table row of a variant measured by other means (memory, a subprocess): its median."""
    median = float(statistics.median(values))
    return {"name": name, "median": median, "unit": unit, "repeats": len(values)}


def ratio(rows: Sequence[Mapping[str, Any]], numerator: str, denominator: str) -> float:
    """Median of one variant over the median of another, which must have the same unit."""
    by_name = {r["name"]: r for r in rows}
    above, below = by_name[numerator], by_name[denominator]
    if above["unit"] != below["unit"]:
        raise ValueError(f"{numerator} is in {above['unit']}, {denominator} in {below['unit']}")
    return above["median"] / below["median"]


def report(
    benchmark: str,
    rows: Sequence[Mapping[str, Any]],
    ratios: Mapping[str, float],
    device: str | None = None,
    setup: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The dict that ``--json`` writes.

    Args:
        benchmark: its name.
        rows: from :func:`measure` and :func:`row`.
        ratios: name -> value; the name says what is divided by what.
        device: what the work ran on; default: this processor.
        setup: what was measured (sizes, threads, batch), for the reader.
    """
    from superres.engine.train.provenance import processor_name
    from superres.evaluation.results import versions

    return {
        "schema": 1,
        "benchmark": benchmark,
        "device": device or processor_name(),
        "versions": versions(*_LIBRARIES),
        "setup": dict(setup or {}),
        "variants": [dict(r) for r in rows],
        "ratios": {name: float(value) for name, value in ratios.items()},
    }


def print_report(result: Mapping[str, Any]) -> None:
    """Print a report as two tables, as Markdown has them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"benchmark {result['benchmark']} on {result['device']}")
    for part in ("versions", "setup"):
        console.print(", ".join(f"{k} {v}" for k, v in result[part].items()))
    table = Table("variant", "median", "unit", "repeats", box=box.MARKDOWN)
    for line in result["variants"]:
        table.add_row(line["name"], f"{line['median']:,.4g}", line["unit"], str(line["repeats"]))
    ratios = Table("ratio", "value", box=box.MARKDOWN)
    for name, value in result["ratios"].items():
        ratios.add_row(name, f"{value:,.2f}")
    for shown in (table, ratios):
        shown.columns[1].justify = "right"
        console.print(shown)


def single_thread() -> None:
    """Let numpy's BLAS, OpenCV and torch (if it is loaded) compute on one thread.

    Call it first thing in ``run``: numpy reads the environment when it is imported.
    """
    os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    from superres.imaging._cv2 import import_cv2

    import_cv2().setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def environment() -> dict[str, str]:
    """For processes: ours, with these very packages first on the path."""
    import superres

    own = [str(Path(file).parents[1]) for file in (superres.__file__, __file__)]
    path = [*own, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _in_unit(variant: Variant, seconds: Sequence[float]) -> list[float]:
    if variant.unit.endswith("/s"):
        return [variant.items / s for s in seconds]
    factor = _PER_SECOND[variant.unit.partition("/")[0]]
    return [s * factor / variant.items for s in seconds]
