"""A test run: a checkpoint, sets, protocols; tables and results.json."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights, read_weights
from superres.checkpoints.detect import UnknownNetwork
from superres.checkpoints.formats.base import full_config
from superres.checkpoints.state import load_strictly
from superres.engine.config.ecosystem import log_level
from superres.engine.config.values import scales_of, to_plain
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.errors import UserError
from superres.evaluation.render import print_table
from superres.evaluation.results import require_folder, write_results, write_tables
from superres.inference import parse_tile
from superres.output import bar, printable
from superres.registry import MODELS

from .evaluate import EvalResults, bicubic, evaluate, extra_metrics
from .published_columns import method_label, standing_of_weights
from .record import test_record
from .sets import EvalSet, prepare_sets
from .spandrel_model import FOREIGN, foreign_subject


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
    name: str | None = None,
    report: bool = False,
    published: bool = False,
) -> int:
    """Score ``checkpoint``; gives the exit code: 1 where some images could not be scored.

    Args:
        cfg: a checked config.
        checkpoint: ours (averaged weights are preferred), a published weight file, or one of a
            network that only spandrel knows, which takes the place of the config's.
        out: where ``results.json``, the tables and, with ``save_images``, the pictures go.
        sets, protocols: instead of the config's.
        baseline: 'bicubic' adds that row.
        weight_format: for published files that cannot tell their format.
        inference: arguments of :func:`superres.inference.upscale_tensor`.
        name: what tables call the method.
        report: also write ``report.html``, and the pictures that it shows.
        published: the weights are those of the publication that the config names.

    Raises:
        UserError: whatever the user can put right, and that nothing could be scored.
    """
    reporter = RunLog(launch.rank(), level=log_level(cfg.get("log_level")))
    inference = dict(inference or {})
    if isinstance(inference.get("tile"), str):
        inference["tile"] = parse_tile(inference["tile"])
    cfg, loaded, module = _subject(cfg, checkpoint, weight_format)
    reporter.say(loaded.summary)
    plus = bool({**module.inference, **inference}.get("self_ensemble"))
    standing = standing_of_weights(cfg, loaded, plus, stated=published)
    if standing.why:
        reporter.say(f"no published name or scores: {'; '.join(standing.why)}")
    module = module.to(device)
    eval_sets = prepare_sets(cfg, reporter.warn, sets, protocols, keep_broken=True)
    if loaded.format == FOREIGN:
        for eval_set in eval_sets:
            eval_set.channels = loaded.config["in_channels"]
    if not eval_sets:
        raise UserError("there is no set to test on; name them in test_sets or by --sets")
    label = name or method_label(cfg, loaded, standing, plus)
    if out:
        require_folder(out)  # now, not after hours of work
    extras = extra_metrics(cfg, device)

    failures: list[str] = []

    def failed(text: str) -> None:
        if text not in failures:  # what the baseline has told already
            failures.append(text)
            progress.say(f"warning: {text}")

    total = sum(len(s.dataset) for s in eval_sets if s.dataset is not None)
    baselines = EvalResults()
    save_dir = out / "images" if out and (save_images or report) else None
    with _Progress(reporter.rank, total * (2 if baseline else 1)) as progress:
        options = {"progress": progress.step, "on_failure": failed, "extras": extras}
        try:
            if baseline:
                baselines = evaluate(bicubic, eval_sets, device, label="Bicubic", **options)
            results = evaluate(
                module,
                eval_sets,
                device,
                save_dir=save_dir,
                label=label,
                **options,
                **inference,
            )
        except KeyboardInterrupt:
            progress.stopped(save_dir)
            raise
    _require_scores(results, eval_sets, failures)
    incomplete = _incomplete(results) or _incomplete(baselines)
    if reporter.rank == 0:
        parts = (loaded, eval_sets, results, baselines, device, inference, module, standing)
        record = test_record(cfg, checkpoint, *parts, extras.described())
        _warn_of_selection(record["selection"], reporter)
        # Files first: nobody may be reading what is printed.
        written = _write(out, record, report, reporter) if out else []
        _print(record)
        if written:
            others = "".join(f", {path.name}" for path in written[1:])
            reporter.say(f"written: {written[0]}{others}")
    launch.barrier()
    return 1 if incomplete else 0


def _write(out: Path, record: dict[str, Any], report: bool, reporter: RunLog) -> list[Path]:
    written = [write_results(out, record), *write_tables(out, record)]
    if report:
        from .report import write_report

        written.append(write_report(out, reporter.warn))
    return written


def _require_scores(results: EvalResults, sets: list[EvalSet], failures: list[str]) -> None:
    if any(image["psnr"] is not None for e in results.entries for image in e["images"]):
        return
    errors = [s.error for s in sets if s.error]
    errors += [i["error"] for e in results.entries for i in e["images"] if "error" in i]
    raise UserError(
        "nothing could be scored: " + next(iter([*errors, *failures]), "the sets are empty")
    )


def _incomplete(results: EvalResults) -> bool:
    return any(
        not entry["images"]
        or any(image["psnr"] is None or "metric_errors" in image for image in entry["images"])
        for entry in results.entries
    )


def _subject(
    cfg: Config, checkpoint: Path, weight_format: str | None
) -> tuple[Config, LoadedWeights, torch.nn.Module]:
    """The config, what was loaded, and the restorer on the CPU."""
    unknown = None
    if weight_format != FOREIGN:
        scales = scales_of(cfg)
        only_scale = scales[0] if len(scales) == 1 else None
        try:
            loaded = read_weights(checkpoint, format=weight_format, scale=only_scale)
            return cfg, loaded, build_module(cfg, loaded)
        except UnknownNetwork as error:
            unknown = error
    return foreign_subject(cfg, checkpoint, unknown)


def build_module(cfg: Config, loaded: LoadedWeights) -> torch.nn.Module:
    """The config's restorer with the loaded weights.

    A published file, and weights that were exported, bring their own numeric convention (range,
    mean), so the backbone is built as the file says; a checkpoint must agree with the config.

    Raises:
        UserError: the file is of another model than the config's; the differences are named.
    """
    wanted = to_plain(cfg.model)
    differences = _differences(wanted["backbone"], loaded.config, _own_affairs(loaded))
    if differences:
        raise UserError(
            f"{loaded.path} is of another model than {cfg.filename}: {'; '.join(differences)}. "
            "Give the config (and the --cfg-options) that it was trained with"
        )
    module = MODELS.build({**wanted, "backbone": dict(loaded.config)})
    load_strictly(module.backbone, loaded.state_dict, str(loaded.path))
    module.eval()
    return module


def _own_affairs(loaded: LoadedWeights) -> set[str]:
    """What a file may have otherwise than the config, since it goes with the weights in it."""
    if loaded.format != "superres":
        return {"init", "rgb_mean", "rgb_std", "img_range"}
    if loaded.path.suffix == ".safetensors":  # range and residual scale are folded in by exports
        return {"init", "rgb_mean", "rgb_std", "img_range", "res_scale"}
    return {"init"}


def _differences(wanted: dict[str, Any], found: dict[str, Any], ignored: set[str]) -> list[str]:
    if wanted["type"] != found["type"]:
        return [f"its network is a {found['type']}, the config's a {wanted['type']}"]
    full_wanted, full_found = to_plain(full_config(wanted)), to_plain(full_config(found))
    if set(_as_list(full_wanted.get("scales"))) <= set(_as_list(full_found.get("scales"))):
        full_wanted["scales"] = full_found.get("scales")  # tested at some of its scales
    return [
        f"{key} is {full_found.get(key)!r}, the config's {full_wanted.get(key)!r}"
        for key in sorted({*full_wanted, *full_found} - ignored)
        if full_wanted.get(key) != full_found.get(key)
    ]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _warn_of_selection(selection: dict[str, Any] | None, reporter: RunLog) -> None:
    if selection and selection.get("role") == "test":
        reporter.warn(
            f"this checkpoint was chosen by its {selection['metric']} on {selection['set']}, a "
            "test set: that column is an optimistic one"
        )


def _print(record: dict[str, Any]) -> None:
    from rich.console import Console

    # Off a terminal the width would be cut to 80 columns.
    print_table(record, Console(width=None if sys.stdout.isatty() else 160))


class _Progress:
    """A bar on a terminal; elsewhere a line when a set begins."""

    def __init__(self, rank: int, total: int) -> None:
        self.done, self.total = 0, total
        self.last: str | None = None
        self.quiet = rank != 0
        self.bar = None if self.quiet else bar(sys.stdout)
        if self.bar:
            self.task = self.bar.add_task("", total=total, count="", note="")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, text: str) -> None:
        """A line, above the bar where there is one; every rank tells of its own images."""
        if self.bar:
            self.bar.console.print(printable(text), highlight=False, markup=False)
        else:
            print(printable(text), file=sys.stderr, flush=True)

    def stopped(self, pictures: Path | None) -> None:
        """What an interrupted run leaves, and how to go on."""
        if self.quiet:
            return
        kept = f"; the pictures in {pictures} are whole" if pictures else ""
        with contextlib.suppress(OSError):  # of a terminal that has gone
            self.say(
                f"stopped after {self.done} of {self.total} steps{kept}. Nothing is scored until "
                "all is done, so results.json was not written: run the same command again"
            )

    def step(self, name: str) -> None:
        """One image of ``name`` is done."""
        self.done += 1
        if self.bar:
            count = f"{self.done}/{self.total}"
            self.bar.update(self.task, advance=1, count=count, description=name)
        elif not self.quiet and name != self.last:
            print(f"testing {name} ...", flush=True)
        self.last = name
