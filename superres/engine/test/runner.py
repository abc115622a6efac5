"""A test run: a checkpoint, sets, protocols; tables and results.json."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights, read_weights
from superres.checkpoints.files import sha256
from superres.checkpoints.networks import full_config
from superres.checkpoints.state_dict import load_strictly
from superres.engine.config.ecosystem import log_level
from superres.engine.config.network_check import network_differences
from superres.engine.config.values import scales_of, to_plain
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.errors import UserError
from superres.evaluation.curves import read_curves
from superres.evaluation.embedding import Album, Shot
from superres.evaluation.report import render_report
from superres.evaluation.results import require_folder, write_results
from superres.inference import parse_tile
from superres.registry import MODELS

from .evaluate import EvalResults, evaluate, extra_metrics
from .predictor import bicubic, network
from .published_columns import method_label, standing_of_weights
from .record import facts_of, scored_record
from .sets import EvalSet, prepare_sets
from .spandrel_model import foreign_subject


@dataclass(frozen=True)
class TestOptions:
    """How a checkpoint is tested.

    Attributes:
        out: where ``results.json``, the tables and, with ``save_images``, the images go.
        sets, protocols: instead of the config's.
        baseline: 'bicubic' adds that row, 'none' does not.
        weight_format: for published files that cannot tell their format.
        self_ensemble: average of the eight views; False does as the config says.
        tile: None does as the config says; see :func:`superres.inference.parse_tile`.
        name_in_tables: what tables call the method.
        report: also write ``report.html``, and the images that it shows.
        published: the weights are those of the publication that the config names.

    Raises:
        UserError: images or a report without a place for them.
    """

    out: str | None = None
    save_images: bool = False
    sets: list[str] | None = None
    protocols: list[str] | None = None
    baseline: str = "bicubic"
    weight_format: str | None = None
    self_ensemble: bool = False
    tile: str | None = None
    name_in_tables: str | None = None
    report: bool = False
    published: bool = False

    def __post_init__(self) -> None:
        if self.out is None and (self.save_images or self.report):
            raise UserError(f"--{'report' if self.report else 'save-images'} needs --out DIR")

    @property
    def inference(self) -> dict[str, Any]:
        """Arguments of :class:`superres.inference.Tiling` that are asked for."""
        found: dict[str, Any] = {"self_ensemble": True} if self.self_ensemble else {}
        return found if self.tile is None else {**found, "tile": parse_tile(self.tile)}


def run_test(cfg: Config, device: torch.device, checkpoint: Path, how: TestOptions) -> int:
    """Score ``checkpoint``; gives the exit code: 1 where some images could not be scored.

    Args:
        cfg: a checked config.
        checkpoint: ours (averaged weights are preferred), a published weight file, or one of a
            network that only spandrel knows, which takes the place of the config's.

    Raises:
        UserError: whatever the user can put right, and that nothing could be scored.
    """
    reporter = RunLog(launch.rank(), level=log_level(cfg.get("log_level")))
    cfg, loaded, module = _subject(cfg, checkpoint, how.weight_format)
    reporter.say(loaded.summary)
    inference = {**module.inference, **how.inference}
    plus = bool(inference.get("self_ensemble"))
    standing = standing_of_weights(cfg, loaded, plus, stated=how.published)
    if standing.why:
        reporter.say(f"no published name or scores: {'; '.join(standing.why)}")
    module = module.to(device)
    eval_sets = prepare_sets(cfg, reporter.warn, how.sets, how.protocols, keep_broken=True)
    if not eval_sets:
        raise UserError("there is no set to test on; name them in test_sets or by --sets")
    if loaded.network is not None:
        for eval_set in eval_sets:
            eval_set.channels = loaded.config["in_channels"]
    out = Path(how.out) if how.out else None
    if out:
        require_folder(out)  # now, not after hours of work
    extras = extra_metrics(cfg, device)
    save_dir = out / "images" if out and (how.save_images or how.report) else None
    label = how.name_in_tables or method_label(cfg, loaded, standing, plus)
    images = sum(len(s.dataset) for s in eval_sets if s.dataset is not None)
    album = Album(images, launch.rank(), launch.world_size())
    total, done, last = images * (2 if how.baseline != "none" else 1), 0, None
    told: set[str] = set()

    def failed(text: str) -> None:
        if text not in told:  # by another row already
            told.add(text)
            reporter.alert(f"warning: {text}")

    def show(eval_set: EvalSet, name: str, *pictures: Any) -> None:
        album.add(Shot(eval_set.name, eval_set.scale, name, *pictures))

    def step(name: str) -> None:
        nonlocal done, last
        done += 1
        reporter.progress(done, total, name, None if name == last else f"testing {name} ...")
        last = name

    told_of = {"progress": step, "on_failure": failed}
    baselines = EvalResults()
    try:
        if how.baseline != "none":
            baselines = evaluate(bicubic, eval_sets, extras, "Bicubic", **told_of)
        method = network(module, device, **how.inference)
        on_picture = show if how.report else None
        results = evaluate(
            method, eval_sets, extras, label, save_dir, on_picture=on_picture, **told_of
        )
    except KeyboardInterrupt:
        kept = f"; the pictures in {save_dir} are whole" if save_dir else ""
        if reporter.rank == 0:
            with contextlib.suppress(OSError):  # of a terminal that has gone
                reporter.alert(
                    f"stopped after {done} of {total} steps{kept}. Nothing is scored until all "
                    "is done, so results.json was not written: run the same command again"
                )
        raise
    finally:
        reporter.close()
    _require_scores(results, eval_sets)
    shots = [shot for part in launch.gather(album.shots) for shot in part]
    if reporter.rank == 0:
        record = scored_record(
            cfg,
            eval_sets,
            results,
            baselines,
            standing,
            extras.described(),
            {"path": str(checkpoint), "sha256": sha256(loaded.path)},
            inference=inference,
            **facts_of(cfg, loaded, module, device, standing, results),
        )
        chosen = record["selection"] or {}
        if chosen.get("role") == "test":
            reporter.warn(
                f"this checkpoint was chosen by its {chosen['metric']} on {chosen['set']}, a test "
                "set: that column is an optimistic one"
            )
        # Files first: nobody may be reading what is printed.
        log = Path(checkpoint).parent / "log.jsonl"
        curves = read_curves(log) if how.report and log.is_file() else {}
        page = render_report(record, shots, curves) if how.report else ""
        written = write_results(out, record, page) if out else []
        reporter.table(record)
        if written:
            reporter.say(f"written: {written[0]}, {', '.join(path.name for path in written[1:])}")
    launch.barrier()
    every = [*results.entries, *baselines.entries]
    return 1 if any(not e["images"] or any(map(_incomplete, e["images"])) for e in every) else 0


def _incomplete(image: dict[str, Any]) -> bool:
    return image["psnr"] is None or "metric_errors" in image


def _require_scores(results: EvalResults, sets: list[EvalSet]) -> None:
    images = [image for entry in results.entries for image in entry["images"]]
    if all(image["psnr"] is None for image in images):
        errors = [s.error for s in sets if s.error] + [image["error"] for image in images]
        why = errors[0] if errors else "the sets are empty"
        raise UserError(f"nothing could be scored: {why}")


def _subject(
    cfg: Config, checkpoint: Path, weight_format: str | None
) -> tuple[Config, LoadedWeights, torch.nn.Module]:
    """The config, what was loaded, and the restorer on the CPU."""
    scales = scales_of(cfg)
    only_scale = scales[0] if len(scales) == 1 else None
    loaded = read_weights(checkpoint, format=weight_format, scale=only_scale)
    if loaded.network is not None:
        return foreign_subject(cfg, loaded)
    return cfg, loaded, build_module(cfg, loaded)


def build_module(cfg: Config, loaded: LoadedWeights) -> torch.nn.Module:
    """The config's restorer with the loaded weights.

    A published file, and weights that were exported, bring their own numeric convention (range,
    mean), so the backbone is built as the file says; a checkpoint must agree with the config.

    Raises:
        UserError: the file is of another model than the config's; the differences are named.
    """
    wanted = to_plain(cfg.model)
    tested = full_config(wanted["backbone"])
    several = full_config(loaded.config).get("scales")
    if set(tested.get("scales") or [None]) <= set(several or [None]):
        tested = {**tested, "scales": several}  # tested at some of its scales
    differences = network_differences(
        loaded.config, tested, _own_affairs(loaded), lambda _, a, b: a == b
    )
    if differences:
        told = [
            f"{key} is {here!r}, the config's {there!r}"
            for key, (here, there) in differences.items()
        ]
        raise UserError(
            f"{loaded.path} is of another model than {cfg.filename}: {'; '.join(told)}. "
            "Give the config (and the --cfg-options) that it was trained with"
        )
    module = MODELS.build({**wanted, "backbone": dict(loaded.config)})
    load_strictly(module.backbone, loaded.state_dict, str(loaded.path))
    module.eval()
    return module


def _own_affairs(loaded: LoadedWeights) -> set[str]:
    """What a file may have otherwise than the config, since it goes with the weights in it."""
    if loaded.format == "superres" and loaded.path.suffix != ".safetensors":
        return {"init"}
    folded = {"res_scale"} if loaded.format == "superres" else set()  # by exports
    return {"init", "rgb_mean", "rgb_std", "img_range", *folded}
