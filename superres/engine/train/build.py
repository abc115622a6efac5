"""A run's parts and hooks, made from its config, and the weights that it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper

from superres.checkpoints import LoadedWeights, read_weights, warm_start
from superres.checkpoints.networks import full_config
from superres.checkpoints.state_dict import load_strictly
from superres.datasets.joined import build_dataset, leaves
from superres.datasets.pairing import check_pairs
from superres.engine.config.check import network_differences
from superres.engine.config.ecosystem import build_hook
from superres.engine.config.values import blame, scales_of, to_plain
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.engine.test.sets import EvalSet, prepare_sets
from superres.errors import ScaleNeeded, UserError, some
from superres.inference.backends.pytorch import upscale_tensor
from superres.models.recompute import recompute
from superres.registry import MODELS

from .optim import LastScalars, optim_config, schedulers
from .speed import Fast, resolve
from .step import TrainStep
from .trainer import Trainer

_PART = 32  # input pixels, and so many more at most
_TRIED = 8
# What may differ: the scale is what a warm start is about, and how weights are drawn is past.
_FREE = {"scale", "scales", "init"}


def build_trainer(
    cfg: Config, device: torch.device, work_dir: Path, log: RunLog, hooks: Sequence[Hook] = ()
) -> Trainer:
    """Build everything that a config names, and let the hooks look at it.

    Args:
        cfg: complete and checked, with a seed.
        device: from :func:`superres.engine.distributed.launch.join`.
        work_dir: exists and is ours; nothing is written there yet.
        log: where lines and figures go.
        hooks: further hooks, besides those of the config.

    Raises:
        UserError: whatever the config names cannot be built or read.
    """
    wanted = cfg.get("speed", "auto"), cfg.get("amp", False)
    fast, notes = resolve(*wanted, device, bool(cfg.get("deterministic")), launch.world_size())
    for note in notes:
        log.warn(note)
    dataset = training_set(cfg)
    left_out = too_small(dataset, log.warn)
    eval_sets = prepare_sets(cfg, log.warn)
    for scored in eval_sets:
        check_pairs(scored.dataset, 4)
    module = _restorer(cfg, eval_sets, device, fast, log)
    model = wrap(module, device, launch.world_size())
    with blame("optim_wrapper", cfg.optim_wrapper):
        optim_wrapper = build_optim_wrapper(module, optim_config(cfg, fast, device))
    named = dict(module.named_parameters())
    for part in (cfg.optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys") or {}:
        if not any(part in name for name in named):
            log.warn(f"paramwise_cfg.custom_keys: {part!r} is in no weight's name: {some(named)}")
    optim_wrapper.message_hub = LastScalars()
    step = TrainStep(model, optim_wrapper, device, fast, cfg.get("accumulate", 1), log.say)
    schedules = schedulers(cfg, optim_wrapper)
    trainer = Trainer(cfg, work_dir, log, dataset, left_out, eval_sets, step, schedules)
    for hook in [*hooks, *build_hooks(cfg)]:
        trainer.register_hook(hook)
    trainer.call_hook("before_run")
    return trainer


def training_set(cfg: Config) -> Any:
    """The dataset of ``train_dataloader``, which draws by the config's seed.

    Raises:
        UserError: it cannot be built or read, or its pairs do not belong together.
    """
    dataset_cfg = {**cfg.train_dataloader["dataset"], "seed": cfg.seed}
    if dataset_cfg.get("name", "") is None:
        raise UserError("config: train_set = None: it is for tests; name a set to train on")
    with blame("train_dataloader.dataset", dataset_cfg):
        dataset = build_dataset(dataset_cfg)
    for _, part in leaves(dataset):
        check_pairs(part)
    return dataset


def too_small(dataset: Any, warn: Callable[[str], None]) -> list[int]:
    """Images that no patch can be cut from, named in a warning.

    Raises:
        UserError: the set has no others.
    """
    left_out = dataset.too_small() if hasattr(dataset, "too_small") else []
    if left_out:
        shown = some(dataset.gt.name_at(i) for i in left_out)
        what = f"{len(left_out)} of {len(dataset)} images of {dataset.gt.path}"
        text = f"{what} are smaller than the patch: {shown}; lower lq_patch_size (or gt_patch_size)"
        if len(left_out) == len(dataset):
            raise UserError(text)
        warn(f"{text} to use them")
    return left_out


def _restorer(
    cfg: Config, eval_sets: list[EvalSet], device: torch.device, fast: Fast, log: RunLog
) -> torch.nn.Module:
    """The network with its first weights, which are a function of the seed or of ``load_from``."""
    torch.manual_seed(cfg.seed)
    with blame("model", cfg.model):
        module = MODELS.build(to_plain(cfg.model)).to(device)
    backbone = module.backbone
    if cfg.get("load_from"):
        load_from(backbone, cfg, log)
    grey = (cfg.get("eval_dataset") or {}).get("channels") == "grey"
    rehearse(backbone, eval_sets, 1 if grey else 3, device)
    if fast.channels_last:
        backbone.to(memory_format=torch.channels_last)
    freeze(backbone, cfg.get("freeze") or [])
    if cfg.get("recompute"):
        with blame("recompute", None):
            recompute(backbone, to_plain(cfg.recompute))
    return module


def load_from(network: torch.nn.Module, cfg: Config, log: RunLog) -> None:
    """Fill a network from the weight file that a config's ``load_from`` names.

    Weights of the same scale must fit wholly. Those of another scale are copied where name and
    shape agree, and only the tail may differ: EDSR's x3 and x4 networks start from x2 so. The
    same goes for a file that holds a part of a network.

    Args:
        network: the backbone, changed in place.
        cfg: ``load_format`` may help with published files.
        log: gets a summary, and in its file what became of each tensor.

    Raises:
        UserError: weights of another network, or of one that sees other numbers.
    """
    config, path = to_plain(cfg.model)["backbone"], cfg.load_from
    weight_format = cfg.get("load_format")
    try:
        try:
            loaded = read_weights(path, format=weight_format)
        except ScaleNeeded:  # weights for every scale, or a name or folder of several
            loaded = read_weights(path, format=weight_format, scale=_scales(config)[0])
    except UserError as error:
        hint = " In a config the format is load_format." if "format=" in str(error) else ""
        raise UserError(f"load_from {error}{hint}") from error
    log.say(f"starting from {loaded.summary}")
    _require_same_network(config, loaded)
    if not loaded.partial and _scales(config) == _scales(loaded.config):
        load_strictly(network, loaded.state_dict, str(path))
        log.say(f"all {len(loaded.state_dict)} tensors copied")
        return
    started = warm_start(network, loaded.state_dict)
    fates = {"copied": "copied", "kept": "left as initialised", "unused": "not used"}
    for fate, outcome in fates.items():
        for key in getattr(started, fate):
            log.debug(f"load_from: {outcome}: {key}")
    log.say(started.summary)


def freeze(network: torch.nn.Module, patterns: Sequence[str]) -> None:
    """Keep weights as they are, also against decay; running statistics still follow the data.

    Args:
        patterns: names of weights within the network, or of modules, ``*`` for anything.

    Raises:
        UserError: a pattern that matches nothing, or nothing is left to train.
    """
    named = dict(network.named_parameters())
    for pattern in patterns:
        found = [n for n in named if fnmatchcase(n, pattern) or fnmatchcase(n, f"{pattern}.*")]
        if not found:
            raise UserError(f"config: freeze: no weight is called {pattern!r}; {some(named)}")
        for name in found:
            named[name].requires_grad_(False)
    if not any(weight.requires_grad for weight in named.values()):
        raise UserError(f"config: freeze = {[*patterns]}: no weight is left to train")


def _scales(config: Mapping[str, Any]) -> list[int]:
    full = full_config(config)
    return sorted(full["scales"]) if "scales" in full else [full.get("scale")]


def _require_same_network(config: Mapping[str, Any], loaded: LoadedWeights) -> None:
    """Raise UserError if the config's network would compute something else with the weights."""
    if differing := network_differences(loaded.config, config, _FREE):
        options = (f"model.backbone.{k}={v}".replace(" ", "") for k, (v, _) in differing.items())
        raise UserError(
            f"load_from {loaded.path}: these weights belong to a different network or use a "
            f"different input range or mean. The config for them: --cfg-options {' '.join(options)}"
        )


def rehearse(
    network: torch.nn.Module, sets: list[EvalSet], channels: int, device: torch.device
) -> None:
    """Upscale a part of some images with a network of a user's own, as validation will.

    Its first failure would else be that of the first validation, thousands of iterations later.
    The parts have the remainders of the images' sizes, which is what networks are choosy about.

    Raises:
        UserError: it fails on one.
    """
    if type(network).__module__.startswith("superres."):
        return
    shapes = [(s, s.dataset.gt.shape_at(i)) for s in sets for i in range(len(s.dataset))[:_TRIED]]
    sizes = {tuple(_PART + side // s.scale % _PART for side in shape[:2]) for s, shape in shapes}
    network.eval()
    for size in sorted(sizes)[:_TRIED]:
        try:
            upscale_tensor(network, torch.zeros(1, channels, *size, device=device), tile="off")
        except Exception as error:  # whatever somebody else's forward raises
            raise UserError(
                f"config: model.backbone: {type(network).__name__} fails on an image of "
                f"{size[1]}x{size[0]} px, as validation would: {error}"
            ) from error


def wrap(module: torch.nn.Module, device: torch.device, world_size: int) -> torch.nn.Module:
    """The module itself, or within a DistributedDataParallel where there are several processes.

    Raises:
        UserError: several processes, and a ``train_step`` that does not average their gradients.
    """
    if world_size == 1 or getattr(module, "averages_gradients", False):
        return module
    if type(module).train_step is not BaseModel.train_step:
        raise UserError(
            f"config: model: {type(module).__name__} has a train_step of its own; on several GPUs "
            "it must average the gradients (mmengine.dist.all_reduce_params) and say so by "
            "averages_gradients = True"
        )
    return MMDistributedDataParallel(
        module,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=getattr(module, "find_unused_parameters", False),
        gradient_as_bucket_view=True,  # no copy of all gradients beside them
    )


_HOOKS = {
    "LoggerHook": {"interval": "log_interval"},
    "ParamSchedulerHook": {},
    "CheckpointHook": {"interval": "checkpoint_interval", "max_keep_ckpts": "max_keep_checkpoints"},
    "EvaluationHook": {"interval": "val_interval", "save_best": "save_best"},
    "VisualizationHook": {},
}
"""Of every run; their arguments, by the keys that stand for them at the top of a config."""


def build_hooks(cfg: Config) -> list[Hook]:
    """The hooks of every run and ``custom_hooks``, with the priorities that they state."""
    top = to_plain(cfg)
    ema = top.get("ema")
    average = ema if isinstance(ema, dict) else {"decay": ema}
    wanted = [("ema", {"type": "EMAHook", **average})] if ema else []
    for kind, keys in _HOOKS.items():
        given = {argument: top[key] for argument, key in keys.items() if key in top}
        wanted.append((kind, {"type": kind, **given}))
    wanted += [("custom_hooks", own) for own in top.get("custom_hooks") or []]
    return [build_hook(name, node) for name, node in wanted]


def introduction(trainer: Trainer) -> list[str]:
    """What is trained, where the images of each set come from, and what of them is not used."""
    cfg, backbone = trainer.cfg, trainer.module.backbone
    scales = "+".join(f"x{scale}" for scale in scales_of(cfg))
    over = f" over {trainer.world_size} processes" if trainer.world_size > 1 else ""
    lines = [
        f"{type(backbone).__name__} {scales}, {sum(p.numel() for p in backbone.parameters()):,} "
        f"parameters, {trainer.image_count} training images, batch {cfg.global_batch_size}{over}"
        f", {trainer.device}, work dir {trainer.work_dir}"
    ]
    train = leaves(trainer.train_dataset)
    sets = [(f"train ({word})" if word else "train", part) for word, part in train]
    sets += [(f"{s.role} {s.key}", s.dataset) for s in trainer.eval_sets]
    for name, dataset in sets:
        if hasattr(dataset, "describe_sides"):
            lines.append(f"{name}: {dataset.describe_sides()}")
            lines += [f"warning: {name}: {note}" for note in dataset.notes]
    if (cfg.get("eval_dataset") or {}).get("channels") == "grey":
        lines.append("the network takes 1 channel: images are read as grey, colour ones as luma")
    return lines
