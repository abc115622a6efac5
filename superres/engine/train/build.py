"""A run's parts and hooks, made from its config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper

from superres.datasets.joined import build_dataset, leaves
from superres.datasets.pair_check import check_pairs
from superres.engine.config.mmengine_hooks import check_priority
from superres.engine.config.types import blame
from superres.engine.config.values import to_plain
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.engine.test.sets import EvalSet, prepare_sets
from superres.errors import UserError, some
from superres.inference.backends.pytorch import upscale_tensor
from superres.registry import HOOKS, MODELS

from .load_from import load_from
from .optim import LastScalars, optim_config, schedulers
from .speed.options import Fast, resolve
from .speed.recompute import recompute
from .step import TrainStep
from .trainer import Trainer


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
    fast, notes = resolve(
        to_plain(cfg.get("fast", "auto")),
        to_plain(cfg.get("amp", False)),
        device,
        bool(cfg.get("deterministic")),
        launch.world_size(),
    )
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
    optim_wrapper.message_hub = LastScalars()
    parts = cfg.get("accumulate", 1)
    step = TrainStep(model, module, optim_wrapper, device, fast, parts, log.say)
    schedules = schedulers(cfg, optim_wrapper)
    trainer = Trainer(cfg, work_dir, log, dataset, left_out, eval_sets, step, schedules)
    for hook in [*hooks, *build_hooks(cfg, log.warn)]:
        trainer.register_hook(hook)
    trainer.call_hook("before_run")
    return trainer


def training_set(cfg: Config) -> Any:
    """The dataset of ``train_dataloader``, which draws by the config's seed.

    Raises:
        UserError: it cannot be built or read, or its pairs do not belong together.
    """
    dataset_cfg = {**cfg.train_dataloader["dataset"], "seed": cfg.seed}
    with blame("train_dataloader.dataset", dataset_cfg):
        dataset = build_dataset(dataset_cfg)
    for _, part in leaves(dataset):
        check_pairs(part)
    return dataset


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
    if cfg.get("recompute"):
        with blame("recompute", None):
            recompute(backbone, to_plain(cfg.recompute))
    return module


def build_hooks(cfg: Config, warn: Callable[[str], None]) -> list[Hook]:
    """The hooks of every run and ``custom_hooks``, with the priorities that they state."""

    def hook(kind: str, **keys: str) -> dict[str, Any]:
        """Its arguments stand at the top of the config."""
        given = {argument: to_plain(cfg[key]) for argument, key in keys.items() if key in cfg}
        return {"type": kind, **given}

    ema = to_plain(cfg.get("ema"))
    saving = {"interval": "checkpoint_interval", "max_keep_ckpts": "max_keep_checkpoints"}
    wanted = [
        ("ema", {"type": "EMAHook", **(ema if isinstance(ema, dict) else {"decay": ema})}),
        ("logger", hook("LoggerHook", interval="log_interval")),
        ("param_scheduler", hook("ParamSchedulerHook")),
        ("checkpoint", hook("CheckpointHook", **saving)),
        ("evaluation", hook("EvaluationHook", interval="val_interval", save_best="save_best")),
        ("tensorboard", hook("TensorboardHook")),
    ]
    off = {"ema": not ema, "tensorboard": cfg.get("tensorboard", True) is False}
    wanted = [(name, hook_cfg) for name, hook_cfg in wanted if not off.get(name)]
    wanted += [("custom_hooks", to_plain(hook_cfg)) for hook_cfg in cfg.get("custom_hooks") or []]
    found = []
    for name, hook_cfg in wanted:
        priority = hook_cfg.pop("priority", None)
        with blame(name, hook_cfg):
            built = HOOKS.build(hook_cfg)
        if priority is not None:
            check_priority(name, priority)
            built.priority = priority
        if name == "custom_hooks":
            # Those of a test, and one of a validation.
            triggered = built.get_triggered_stages()
            stages = [s for s in triggered if "_test" in s or s == "before_val_iter"]
            if stages:
                warn(f"{type(built).__name__}: its {', '.join(stages)} will not be called")
        found.append(built)
    return found


_PART = 32  # input pixels, and so many more at most
_TRIED = 8


def wrap(module: torch.nn.Module, device: torch.device, world_size: int) -> torch.nn.Module:
    """The module itself, or within a DistributedDataParallel where there are several processes.

    Raises:
        UserError: several processes, and a ``train_step`` that does not average their gradients.
    """
    if world_size == 1 or getattr(module, "averages_gradients", False):
        return module
    from mmengine.model import BaseModel, MMDistributedDataParallel

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
    sizes = {
        tuple(_PART + side // s.scale % _PART for side in s.dataset.gt.shape_at(i)[:2])
        for s in sets
        for i in range(min(len(s.dataset), _TRIED))
    }
    was_training, random = network.training, torch.get_rng_state()
    network.eval()
    for height, width in sorted(sizes)[:_TRIED]:
        part = torch.zeros(1, channels, height, width, device=device)
        try:
            upscale_tensor(network, part, tile="off")
        except Exception as error:  # whatever somebody else's forward raises
            raise UserError(
                f"config: model.backbone: {type(network).__name__} fails on an image of "
                f"{width}x{height} px, as validation would: {error}"
            ) from error
    network.train(was_training)
    torch.set_rng_state(random)


def too_small(dataset: Any, warn: Callable[[str], None]) -> list[int]:
    """Pictures that no patch can be cut from, told by name; a set of nothing else is an error."""
    left_out = dataset.too_small() if hasattr(dataset, "too_small") else []
    if not left_out:
        return []
    names = [dataset.gt.name_at(i) for i in left_out]
    shown = some(names)
    if len(left_out) == len(dataset):
        raise UserError(
            f"{dataset.gt.path}: every picture is smaller than the patch ({shown}); lower "
            "lq_patch_size (or gt_patch_size), or take larger pictures"
        )
    warn(
        f"{len(left_out)} of {len(dataset)} pictures of {dataset.gt.path} are smaller than the "
        f"patch and are left out: {shown}. Lower lq_patch_size to use them"
    )
    return left_out
