"""Fair timings: variants interleaved, median of several rounds, one JSON schema for all.

The machine's speed drifts (other processes, clock, temperature). Interleaving lets every variant
meet the same drift, so the ratios of one run can be trusted where single times cannot.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maintain import markdown_table
from superres.errors import UserError
from superres.options import whole

MIN_REPEATS = 7
# ``name``, ``median``, ``unit`` and ``repeats`` of a variant.
Row = dict[str, Any]
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}
_LIBRARIES = """numpy opencv-python opencv-python-headless torch mmengine lmdb openvino onnxruntime
    onnx""".split()  # noqa: SIM905


def sizes(parser: argparse.ArgumentParser, least: int, **sizes: int) -> None:
    """Options for whole numbers from ``least``, with their defaults."""
    for name, default in sizes.items():
        help_ = "(%(default)s)"
        parser.add_argument(f"--{name}", type=whole(least), default=default, help=help_)


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """A config and changes of it."""
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")


@dataclass(frozen=True)
class Variant:
    """One way to do the work.

    Attributes:
        call: does it once; what it returns is ignored, so check it before measuring.
        items: how many samples, images or iterations a call handles; the result is per item.
        unit: ``s``, ``ms`` or ``us``, also with what an item is (``us/sample``); or a rate:
            ``it/s``.
    """

    name: str
    call: Callable[[], Any]
    items: int = 1
    unit: str = "ms"

    def in_unit(self, seconds: float) -> float:
        """What a call of so many seconds means in this variant's unit."""
        if self.unit.endswith("/s"):
            return self.items / seconds
        return seconds * _PER_SECOND[self.unit.partition("/")[0]] / self.items


def measure(variants: Sequence[Variant], repeats: int = MIN_REPEATS, warmup: int = 1) -> list[Row]:
    """Run all variants in turn, ``repeats`` times over; returns a row for each.

    Args:
        variants: with different names.
        repeats: measured rounds.
        warmup: rounds before that do not count.
    """
    found: dict[str, list[float]] = {v.name: [] for v in variants}
    gc.freeze()  # what is there now is not looked through again and again
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
                found[variant.name].append(variant.in_unit(elapsed))
    gc.unfreeze()
    return [row(v.name, found[v.name], v.unit) for v in variants]


def row(name: str, values: Sequence[float], unit: str) -> Row:
    """The row of a variant measured by other means (memory, a subprocess): its median."""
    median = float(statistics.median(values))
    return {"name": name, "median": median, "unit": unit, "repeats": len(values)}


def ratios(rows: Sequence[Row], *pairs: tuple[str, str]) -> dict[str, float]:
    """``'a / b'`` -> median of a over the median of b, of the same unit."""
    found = {r["name"]: r["median"] for r in rows}
    return {f"{above} / {below}": found[above] / found[below] for above, below in pairs}


def report(
    benchmark: str,
    rows: Sequence[Row],
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
    from superres.engine.run_log import processor_name
    from superres.evaluation.results import versions

    return {
        "schema": 1,
        "benchmark": benchmark,
        "device": device or processor_name(),
        "versions": versions(*_LIBRARIES),
        "setup": dict(setup or {}),
        "variants": list(rows),
        "ratios": dict(ratios),
    }


def print_report(result: Mapping[str, Any]) -> None:
    """Print a report as Markdown tables."""
    print(f"benchmark {result['benchmark']} on {result['device']}")
    for part in ("versions", "setup"):
        print(", ".join(f"{k} {v}" for k, v in result[part].items()))
    print("\n".join(["", *tables(result)]))


def tables(result: Mapping[str, Any]) -> list[str]:
    """The lines of a Markdown table of a report's variants, and of one of its ratios, if any."""
    rows = [[r["name"], f"{r['median']:,.4g}", r["unit"]] for r in result["variants"]]
    ratios = [[name, f"{value:,.2f}"] for name, value in result["ratios"].items()]
    lines = markdown_table(["variant", "median:", "unit"], rows)
    return [*lines, "", *markdown_table(["ratio", "value:"], ratios)] if ratios else lines


def single_thread() -> None:
    """Let numpy's BLAS, OpenCV and torch (if it is loaded) compute on one thread.

    Call it first thing in ``run``: numpy reads the environment when it is imported.
    """
    os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    import cv2

    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def python(*arguments: object, **env: str) -> str:
    """Run Python in a new process, with these very packages first on its path; what it printed.

    Raises:
        UserError: it failed; the last line of its output is shown.
    """
    import superres

    own = [str(Path(file).parents[1]) for file in (superres.__file__, __file__)]
    path = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise UserError(f"python {arguments[0]} {str(arguments[1])[:60]} failed: {last[-1]}")
    return done.stdout


# What `python` takes to run a command of superres.
SUPERRES = ("-c", "import sys; from superres.cli.main import main; sys.exit(main(sys.argv[1:]))")
