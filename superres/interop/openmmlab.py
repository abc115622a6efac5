"""Configs of MMEditing 0.x (``BasicRestorer``) and MMagic 1.x (``BaseEditModel``)."""

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
"""Per network (0.x; 1.x puts Net behind some): our words for its arguments, and what it implies."""

_NOTHING_TO_DO = (
    *("LoadImageFromFile", "RescaleToZeroOne", "SetValues", "Collect", "ImageToTensor"),
    *("PackInputs", "PackEditInputs", "CopyValues", "ToTensor"),
)


def recognises(tree: Mapping[str, Any]) -> bool:
    """Whether a config's content is one of theirs."""
    model = tree.get("model")
    return isinstance(model, dict) and isinstance(model.get("generator"), dict)


def translate(tree: Mapping[str, Any], where: str) -> Recipe:
    """A config of theirs in superres's keys.

    Args:
        tree: its content, inheritance done.
        where: names its file in messages.

    Raises:
        UserError: what would train otherwise here: adversarial training, networks, losses,
            transforms, normalisations and schedules that have no counterpart.
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
    kind = reader.take("model.type")
    if kind not in ("BasicRestorer", "BaseEditModel"):
        raise reader.refuse("model.type", kind)
    generator = reader.take("model.generator")
    name = str(generator.pop("type", None)).rpartition(".")[2]
    ours = name if name in _NETWORKS else name.removesuffix("Net")
    if ours not in _NETWORKS:
        raise reader.refuse("model.generator.type", name)
    words, implied = _NETWORKS[ours]
    backbone = {"type": ours, **renamed(reader, "model.generator", generator, words), **implied}
    if ours == "SRCNN":
        widths = list(backbone.get("channels", (3, 64, 32, 3)))
        backbone |= {"in_channels": widths[0], "out_channels": widths[-1], "channels": widths[1:-1]}
    config["scale"] = backbone.pop("scale", 4)
    loss = loss_of(reader, "model.pixel_loss", reader.take("model.pixel_loss"))
    config["model"] = {"type": "Restorer", "backbone": backbone, "loss": loss}
    numbers = reader.take("model.data_preprocessor") or reader.take("data_preprocessor") or {}
    shift, spread = numbers.get("mean", [127.5]), numbers.get("std", [127.5])
    if not old and (any(shift) or any(s != 255 for s in spread)):
        raise reader.refuse(
            "model.data_preprocessor", numbers, "must bring images to [0, 1]: mean 0, std 255"
        )
    reader.take("model.train_cfg")


def _data(reader: Reader, recipe: Recipe, old: bool, test_cfg: Tree) -> None:
    config, scale = recipe.config, recipe.config["scale"]
    config["data_root"] = "."
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
"""Data sets: the key, what stands there, and the metrics that it is scored by."""


def _scored(reader: Reader) -> list[Scored]:
    """The data sets of validation and of tests."""
    found = []
    for role in ("val", "test"):
        sets = [one.get("dataset") for one in _listed(reader.take(f"{role}_dataloader"))]
        each = _listed(reader.take(f"{role}_evaluator"))
        if len(sets) < 2 or len(each) != len(sets):  # all metrics are for all sets
            each = [each] * len(sets)
        place = f"{role}_dataloader.dataset"
        found.append([(place, one, _metrics(scores)) for one, scores in zip(sets, each)])
    return found


def _metrics(scores: Any) -> list[Any]:
    """The metrics of evaluators, in lists or not, by themselves or as their ``metrics``."""
    if isinstance(scores, dict) and "metrics" in scores:
        return _metrics(scores["metrics"])
    if isinstance(scores, list | tuple):
        return [metric for one in scores for metric in _metrics(one)]
    return [] if scores is None else [scores]


def evaluation(tree: Tree, where: str) -> list[str]:
    """Put our keys in the place of val_dataloader, test_dataloader and their evaluators.

    Args:
        tree: a config of ours, changed in place.
        where: names its file in messages.

    Returns:
        What has no counterpart.

    Raises:
        UserError: a data set that cannot be read here.
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
    known, tests = sets
    others = [
        {**s, "validate": False} if isinstance(s, dict) else s for s in tests if s not in known
    ]
    ways = [way[0] if len(way) == 1 else way for way in protocols.values()]
    same = all(way == ways[0] for way in ways)
    by = (
        (ways or [protocol_of(scale, 0, False, not old)])[0] if same else dict(zip(protocols, ways))
    )
    return {"val_sets": known, "test_sets": others, "protocols": by}


def _protocols(
    reader: Reader, notes: list[str], metrics: list[Any], scale: int, old: bool
) -> list[Any]:
    """The ways in which some metrics score a set."""
    found, names = [], []
    for metric in metrics or [{"type": "PSNR"}]:
        metric = {"type": metric} if isinstance(metric, str) else metric
        names.append(metric.get("type"))
        if names[-1] not in ("PSNR", "SSIM"):
            notes.append(f"the metric {names[-1]} is not computed")
            continue
        words = ("type", "crop_border", "convert_to", "prefix", "scaling", "device")
        if odd := [
            k for k in metric if k not in words and not k.endswith(("_key", "_device", "_order"))
        ]:
            raise reader.refuse("an evaluator's metric", metric, f"has the key {odd[0]}")
        border, luma = metric.get("crop_border", 0), str(metric.get("convert_to")).lower() == "y"
        found.append(protocol_of(scale, border, luma, rounded=old))
        if old and border and not luma and names[-1] == "SSIM":
            found.append("mmediting-ssim-bug")
            notes.append("its SSIM is of the blue channel alone, the column mmediting-ssim-bug")
    return [way for i, way in enumerate(found) if way not in found[:i]]


def _set(reader: Reader, place: str, dataset: Tree) -> Tree:
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
    low, only = "img" if "img" in prefix else "lq", dataset.get("ann_file")
    return set_of(
        reader.path(f"{place}.data_prefix.gt", os.path.join(root, prefix["gt"])),
        reader.path(f"{place}.data_prefix.{low}", os.path.join(root, prefix[low])),
        reader.path(f"{place}.ann_file", os.path.join(root, only) if only else None),
        (dataset.get("metainfo") or {}).get("dataset_type", ""),
    )


def _pipeline(reader: Reader, recipe: Recipe, steps: list[Tree], old: bool) -> None:
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
            found[-1] |= _probability(step.get("flip_ratio", 0.5))
        elif kind == "RandomTransposeHW":
            chance = _probability(step.get("transpose_ratio", 0.5))
            found.append({"type": "RandomTranspose", **chance})
        elif kind == "Normalize":
            spread = set(step.get("std", [1]))
            if any(step.get("mean", [0])) or spread not in ({1}, {255}):
                raise reader.refuse(
                    "train_pipeline: Normalize", step, "must bring images to [0, 1]"
                )
            in_range, rgb = in_range or spread == {255}, rgb or bool(step.get("to_rgb"))
        elif kind in _NOTHING_TO_DO:
            in_range = in_range or kind == "RescaleToZeroOne"
            rgb = rgb or step.get("channel_order") == "rgb"
        else:
            raise reader.refuse("train_pipeline", {"type": kind, **step})
    if not in_range:
        raise reader.refuse("train_pipeline", "no RescaleToZeroOne", "trains on 0..255")
    if not rgb:
        recipe.notes.append("images are RGB here, and BGR there")
    recipe.config["train_pipeline"] = [*found, {"type": "PackInputs"}]


def _probability(chance: float) -> Tree:
    return {} if chance == 0.5 else {"prob": chance}


def _schedule(reader: Reader, recipe: Recipe) -> None:
    config = recipe.config
    wrapper = reader.take("optim_wrapper")
    if wrapper is None:
        optimizer = reader.take("optimizers") or reader.take("optimizer") or {}
        wrapper = {"optimizer": optimizer.get("generator", optimizer)}
        clip = reader.take("optimizer_config.grad_clip")
        wrapper |= {"clip_grad": clip} if clip else {}
    wrapper = dict(wrapper.get("generator", wrapper))
    wrapper.pop("constructor", None)
    parts = wrapper.pop("accumulative_counts", 1)
    if parts > 1:  # there, an iteration is a part of an update
        raise reader.refuse(
            "optim_wrapper.accumulative_counts", parts, "must be 1: write accumulate"
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
    schedules = _listed(reader.take("param_scheduler"))
    config["param_scheduler"] = _by_policy(reader, dict(policy)) if policy else schedules


_WORDS = {"min_lr": "eta_min", "min_lr_ratio": "eta_min_ratio", "period": "periods"}


def _by_policy(reader: Reader, policy: Tree) -> list[Tree]:
    """mmcv's ``lr_config``."""
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
        given = {_WORDS.get(key, key): value for key, value in given.items()}
        return [{"type": f"{kind}LR", "by_epoch": False, "eta_min": 0, **given}]
    raise reader.refuse("lr_config", {"policy": kind, "by_epoch": by_epoch, **given})


def _runtime(reader: Reader, recipe: Recipe, where: str) -> None:
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
    for hook in _listed(reader.take("custom_hooks")):
        kind = str(hook.get("type")).rpartition(".")[2]
        if not kind.endswith("VisualizationHook"):
            raise reader.refuse("custom_hooks", hook)
        recipe.notes.append(f"{kind} is not run: 'superres test --save-images' writes images")
    left = reader.left("model", "optimizer_config", "randomness")
    recipe.notes += [f"{key} is not read" for key in left]


_USUAL = {
    "cudnn_benchmark": False,
    "mp_cfg": {"mp_start_method": "fork"},
    "dist_cfg": {"backend": "nccl"},
}


def _environment(reader: Reader, recipe: Recipe) -> None:
    """``env_cfg``, which 0.x has at the top, and what shows a training."""
    given = reader.take("env_cfg") or {
        "cudnn_benchmark": bool(reader.take("cudnn_benchmark")),
        "mp_cfg": {
            key: value
            for key in ("mp_start_method", "opencv_num_threads")
            if (value := reader.take(key)) is not None
        },
        "dist_cfg": reader.take("dist_params") or {},
    }
    if environment := changes(given, _USUAL):
        recipe.config["env_cfg"] = environment
    for key in ("log_level", "launcher"):
        value = reader.take(key)
        if value not in (None, "INFO", "none"):
            recipe.config[key] = value
    visualizer = reader.take("visualizer") or {}
    backends = visualizer.get("vis_backends") or reader.take("vis_backends") or []
    if backends := [one for one in backends if one.get("type") != "LocalVisBackend"]:
        recipe.config["vis_backends"] = backends
    kinds = [hook.get("type") for hook in _listed(reader.take("log_config.hooks"))]
    recipe.notes += [
        f"{kind} is not run: curves are TensorBoard's"
        for kind in kinds
        if kind not in ("TextLoggerHook", "TensorboardLoggerHook")
    ]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
