"""Reading configs of MMEditing 0.x (``BasicRestorer``) and MMagic 1.x (``BaseEditModel``).

A `Reader` hands out each key once (``take``), makes the error for what cannot be translated
(``refuse``) and lists the keys that nobody took (``left``). ``old`` is True for 0.x; ``place`` and
``where`` name a key and the file in messages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .recipe import Reader, Recipe, Tree, changes, loss_of, patch_of, protocol_of, renamed, set_of

_COMMON = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "mid_channels": "channels",
    "num_blocks": "num_blocks",
    "upscale_factor": "scale",
    "init_cfg": None,
    "pretrained": None,
}
_NETWORKS: dict[str, tuple[dict[str, str | None], Tree]] = {
    "EDSR": (
        {**_COMMON, **{key: key for key in ("res_scale", "rgb_mean", "rgb_std")}},
        {"img_range": 1.0, "init": "mmediting"},
    ),
    "MSRResNet": (_COMMON, {"init": "mmediting"}),
    "SRCNN": ({**_COMMON, "channels": "channels", "kernel_sizes": "kernel_sizes"}, {}),
    "RDN": ({**_COMMON, "num_layers": "num_layers", "channel_growth": "growth"}, {}),
    "RRDBNet": ({**_COMMON, "growth_channels": "growth"}, {}),
}
"""Class (in 1.x perhaps with Net behind) -> our names of its arguments, and what we add."""

# Transforms whose work our datasets do.
_NOT_NEEDED = (
    *("LoadImageFromFile", "RescaleToZeroOne", "SetValues", "Collect", "ImageToTensor"),
    *("PackInputs", "PackEditInputs", "CopyValues", "ToTensor"),
)


def recognises(tree: Mapping[str, Any]) -> bool:
    """Whether a config's content is one of theirs."""
    model = tree.get("model")
    return isinstance(model, dict) and isinstance(model.get("generator"), dict)


def translate(tree: Mapping[str, Any], where: str) -> Recipe:
    """Translate a training config into superres's keys.

    Args:
        tree: its content, with ``_base_`` merged.
        where: names its file in messages.

    Raises:
        UserError: something would train differently here: adversarial training, or a network,
            loss, transform, normalisation or schedule without a counterpart.
    """
    reader, old = Reader(tree, where), "train_dataloader" not in tree
    recipe = Recipe("MMEditing 0.x" if old else "MMagic 1.x", paths=reader.paths)
    config = recipe.config
    _model(reader, config, old)
    test_cfg = reader.take("test_cfg") if old else {}
    test_cfg = {**(test_cfg or {}), **(reader.take("model.test_cfg") or {})}
    _data(reader, recipe, old, test_cfg)
    _schedule(reader, recipe)
    _runtime(reader, recipe, where)
    return recipe


def _model(reader: Reader, config: Tree, old: bool) -> None:
    """Set ``model`` and ``scale``."""
    kind = reader.take("model.type")
    if kind not in ("BasicRestorer", "BaseEditModel"):
        raise reader.refuse("model.type", kind)
    generator = reader.take("model.generator")
    name = str(generator.pop("type", None)).rpartition(".")[2]
    ours = name if name in _NETWORKS else name.removesuffix("Net")
    if ours not in _NETWORKS:
        raise reader.refuse("model.generator.type", name)
    names, implied = _NETWORKS[ours]
    backbone = {"type": ours, **renamed(reader, "model.generator", generator, names), **implied}
    if ours == "SRCNN":
        widths = list(backbone.get("channels", (3, 64, 32, 3)))
        backbone |= {"in_channels": widths[0], "out_channels": widths[-1], "channels": widths[1:-1]}
    config["scale"] = backbone.pop("scale", 4)
    loss = loss_of(reader, "model.pixel_loss", reader.take("model.pixel_loss"))
    config["model"] = {"type": "Restorer", "backbone": backbone, "loss": loss}
    given = reader.take("model.data_preprocessor") or reader.take("data_preprocessor") or {}
    mean, std = given.get("mean", [127.5]), given.get("std", [127.5])  # MMagic's defaults
    if not old and (any(mean) or any(s != 255 for s in std)):
        raise reader.refuse(
            "model.data_preprocessor", given, "must bring images to [0, 1]: mean 0, std 255"
        )
    reader.take("model.train_cfg")


def _data(reader: Reader, recipe: Recipe, old: bool, test_cfg: Tree) -> None:
    """Set the training set and its pipeline, and the sets of validation and test."""
    config, scale = recipe.config, recipe.config["scale"]
    config["data_root"] = "."  # their paths are relative to the current folder
    if old:
        data = reader.take("data") or {}
        loader = {**data, **(data.get("train_dataloader") or {})}
        batch, workers = loader.get("samples_per_gpu", 1), loader.get("workers_per_gpu", 0)
        train, place = data.get("train"), "data.train"
        detail = {k: test_cfg[k] for k in ("crop_border", "convert_to") if k in test_cfg}
        metrics = [{"type": name, **detail} for name in test_cfg.get("metrics") or ()]
        scored = [[(f"data.{key}", data.get(key), metrics)] for key in ("val", "test")]
    else:
        loader = reader.take("train_dataloader")
        batch, workers = loader.get("batch_size", 1), loader.get("num_workers", 0)
        train, place = loader.get("dataset"), "train_dataloader.dataset"
        scored = _scored(reader)
    config["train_dataloader"] = {"batch_size": batch}
    config["num_workers"] = workers
    while isinstance(train, dict) and train.get("type") == "RepeatDataset":
        train = train["dataset"]
    if not isinstance(train, dict):
        raise reader.refuse(place, train)
    config["train_set"] = _set(reader, place, train)
    config["train_set"].pop("name")
    _pipeline(reader, recipe, train.get("pipeline") or [], old)
    config |= _evaluation(reader, recipe.notes, scored, scale, old)


Scored = list[tuple[str, Tree | None, list[Tree]]]
"""Datasets of validation or test: key (for messages), config, metrics that score it."""


def _scored(reader: Reader) -> list[Scored]:
    """Return two lists, of validation and of test; 1.x only."""
    found = []
    for role in ("val", "test"):
        sets = [one.get("dataset") for one in _as_list(reader.take(f"{role}_dataloader"))]
        evaluators = _as_list(reader.take(f"{role}_evaluator"))
        if len(sets) < 2 or len(evaluators) != len(sets):  # all of them are for each set
            evaluators = [evaluators] * len(sets)
        place = f"{role}_dataloader.dataset"
        found.append([(place, one, _metrics(by)) for one, by in zip(sets, evaluators)])
    return found


def _metrics(evaluator: Any) -> list[Any]:
    """The metrics of an evaluator: a metric, a dict with ``metrics``, or lists of both, nested."""
    if isinstance(evaluator, dict) and "metrics" in evaluator:
        return _metrics(evaluator["metrics"])
    if isinstance(evaluator, list | tuple):
        return [metric for one in evaluator for metric in _metrics(one)]
    return [] if evaluator is None else [evaluator]


def evaluation(tree: Tree, where: str) -> list[str]:
    """Replace val_dataloader, test_dataloader and their evaluators in a config of ours by our keys.

    Args:
        tree: the config, changed in place.
        where: names its file in messages.

    Returns:
        Notes on what has no counterpart.

    Raises:
        UserError: superres cannot read a dataset.
    """
    reader, notes = Reader(tree, where), []
    scored = _scored(reader)
    sets = [one for role in scored for one in role]
    if not sets or not all(dataset for _, dataset, _ in sets):
        return []  # which is refused elsewhere
    found = _evaluation(reader, notes, scored, tree.get("scale"), False)
    for role, own in zip(("val", "test"), scored):
        for part in ("dataloader", "evaluator"):
            tree.pop(f"{role}_{part}", None)
        if own:
            tree[f"{role}_sets"] = found[f"{role}_sets"]
    if any(metrics for _, _, metrics in sets):
        tree["protocols"] = found["protocols"]
    return notes


def _evaluation(
    reader: Reader, notes: list[str], scored: list[Scored], scale: int, old: bool
) -> Tree:
    """``val_sets``, ``test_sets`` and ``protocols`` of their data sets and metrics."""
    sets: list[list[Any]] = []
    protocols: dict[str, list[Any]] = {}
    for role in scored:
        sets.append([])
        for place, dataset, metrics in role:
            if not dataset:
                continue
            found = _set(reader, place, dataset)
            name = found["name"] if isinstance(found, dict) else found
            here = protocols.setdefault(name, [])
            here += [p for p in _protocols(reader, notes, metrics, scale, old) if p not in here]
            sets[-1].append(found)
    val_sets, tests = sets
    test_sets = [
        {**s, "validate": False} if isinstance(s, dict) else s for s in tests if s not in val_sets
    ]
    each = [own[0] if len(own) == 1 else own for own in protocols.values()]
    if all(own == each[0] for own in each):  # one for all sets
        by = each[0] if each else protocol_of(scale, 0, False, not old)
    else:
        by = dict(zip(protocols, each))
    return {"val_sets": val_sets, "test_sets": test_sets, "protocols": by}


def _protocols(
    reader: Reader, notes: list[str], metrics: list[Any], scale: int, old: bool
) -> list[Any]:
    """The protocols that score a set as these metrics do, each once."""
    found, names = [], []
    for metric in metrics or [{"type": "PSNR"}]:
        metric = {"type": metric} if isinstance(metric, str) else metric
        names.append(metric.get("type"))
        if names[-1] not in ("PSNR", "SSIM"):
            notes.append(f"the metric {names[-1]} is not computed")
            continue
        known = ("type", "crop_border", "convert_to", "prefix", "scaling", "device")
        if odd := [
            k for k in metric if k not in known and not k.endswith(("_key", "_device", "_order"))
        ]:
            raise reader.refuse("an evaluator's metric", metric, f"has the key {odd[0]}")
        border, luma = metric.get("crop_border", 0), str(metric.get("convert_to")).lower() == "y"
        found.append(protocol_of(scale, border, luma, rounded=old))
        if old and border and not luma and names[-1] == "SSIM":
            found.append("mmediting-ssim-bug")
            notes.append("its SSIM is of the blue channel alone, the column mmediting-ssim-bug")
    return [one for i, one in enumerate(found) if one not in found[:i]]


def _set(reader: Reader, place: str, dataset: Tree) -> Tree:
    """A dataset as ``dict(gt=, lq=, ...)``; a `PairedDataset` of ours may be just its name."""
    kind = str(dataset.get("type")).rpartition(".")[2]
    if kind == "PairedDataset":
        given = {key: dataset[key] for key in ("gt", "lq", "name") if dataset.get(key)}
        return given if "gt" in given else given.get("name")
    if kind in ("SRAnnotationDataset", "SRFolderDataset", "SRLmdbDataset"):
        keys = ("gt_folder", "lq_folder", "ann_file")
        return set_of(*(reader.path(f"{place}.{key}", dataset.get(key)) for key in keys))
    if kind != "BasicImageDataset":
        raise reader.refuse(f"{place}.type", kind)
    root, prefix = dataset.get("data_root") or "", dataset["data_prefix"]
    lq, only = "img" if "img" in prefix else "lq", dataset.get("ann_file")
    return set_of(
        reader.path(f"{place}.data_prefix.gt", os.path.join(root, prefix["gt"])),
        reader.path(f"{place}.data_prefix.{lq}", os.path.join(root, prefix[lq])),
        reader.path(f"{place}.ann_file", os.path.join(root, only) if only else None),
        (dataset.get("metainfo") or {}).get("dataset_type", ""),
    )


def _pipeline(reader: Reader, recipe: Recipe, steps: list[Tree], old: bool) -> None:
    """Set ``train_pipeline`` and ``lq_patch_size``; the steps must bring images to [0, 1]."""
    found, in_range, rgb = [], not old, not old
    for step in steps:
        step = dict(step)
        kind = str(step.pop("type", None)).rpartition(".")[2]
        if kind == "PairedRandomCrop":
            size, scale = step["gt_patch_size"], recipe.config["scale"]
            recipe.config["lq_patch_size"] = patch_of(reader, "gt_patch_size", size, scale)
            found.append({"type": kind})
        elif kind == "Flip":
            found.append({"type": "RandomFlip", "direction": step.get("direction", "horizontal")})
            found[-1] |= _prob(step.get("flip_ratio", 0.5))
        elif kind == "RandomTransposeHW":
            prob = _prob(step.get("transpose_ratio", 0.5))
            found.append({"type": "RandomTranspose", **prob})
        elif kind == "Normalize":
            std = set(step.get("std", [1]))
            if any(step.get("mean", [0])) or std not in ({1}, {255}):
                raise reader.refuse(
                    "train_pipeline: Normalize", step, "must bring images to [0, 1]"
                )
            in_range, rgb = in_range or std == {255}, rgb or bool(step.get("to_rgb"))
        elif kind in _NOT_NEEDED:
            in_range = in_range or kind == "RescaleToZeroOne"
            rgb = rgb or step.get("channel_order") == "rgb"
        else:
            raise reader.refuse("train_pipeline", {"type": kind, **step})
    if not in_range:
        raise reader.refuse("train_pipeline", "no RescaleToZeroOne", "trains on 0..255")
    if not rgb:
        recipe.notes.append("images are RGB here, and BGR there")
    recipe.config["train_pipeline"] = [*found, {"type": "PackInputs"}]


def _prob(value: float) -> Tree:
    """The argument ``prob`` of a transform; nothing for 0.5, our default."""
    return {} if value == 0.5 else {"prob": value}


def _schedule(reader: Reader, recipe: Recipe) -> None:
    """Set ``optim_wrapper``, ``amp``, ``max_iters`` and ``param_scheduler``."""
    config = recipe.config
    wrapper = reader.take("optim_wrapper")
    if wrapper is None:
        optimizer = reader.take("optimizers") or reader.take("optimizer") or {}
        wrapper = {"optimizer": optimizer.get("generator", optimizer)}
        clip = reader.take("optimizer_config.grad_clip")
        wrapper |= {"clip_grad": clip} if clip else {}
    wrapper = dict(wrapper.get("generator", wrapper))
    wrapper.pop("constructor", None)
    accumulated = wrapper.pop("accumulative_counts", 1)
    if accumulated > 1:  # there an iteration is a fraction of an update, here a whole one
        raise reader.refuse(
            "optim_wrapper.accumulative_counts", accumulated, "must be 1: write accumulate"
        )
    config["optim_wrapper"] = {"type": "OptimWrapper", **wrapper}
    if reader.take("fp16") or wrapper.get("type") == "AmpOptimWrapper":
        config["amp"] = "float16"
        config["optim_wrapper"] = {"type": "OptimWrapper", "optimizer": wrapper["optimizer"]}
    config["max_iters"] = (
        reader.take("train_cfg.max_iters")
        or reader.take("total_iters")
        or reader.take("runner.max_iters")
    )
    if not config["max_iters"]:
        raise reader.refuse("train_cfg", reader.take("train_cfg"), "states no max_iters")
    policy = reader.take("lr_config")
    schedules = _as_list(reader.take("param_scheduler"))
    config["param_scheduler"] = _by_policy(reader, dict(policy)) if policy else schedules


# mmcv's name of an argument of a schedule -> mmengine's.
_MMENGINE_NAMES = {"min_lr": "eta_min", "min_lr_ratio": "eta_min_ratio", "period": "periods"}


def _by_policy(reader: Reader, policy: Tree) -> list[Tree]:
    """mmcv's ``lr_config`` as schedulers of mmengine."""
    kind, by_epoch = policy.pop("policy", None), policy.pop("by_epoch", True)
    steps, given = policy.pop("step", None), dict(policy)
    gamma = policy.pop("gamma", 0.1)
    if kind == "Fixed":
        return []
    if kind == "Step" and not by_epoch and not policy:
        several = {"type": "MultiStepLR", "milestones": steps}
        found = {"type": "StepLR", "step_size": steps} if isinstance(steps, int) else several
        return [{**found, "by_epoch": False, "gamma": gamma}]
    if kind in ("CosineRestart", "CosineAnnealing") and not by_epoch:
        given = {_MMENGINE_NAMES.get(key, key): value for key, value in given.items()}
        return [{"type": f"{kind}LR", "by_epoch": False, "eta_min": 0, **given}]
    raise reader.refuse("lr_config", {"policy": kind, "by_epoch": by_epoch, **given})


def _runtime(reader: Reader, recipe: Recipe, where: str) -> None:
    """Set intervals, checkpoints, seed, start, work dir; note every key that is left."""
    config = recipe.config
    config["val_interval"] = reader.take("train_cfg.val_interval") or reader.take(
        "evaluation.interval", config["max_iters"]
    )
    saved = reader.take("checkpoint_config") or reader.take("default_hooks.checkpoint") or {}
    config["checkpoint_interval"] = saved.get("interval", config["max_iters"])
    if str(saved.get("save_best") or "auto").rpartition("/")[2] not in ("auto", "PSNR"):
        recipe.notes.append(f"best.pth is chosen by PSNR, not save_best = {saved['save_best']!r}")
    kept = saved.get("max_keep_ckpts", -1)
    config["max_keep_checkpoints"] = kept if kept > 0 else None
    config["log_interval"] = (
        reader.take("log_config.interval") or reader.take("default_hooks.logger.interval") or 10
    )
    seed = reader.take("randomness.seed") or reader.take("seed")
    if seed is not None:
        config["seed"] = seed
    for key in ("load_from", "resume"):
        value = reader.take(key)
        if value:
            config[key] = value
    _environment(reader, recipe)
    folder, stem = reader.take("work_dir"), os.path.splitext(os.path.basename(where))[0]
    if folder and os.path.normpath(folder) != os.path.join("work_dirs", stem):
        config["work_dir"] = os.path.normpath(folder)
    earlier = reader.take("resume_from")
    if earlier:
        recipe.notes.append(f"resume_from = {earlier!r} is not read: --resume is for runs of ours")
    for hook in _as_list(reader.take("custom_hooks")):
        kind = str(hook.get("type")).rpartition(".")[2]
        if not kind.endswith("VisualizationHook"):
            raise reader.refuse("custom_hooks", hook)
        recipe.notes.append(f"{kind} is not run: 'superres test --save-images' writes images")
    left = reader.left("model", "optimizer_config", "randomness")
    recipe.notes += [f"{key} is not read" for key in left]


_DEFAULT_ENV = {
    "cudnn_benchmark": False,
    "mp_cfg": {"mp_start_method": "fork"},
    "dist_cfg": {"backend": "nccl"},
}


def _environment(reader: Reader, recipe: Recipe) -> None:
    """Set ``env_cfg`` (in 0.x its parts are top-level keys), logging and visualisation."""
    given = reader.take("env_cfg") or {
        "cudnn_benchmark": bool(reader.take("cudnn_benchmark")),
        "mp_cfg": {
            key: value
            for key in ("mp_start_method", "opencv_num_threads")
            if (value := reader.take(key)) is not None
        },
        "dist_cfg": reader.take("dist_params") or {},
    }
    if environment := changes(given, _DEFAULT_ENV):
        recipe.config["env_cfg"] = environment
    for key in ("log_level", "launcher"):
        value = reader.take(key)
        if value not in (None, "INFO", "none"):
            recipe.config[key] = value
    visualizer = reader.take("visualizer") or {}
    backends = visualizer.get("vis_backends") or reader.take("vis_backends") or []
    if backends := [one for one in backends if one.get("type") != "LocalVisBackend"]:
        recipe.config["vis_backends"] = backends
    kinds = [hook.get("type") for hook in _as_list(reader.take("log_config.hooks"))]
    recipe.notes += [
        f"{kind} is not run: curves are TensorBoard's"
        for kind in kinds
        if kind not in ("TextLoggerHook", "TensorboardLoggerHook")
    ]


def _as_list(value: Any) -> list[Any]:
    """A list as it is, None as an empty one, anything else as its only item."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
