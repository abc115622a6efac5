"""Parts of a run that are made from its config: wrapper, optimiser's settings, schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from superres.engine.config.check import blame
from superres.engine.config.load import to_plain
from superres.engine.test.sets import EvalSet
from superres.errors import UserError
from superres.inference import upscale_tensor

from .speed.options import Fast, optimizer_options

_PART = 32  # input pixels, and so many more at most
_TRIED = 8


def wrap(module: torch.nn.Module, device: torch.device, world_size: int) -> torch.nn.Module:
    """The module itself, or within a DistributedDataParallel where there are several processes."""
    if world_size == 1:
        return module
    from mmengine.model import MMDistributedDataParallel

    return MMDistributedDataParallel(
        module,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=getattr(module, "find_unused_parameters", False),
    )


def schedulers(cfg: Config, optim_wrapper: OptimWrapper) -> list[Any]:
    """The config's ``param_scheduler``.

    Raises:
        UserError: one that counts epochs, or arguments that do not fit.
    """
    built = []
    for entry in cfg.get("param_scheduler") or []:
        entry = to_plain(entry)
        if entry.setdefault("by_epoch", False):
            raise UserError(
                f"config: param_scheduler {entry['type']}: training counts iterations, not "
                "epochs; write by_epoch=False"
            )
        with blame(f"param_scheduler.{len(built)}", entry):
            built.append(PARAM_SCHEDULERS.build(entry, default_args={"optimizer": optim_wrapper}))
    return built


def optim_config(cfg: Config, fast: Fast, device: torch.device) -> dict[str, Any]:
    """``optim_wrapper`` in the form that the fast step takes.

    Raises:
        UserError: ``accumulative_counts``, mmengine's way of accumulation.
    """
    config = to_plain(cfg.optim_wrapper)
    if config.pop("accumulative_counts", 1) != 1:
        raise UserError(
            "config: optim_wrapper.accumulative_counts would make an update of several iterations; "
            "write accumulate = N at the top, which cuts each iteration's batch into N parts"
        )
    if config.get("type", "OptimWrapper") in ("OptimWrapper", "AutocastOptimWrapper"):
        config = {"dtype": fast.amp or "float32", **config, "type": "AutocastOptimWrapper"}
        config.setdefault("device_type", device.type)
    optimizer = config.get("optimizer")
    if isinstance(optimizer, dict):
        known = OPTIMIZERS.get(optimizer.get("type"))
        options = optimizer_options(known, optimizer, fast, device)
        config["optimizer"] = {**optimizer, **options}
    return config


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
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if names[10:] else "")
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
