"""Configs of MMEditing 0.x (``BasicRestorer``) and MMagic 1.x (``BaseEditModel``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .recipe import Reader, Recipe, Tree, loss_of, patch_of, protocol_of, renamed, set_of

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
    recipe = Recipe("MMEditing 0.x" if old else "MMagic 1.x")
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
        train = data.get("train")
        values, tests, scores = [data.get("val")], [data.get("test")], [test_cfg]
    else:
        loader = reader.take("train_dataloader")
        batch, workers = loader.get("batch_size", 1), loader.get("num_workers", 0)
        train = loader.get("dataset")
        values = [d.get("dataset") for d in _listed(reader.take("val_dataloader"))]
        tests = [d.get("dataset") for d in _listed(reader.take("test_dataloader"))]
        scores = _listed(reader.take("val_evaluator")) + _listed(reader.take("test_evaluator"))
    config["train_dataloader"] = {"batch_size": batch}
    config["num_workers"] = workers
    while isinstance(train, dict) and train.get("type") == "RepeatDataset":
        train = train["dataset"]
    if not isinstance(train, dict):
        raise reader.refuse("data.train" if old else "train_dataloader.dataset", train)
    config["train_set"] = _set(reader, train)
    config["train_set"].pop("name")
    _pipeline(reader, recipe, train.get("pipeline") or [], old)
    config |= _evaluation(reader, recipe.notes, values, tests, scores, test_cfg, scale, old)


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
    loaders = [tree.get(f"{role}_dataloader") for role in ("val", "test")]
    scores = [tree.get(f"{role}_evaluator") for role in ("val", "test")]
    values, tests = ([d.get("dataset") for d in _listed(one)] for one in loaders)
    if not all([*values, *tests]) or not [*values, *tests]:
        return []  # which is refused elsewhere
    reader, notes = Reader({}, where), []
    flat = [score for one in scores for score in _listed(one)]
    found = _evaluation(reader, notes, values, tests, flat, {}, tree.get("scale"), False)
    for role, sets in (("val", values), ("test", tests)):
        for part in ("dataloader", "evaluator"):
            tree.pop(f"{role}_{part}", None)
        if sets:
            tree[f"{role}_sets"] = found[f"{role}_sets"]
    if flat:
        tree["protocols"] = found["protocols"]
    return notes


def _evaluation(
    reader: Reader,
    notes: list[str],
    values: list[Tree | None],
    tests: list[Tree | None],
    scores: list[Any],
    test_cfg: Tree,
    scale: int,
    old: bool,
) -> Tree:
    """``val_sets``, ``test_sets`` and ``protocols`` of their data sets and metrics."""
    known = [_set(reader, dataset) for dataset in values if dataset]
    others = [_set(reader, dataset) for dataset in tests if dataset]
    others = [
        {**one, "validate": False} if isinstance(one, dict) else one
        for one in others
        if one not in known
    ]
    metrics = [m for s in scores for one in _listed(s) for m in _listed(one.get("metrics", one))]
    names = [m if isinstance(m, str) else m.get("type") for m in metrics]
    notes += [f"the metric {n} is not computed" for n in names if n not in ("PSNR", "SSIM")]
    detail = next((m for m in metrics if isinstance(m, dict) and "crop_border" in m), test_cfg)
    border = detail.get("crop_border", 0)
    used = [m for m in metrics if isinstance(m, dict) and m.get("type") in ("PSNR", "SSIM")]
    for metric in used:
        words = ("type", "crop_border", "convert_to", "prefix", "input_order", "scaling", "device")
        odd = [
            k for k in metric if k not in words and not k.endswith(("_key", "_device", "_order"))
        ]
        if odd or metric.get("crop_border", border) != border:
            raise reader.refuse("an evaluator's metric", metric, "has another crop_border, or key")
    luma = str(detail.get("convert_to")).lower() == "y"
    protocols: Any = protocol_of(scale, border, luma, rounded=old)
    if old and border and not luma and "SSIM" in names:
        protocols = [protocols, "mmediting-ssim-bug"]
        notes.append("its SSIM is of the blue channel alone, the column mmediting-ssim-bug")
    return {"val_sets": known, "test_sets": others, "protocols": protocols}


def _set(reader: Reader, dataset: Tree) -> Tree:
    kind = str(dataset.get("type")).rpartition(".")[2]
    if kind == "PairedDataset":
        given = {key: dataset[key] for key in ("gt", "lq", "name") if dataset.get(key)}
        return given if "gt" in given else given.get("name")
    if kind in ("SRAnnotationDataset", "SRFolderDataset", "SRLmdbDataset"):
        gt, lq = dataset["gt_folder"], dataset["lq_folder"]
        return set_of(gt, lq, dataset.get("ann_file"))
    if kind != "BasicImageDataset":
        raise reader.refuse("a dataset's type", kind)
    root, prefix = dataset.get("data_root") or "", dataset["data_prefix"]
    only = dataset.get("ann_file") or None
    return set_of(
        os.path.join(root, prefix["gt"]),
        os.path.join(root, prefix.get("img", prefix.get("lq"))),
        os.path.join(root, only) if only else None,
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
        given["eta_min"] = given.pop("min_lr", 0)
        return [{"type": f"{kind}LR", "by_epoch": False, **given}]
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


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
