"""A test run: a checkpoint, sets, protocols; tables and results.json."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from superres.checkpoints import read_weights
from superres.checkpoints.weight_files import sha256
from superres.engine.config.ecosystem import test_hooks
from superres.engine.config.values import scales_of, to_plain
from superres.engine.distributed import launch
from superres.engine.facade import Facade
from superres.engine.run_log import RunLog
from superres.errors import UserError
from superres.evaluation.curves import log_lines, read_curves
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.html_report import render_report
from superres.evaluation.merge import Run
from superres.evaluation.results import EvalResults, require_folder, write_results
from superres.files import write_text
from superres.inference import parse_tile

from .evaluate import Evaluation, score_with_hooks
from .published_network import method_label, standing_of_weights
from .record import facts_of, scored_record
from .sets import EvalSet, prepare_sets
from .shots import find_shots
from .subject import bicubic, build_module, network


@dataclass(frozen=True)
class TestOptions:
    """How a checkpoint is tested.

    Attributes:
        out: where ``results.json``, the tables and, with ``save_images``, the images go.
        sets, protocols: instead of the config's.
        baseline: 'bicubic' adds that row, 'none' does not.
        weight_format: for published files that cannot tell their format.
        scale: of a network without a config, where its file cannot tell it.
        self_ensemble: average of the eight views; False does as the config says.
        tile: None does as the config says; see :func:`superres.inference.parse_tile`.
        name_in_tables: what tables call the method.
        report: also write ``report.html``, and the images that it shows.
        published: the weights are those of the publication that the config names.

    Raises:
        UserError: images or a report without a place for them.
    """

    out: str | os.PathLike | None = None
    save_images: bool = False
    sets: list[str] | None = None
    protocols: list[str] | None = None
    baseline: str = "bicubic"
    weight_format: str | None = None
    scale: int | None = None
    self_ensemble: bool = False
    tile: int | str | None = None
    name_in_tables: str | None = None
    report: bool = False
    published: bool = False

    def __post_init__(self) -> None:
        if self.out is None and (self.save_images or self.report):
            what = "report" if self.report else "save-images"
            raise UserError(f"--{what} needs --out DIR (in Python, out='DIR')")


@dataclass
class TestRun(Facade):
    """A test, as the hooks of the config see it: their ``runner``.

    Attributes:
        cfg, log: of the test.
        work_dir: where a hook may write; it need not be there.
        model: the restorer.
        eval_sets: what it is tested on.
    """

    cfg: Config
    work_dir: Path
    log: RunLog
    model: torch.nn.Module
    eval_sets: list[EvalSet]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.module, self.message_hub = self.model, MessageHub("superres test")
        self.max_iters, self.seed = self.cfg.get("max_iters"), self.cfg.get("seed")
        for hook in test_hooks(self.cfg):
            self.register_hook(hook)


def run_test(cfg: Config, device: torch.device, checkpoint: Path, how: TestOptions) -> int:
    """Score ``checkpoint``; returns the exit code: 1 where some images could not be scored.

    Args:
        cfg: a checked config.
        checkpoint: ours (averaged weights are preferred), a published weight file, or one of a
            network that only spandrel knows, which takes the place of the config's.

    Raises:
        UserError: whatever the user can put right, and that nothing could be scored.
    """
    log, scales = RunLog(launch.rank(), level=cfg.get("log_level")), scales_of(cfg)
    scale = scales[0] if len(scales) == 1 else None
    loaded = read_weights(checkpoint, format=how.weight_format, scale=scale)
    cfg, loaded, module, channels = build_module(cfg, loaded)
    log.say(loaded.summary)
    asked: dict[str, Any] = {"self_ensemble": True} if how.self_ensemble else {}
    asked |= {} if how.tile is None else {"tile": parse_tile(str(how.tile))}
    inference = {**module.inference, **asked}
    plus = bool(inference.get("self_ensemble"))
    standing = standing_of_weights(cfg, loaded, plus, stated=how.published)
    if standing.why:
        log.say(f"no published name or scores: {'; '.join(standing.why)}")
    module = module.to(device)
    sets = prepare_sets(cfg, log.warn, how.sets, how.protocols, channels, keep_broken=True)
    if not sets:
        raise UserError("there is no set to test on; name them in test_sets or by --sets")
    out = Path(how.out) if how.out else None
    if out:
        require_folder(out)  # now, not after hours of work
    save_dir = out / "images" if out and (how.save_images or how.report) else None
    images = sum(len(s.dataset) for s in sets if s.dataset is not None)
    total, done, last = images * (2 if how.baseline != "none" else 1), 0, None

    @functools.cache  # another row may have failed alike
    def failed(text: str) -> None:
        log.alert(f"warning: {text}")

    def step(name: str) -> None:
        nonlocal done, last
        done += 1
        log.progress(done, total, name, None if name == last else f"testing {name} ...")
        last = name

    work_dir = out or Path("work_dirs", Path(cfg.filename or "run").stem)
    run = TestRun(cfg, work_dir, log, module, sets)
    run.call_hook("before_run")
    extras = ExtraMetrics(to_plain(cfg.get("metrics") or []), str(device))
    evaluation = Evaluation(sets, extras, progress=step, on_failure=failed)
    baselines = EvalResults()
    try:
        if how.baseline != "none":
            baselines = evaluation.score(bicubic, "Bicubic")
        label = how.name_in_tables or method_label(cfg, loaded, standing, plus)
        given = network(module, device, **asked), label, save_dir
        results = score_with_hooks(run, "test", lambda show: evaluation.score(*given, show))
        run.call_hook("after_run")
    finally:
        log.close()
    scored = [image for entry in results.entries for image in entry["images"]]
    if all(image["psnr"] is None for image in scored):
        errors = [one.error for one in sets if one.error] + [image["error"] for image in scored]
        raise UserError(f"nothing could be scored: {(errors or ['the sets are empty'])[0]}")
    if log.rank == 0:
        file = {"path": str(checkpoint), "sha256": sha256(loaded.path)}
        facts = facts_of(cfg, loaded, module, device, standing, results)
        of = cfg, evaluation, results, baselines, standing
        record = scored_record(*of, file, inference=inference, **facts)
        chosen = record["selection"] or {}
        if chosen.get("role") == "test":
            by = f"{chosen['metric']} on {chosen['set']}, a test set"
            log.warn(f"this checkpoint was selected by its {by}: that column is biased")
        # Files first: nobody may be reading what is printed.
        written = write_results(out, record) if out else []
        if out and how.report:
            history = checkpoint.parent / "log.jsonl"
            curves = read_curves(log_lines(history, log.warn)) if history.is_file() else {}
            shots = find_shots([Run(str(out), record)], log.warn)
            written.append(out / "report.html")
            write_text(written[-1], render_report(record, shots, curves))
        log.table(record)
        if written:
            log.say(f"written: {written[0]}, {', '.join(path.name for path in written[1:])}")
    launch.barrier()
    every = [entry["images"] for entry in (*results.entries, *baselines.entries)]
    lacking = (i["psnr"] is None or "metric_errors" in i for images in every for i in images)
    return int(not all(every) or any(lacking))
