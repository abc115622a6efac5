"""A test run: a checkpoint, sets, protocols; a table and results.json."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights, read_weights
from superres.checkpoints.formats.base import full_config
from superres.errors import UserError
from superres.evaluation.results import print_table, results_record, write_results
from superres.registry import MODELS

from . import launch
from .checkpoint import load_strictly, read_checkpoint
from .config import scales_of, to_plain
from .evaluate import EvalSet, bicubic, evaluate, prepare_sets
from .reporter import Reporter


def run_test(
    cfg: Config,
    device: torch.device,
    checkpoint: Path,
    out: Path | None = None,
    save_images: bool = False,
    sets: list[str] | None = None,
    protocols: list[str] | None = None,
    baseline: str | None = "bicubic",
    weight_format: str | None = None,
    inference: dict[str, Any] | None = None,
) -> int:
    """Score ``checkpoint``; gives the exit code.

    Args:
        cfg: a checked config.
        checkpoint: ours (averaged weights are preferred) or a published weight file.
        out: where ``results.json`` and, with ``save_images``, the pictures go.
        sets, protocols: instead of the config's.
        baseline: 'bicubic' adds that row.
        weight_format: for published files that cannot tell their format.
        inference: arguments of :func:`superres.inference.upscale_tensor`.
    """
    reporter = Reporter(launch.rank())
    scales = scales_of(cfg)
    only_scale = scales[0] if len(scales) == 1 else None
    loaded = read_weights(checkpoint, format=weight_format, scale=only_scale)
    reporter.say(loaded.summary)
    module = build_module(cfg, loaded).to(device)
    eval_sets = prepare_sets(cfg, reporter.warn, sets, protocols)
    if not eval_sets:
        raise UserError("there is no set to test on; name them in test_sets or by --sets")

    baselines: list[dict[str, Any]] = []
    total = sum(len(s.dataset) for s in eval_sets)
    with _Progress(reporter.rank, total * (2 if baseline else 1)) as progress:
        if baseline:
            baselines = evaluate(
                bicubic, eval_sets, device, progress=progress.step, label="Bicubic"
            ).entries
        results = evaluate(
            module,
            eval_sets,
            device,
            save_dir=out / "images" if out and save_images else None,
            progress=progress.step,
            label=_label(cfg, loaded),
            **(inference or {}),
        ).entries
    if reporter.rank:
        return 0
    record = _record(cfg, checkpoint, loaded, eval_sets, results, baselines, device, inference)
    _warn_of_selection(record["selection"], reporter)
    _print({**record, "results": [*record["baselines"], *record["results"]]})
    if out:
        print(f"written: {write_results(out, record)}")
    return 0


def build_module(cfg: Config, loaded: LoadedWeights) -> torch.nn.Module:
    """The config's restorer with the loaded weights.

    A published file brings its own numeric convention (range, mean), so its backbone is built as
    the file says; a checkpoint of ours must agree with the config.

    Raises:
        UserError: the file is of another model than the config's; the differences are named.
    """
    wanted = to_plain(cfg.model)
    differences = _differences(wanted["backbone"], loaded.config, loaded.format == "superres")
    if differences:
        raise UserError(
            f"{loaded.path} is of another model than {cfg.filename}: {'; '.join(differences)}. "
            "Give the config (and the --cfg-options) that it was trained with"
        )
    module = MODELS.build({**wanted, "backbone": dict(loaded.config)})
    load_strictly(module.backbone, loaded.state_dict, str(loaded.path))
    module.eval()
    return module


def _differences(wanted: dict[str, Any], found: dict[str, Any], ours: bool) -> list[str]:
    if wanted["type"] != found["type"]:
        return [f"its network is a {found['type']}, the config's a {wanted['type']}"]
    full_wanted, full_found = to_plain(full_config(wanted)), to_plain(full_config(found))
    if set(_as_list(full_wanted.get("scales"))) <= set(_as_list(full_found.get("scales"))):
        full_wanted["scales"] = full_found.get("scales")  # tested at some of its scales
    # How a published file was trained to see its input is the file's own affair.
    ignored = {"init"} if ours else {"init", "rgb_mean", "rgb_std", "img_range"}
    return [
        f"{key} is {full_found.get(key)!r}, the config's {full_wanted.get(key)!r}"
        for key in sorted({*full_wanted, *full_found} - ignored)
        if full_wanted.get(key) != full_found.get(key)
    ]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _label(cfg: Config, loaded: LoadedWeights) -> str:
    stem = Path(cfg.filename).stem if cfg.filename else loaded.config["type"]
    return stem.split("_", 1)[0].upper() if stem.startswith(("edsr", "mdsr", "drln")) else stem


def _record(
    cfg: Config,
    checkpoint: Path,
    loaded: LoadedWeights,
    eval_sets: list[EvalSet],
    results: list[dict[str, Any]],
    baselines: list[dict[str, Any]],
    device: torch.device,
    inference: dict[str, Any] | None,
) -> dict[str, Any]:
    used = {p.name: p for s in eval_sets for p in s.protocols}
    trained_here = loaded.format == "superres" and checkpoint.suffix == ".pth"
    meta = read_checkpoint(checkpoint).get("meta", {}) if trained_here else {}
    return results_record(
        results,
        used.values(),
        {"path": str(checkpoint), "sha256": sha256_of(checkpoint)},
        baselines=baselines,
        config=str(cfg.filename),
        format=loaded.format,
        iter=meta.get("iter"),
        selection=meta.get("selection") if checkpoint.name == "best.pth" else None,
        parameters=sum(t.numel() for t in loaded.state_dict.values()),
        inference=inference or {},
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    )


def _warn_of_selection(selection: dict[str, Any] | None, reporter: Reporter) -> None:
    if selection and selection.get("role") == "test":
        reporter.warn(
            f"this checkpoint was chosen by its {selection['metric']} on {selection['set']}, a "
            "test set: that column is an optimistic one"
        )


def _print(record: dict[str, Any]) -> None:
    from rich.console import Console

    # Off a terminal the width would be cut to 80 columns.
    print_table(record, Console(width=None if sys.stdout.isatty() else 160))


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Progress:
    """A bar on a terminal; elsewhere a line when a set begins."""

    def __init__(self, rank: int, total: int) -> None:
        self.bar: Any = None
        self.last: str | None = None
        self.quiet = rank != 0
        if not self.quiet and sys.stdout.isatty():
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, transient=True)
            self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> _Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def step(self, name: str) -> None:
        """One image of ``name`` is done."""
        if self.bar:
            self.bar.update(self.task, advance=1, description=name)
        elif not self.quiet and name != self.last:
            print(f"testing {name} ...", flush=True)
        self.last = name
