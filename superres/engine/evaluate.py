"""Scoring a model on sets of pictures, in one process or shared out over several."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.datasets.locate import split_optional
from superres.errors import UserError
from superres.evaluation.protocols import Protocol, evaluate_pair, get_protocol
from superres.evaluation.results import set_result
from superres.imaging.resize import imresize
from superres.registry import DATASETS

from . import launch
from .config import scales_of, to_plain

Method = Callable[[np.ndarray, int], np.ndarray]
"""(lq HWC, scale) to a picture in the range of ``lq``, float or integers."""


@dataclass
class EvalSet:
    """One set at one scale, and how it is scored. ``role`` is 'validation' or 'test'.

    ``key`` tells sets apart: the name, with ``_x3`` behind it where there are several scales.
    """

    name: str
    role: str
    dataset: Any
    protocols: list[Protocol]
    key: str = ""

    def __post_init__(self) -> None:
        self.key = self.key or self.name


@dataclass
class EvalResults:
    """Scores in the form of results.json: one entry per set and protocol, the mean over images.

    See :func:`superres.evaluation.results.set_result` for an entry.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)

    def of(self, key: str) -> dict[str, Any] | None:
        """The first entry of a set (``'Set5'``, ``'Set5_x3'``): its main protocol's."""
        for entry in self.entries:
            if key in (entry["set"], f"{entry['set']}_x{entry['scale']}"):
                return entry
        return None

    def scalars(self) -> dict[str, float]:
        """``{'Set5/psnr': ...}`` of each set's main protocol; ``'Set5_x3/psnr'`` where the
        entries are of several scales."""
        several = len({entry["scale"] for entry in self.entries}) > 1
        found: dict[str, float] = {}
        for entry in self.entries:
            key = f"{entry['set']}_x{entry['scale']}" if several else entry["set"]
            for metric in ("psnr", "ssim"):
                found.setdefault(f"{key}/{metric}", entry[metric])
        return found


def default_protocols(name: str, wanted: Any = None) -> list[Protocol]:
    """The protocols of a set: as the config says, else DIV2K's own for DIV2K, 'edsr-y' else."""
    if isinstance(wanted, dict) and "name" not in wanted:
        wanted = wanted.get(name, wanted.get("default"))
    if wanted is None:
        wanted = "edsr-div2k" if name.upper().startswith("DIV2K") else "edsr-y"
    return [get_protocol(p) for p in (wanted if isinstance(wanted, (list, tuple)) else [wanted])]


def prepare_sets(
    cfg: Config,
    warn: Callable[[str], None],
    only: list[str] | None = None,
    protocols: Any = None,
) -> list[EvalSet]:
    """The validation sets, then the test sets of a config, opened, each at all scales.

    Args:
        cfg: has ``val_sets``, ``test_sets``, ``data_root``, ``scale``; ``eval_dataset`` may hold
            further arguments of :class:`PairedDataset`.
        warn: told of optional sets (``'Set5?'``) that are not there.
        only: these sets instead.
        protocols: instead of the config's.

    Raises:
        UserError: a set that is not optional is missing or broken, or two have the same name.
    """
    wanted = [(spec, "validation") for spec in _as_list(cfg, "val_sets")]
    wanted += [(spec, "test") for spec in _as_list(cfg, "test_sets")]
    if only is not None:
        roles = {split_optional(spec)[0]: role for spec, role in wanted}
        wanted = [(spec, roles.get(spec, "test")) for spec in only]
    sets: list[EvalSet] = []
    scales = scales_of(cfg)
    for (spec, role), scale in itertools.product(wanted, scales):
        spec, optional = split_optional(spec)
        options = {"type": "PairedDataset", **to_plain(cfg.get("eval_dataset", {}))}
        options.update(name=spec, data_root=cfg.get("data_root", "."), scale=scale)
        try:
            dataset = DATASETS.build(options)
        except UserError as error:
            from superres.datasets.locate import locate

            if optional:
                try:
                    locate(spec, options["data_root"], scale)
                except UserError:
                    if scale == scales[0]:
                        warn(f"{spec}: left out of the {role}: {error}")
                    continue
            raise
        same = [s for s in sets if (s.name, s.dataset.scale) == (dataset.name, scale)]
        if same:
            if same[0].dataset.gt.path == dataset.gt.path:
                continue
            raise UserError(
                f"two sets are called {dataset.name!r} ({dataset.gt.path}); rename a folder, since "
                "tables go by name"
            )
        chosen = default_protocols(dataset.name, protocols or to_plain(cfg.get("protocols")))
        key = dataset.name if len(scales) == 1 else f"{dataset.name}_x{scale}"
        sets.append(EvalSet(dataset.name, role, dataset, chosen, key))
    return sets


def _as_list(cfg: Config, key: str) -> list[str]:
    value = cfg.get(key) or []
    return [value] if isinstance(value, str) else [str(v) for v in value]


def bicubic(lq: np.ndarray, scale: int) -> np.ndarray:
    """The baseline row of tables: MATLAB's bicubic."""
    return imresize(lq, scale=scale)


def network(module: torch.nn.Module, device: torch.device, **options: Any) -> Method:
    """A restorer as a method: integers in, unrounded floats in the same range out."""

    def apply(lq: np.ndarray, scale: int) -> np.ndarray:
        batch = torch.from_numpy(np.array(lq))[None]  # a copy: packed pictures are read-only
        data = module.data_preprocessor({"inputs": batch.to(device)}, False)
        if hasattr(module, "set_scale"):
            module.set_scale(scale)
        output = module.predict(data["inputs"], **options)
        peak = 65535.0 if lq.dtype == np.uint16 else 255.0
        return output[0].float().permute(1, 2, 0).mul(peak).cpu().numpy()

    return apply


def quantise(picture: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round and clamp to integers: what is saved, and what most protocols score."""
    if picture.dtype == dtype:
        return picture
    return np.clip(np.rint(picture), 0, np.iinfo(dtype).max).astype(dtype)


def evaluate(
    model: torch.nn.Module | Method,
    sets: list[EvalSet],
    device: torch.device,
    save_dir: Path | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] | None = None,
    label: str = "",
    **options: Any,
) -> EvalResults | None:
    """Score a model, or any method, on sets; every image exactly once over all ranks.

    Args:
        model: a restorer, or a :data:`Method`.
        sets: from :func:`prepare_sets`.
        device: where a restorer lies.
        save_dir: keep results as ``SET/xSCALE/NAME.png`` there.
        interrupted: asked before each image; None is returned once it says so.
        progress: told the name of the set after each image of this rank.
        label: the method's name in tables.
        **options: of the restorer's ``predict``.
    """
    method = model
    if isinstance(model, torch.nn.Module):
        was_training = model.training
        model.eval()
        method = network(model, device, **options)
    local = []
    stopped = False
    with torch.inference_mode():
        for number, eval_set in enumerate(sets):
            for index in _share(eval_set):
                if interrupted():
                    stopped = True
                    break
                local.append((number, index, _score(method, eval_set, index, save_dir)))
                if progress:
                    progress(eval_set.name)
    if isinstance(model, torch.nn.Module):
        model.train(was_training)
    parts = launch.gather((stopped, local))
    if any(stopped for stopped, _ in parts):
        return None
    return _collect(sets, [entry for _, entries in parts for entry in entries], label)


def _share(eval_set: EvalSet) -> Iterator[int]:
    """This rank's images, the largest first, so that the ranks end at about the same time."""
    store = eval_set.dataset.gt
    shapes = [store.shape_at(i) for i in range(len(store))]
    order = sorted(range(len(store)), key=lambda i: (-shapes[i][0] * shapes[i][1], i))
    yield from order[launch.rank() :: launch.world_size()]


def _score(method: Method, eval_set: EvalSet, index: int, save_dir: Path | None) -> dict[str, Any]:
    dataset = eval_set.dataset
    lq, gt = dataset.load(index)
    lq, name = np.asarray(lq), dataset.gt.name_at(index)
    started = time.perf_counter()
    sr = method(lq, dataset.scale)
    seconds = time.perf_counter() - started
    if not np.isfinite(sr).all():
        raise UserError(
            f"the network's output for {name} of {eval_set.name} has NaN or infinite pixels: the "
            "weights are broken (a diverged training, or another numeric convention)"
        )
    if save_dir is not None:
        from superres.imaging.io import write_image

        target = save_dir / eval_set.name / f"x{dataset.scale}" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, quantise(sr, gt.dtype))
    scores = {}
    for protocol in eval_set.protocols:
        scores[protocol.name] = evaluate_pair(_as_gt(sr, gt), gt, dataset.scale, protocol)
    return {"name": name, "seconds": seconds, "scores": scores}


def _as_gt(sr: np.ndarray, gt: np.ndarray) -> np.ndarray:
    # One channel is two dimensions to the metrics.
    return sr[:, :, 0] if sr.ndim == 3 and sr.shape[2] == 1 and gt.ndim == 2 else sr


def _collect(
    sets: list[EvalSet], gathered: list[tuple[int, int, dict[str, Any]]], label: str
) -> EvalResults:
    results = EvalResults()
    gathered.sort(key=lambda entry: entry[:2])
    for number, eval_set in enumerate(sets):
        images = [entry for n, _, entry in gathered if n == number]
        for protocol in eval_set.protocols:
            rows = [
                {"name": e["name"], **e["scores"][protocol.name], "seconds": e["seconds"]}
                for e in images
            ]
            scale = eval_set.dataset.scale
            entry = set_result(eval_set.name, scale, protocol.name, rows, label)
            results.entries.append({**entry, "role": eval_set.role})
    return results
