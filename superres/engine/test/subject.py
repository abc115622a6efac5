"""What is scored: a network with the weights of a file, in any restorer, or bicubic."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights, build_network
from superres.checkpoints.formats import OWN
from superres.checkpoints.networks import full_config
from superres.checkpoints.state_dict import load_strictly
from superres.engine.config.check import network_differences
from superres.engine.config.load import find_config
from superres.engine.config.values import to_plain
from superres.errors import UserError
from superres.evaluation.validate_pair import peak_of
from superres.imaging.resize import imresize
from superres.inference.backends.pytorch import LiveBytes
from superres.models.restorers.restorer import Restorer
from superres.registry import MODELS

Method = Callable[[np.ndarray, int], tuple[np.ndarray, dict[str, Any]]]
"""(lq HWC, scale) to an image in the range of ``lq``, float or integers, and a record for
results.json (``memory_mb``, ``inference``, ``notes``)."""

MEMORY_MEANS = {
    "cpu": "most bytes of tensors alive at a time beside the weights, in MiB",
    "cuda": "most bytes allocated on the GPU at a time, weights included, in MiB",
}


def bicubic(lq: np.ndarray, scale: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The baseline row of tables: MATLAB's bicubic."""
    return imresize(lq, scale=scale), {}


def network(module: torch.nn.Module, device: torch.device, **options: Any) -> Method:
    """A restorer as a method: integers in, unrounded floats in the same range out.

    Args:
        options: of :class:`superres.inference.Tiling`.
    """
    module.eval()

    @torch.inference_mode()
    def apply(lq: np.ndarray, scale: int) -> tuple[np.ndarray, dict[str, Any]]:
        batch = torch.from_numpy(np.array(lq))[None]  # a copy: packed images are read-only
        if hasattr(module, "set_scale"):
            module.set_scale(scale)
        on_gpu = device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        # On a CPU the process's own peak would depend on what ran before; this does not.
        with nullcontext() if on_gpu else LiveBytes() as live:
            data = module.data_preprocessor({"inputs": batch.to(device)}, False)
            # Tiles go to the device one by one, and the result comes back once.
            output, record = module.predict_with_record(data["inputs"].cpu(), **options)
        used = torch.cuda.max_memory_allocated(device) if on_gpu else live.peak
        image = output[0].float().permute(1, 2, 0).mul(peak_of(lq)).cpu().numpy()
        inference = dataclasses.asdict(record)
        facts = {"memory_mb": used / 2**20, "notes": inference.pop("notes")}
        return image, facts if record.mode == "whole" else {**facts, "inference": inference}

    return apply


def config_of(loaded: LoadedWeights) -> Config:
    """A config to test the network of a file with, on the sets that the EDSR configs name.

    Raises:
        UserError: the file holds a part of a network only.
    """
    network = build_network(loaded)
    cfg = Config.fromfile(find_config("edsr_x2c64b16_g1_300k_div2k"))._cfg_dict.to_dict()
    del cfg["published"]
    scales = list(getattr(network, "scales", None) or [network.scale])
    cfg["scale"] = scales if len(scales) > 1 else scales[0]
    if loaded.network is None:
        kind = "MultiScaleRestorer" if hasattr(network, "set_scale") else "Restorer"
        cfg["model"] = {"type": kind, "backbone": dict(loaded.config)}
    return Config(cfg)


def build_module(
    cfg: Config, loaded: LoadedWeights
) -> tuple[Config, LoadedWeights, torch.nn.Module, int | None]:
    """The restorer with the loaded weights, on the CPU.

    A published file, and weights that were exported, bring their own numeric convention (range,
    mean), so the backbone is built as the file says; a checkpoint must agree with the config. Of a
    network that only spandrel knows the config says on what to test it; its own network, and what
    was published of that, are left out.

    Returns:
        The config; the file, perhaps with a note; the restorer; and the channels that it is fed
        where these are not those of the config's backbone.

    Raises:
        UserError: the file is of another model than the config's; the differences are named. Or it
            takes neither grey nor RGB images.
    """
    wanted = to_plain(cfg.model)
    if loaded.network is not None:
        if (channels := loaded.network.in_channels) not in (1, 3):
            raise UserError(f"{loaded.path}: takes {channels} channels, but images have 1 or 3")
        note = f"not the {wanted['backbone']['type']} of the config, whose sets it is scored on"
        loaded = dataclasses.replace(loaded, notes=[note] if cfg.filename else [])
        cfg = copy.deepcopy(cfg)
        cfg.pop("published", None)
        module = Restorer(loaded.network, inference=wanted.get("inference"))
        return cfg, loaded, module.eval(), channels
    tested = full_config(wanted["backbone"])
    several = full_config(loaded.config).get("scales")
    if set(tested.get("scales") or [None]) <= set(several or [None]):
        tested = {**tested, "scales": several}  # tested at some of its scales
    # What goes with the weights in a file may be otherwise there; an export folds res_scale in.
    ignored = {"init"}
    if loaded.format != OWN or loaded.path.suffix == ".safetensors":
        ignored |= {"rgb_mean", "rgb_std", "img_range"}
        ignored |= {"res_scale"} if loaded.format == OWN else set()
    pairs = network_differences(loaded.config, tested, ignored).items()
    if named := [f"{key} is {here!r}, the config's {there!r}" for key, (here, there) in pairs]:
        what = f"{loaded.path} is of another model than {cfg.filename}: {'; '.join(named)}"
        raise UserError(f"{what}. Give the config and the --cfg-options that it was trained with")
    module = MODELS.build({**wanted, "backbone": dict(loaded.config)})
    load_strictly(module.backbone, loaded.state_dict, str(loaded.path))
    if not loaded.config.get("studio_luma"):
        return cfg, loaded, module.eval(), None
    cfg.eval_dataset["channels"] = "rgb"  # colour goes beside the network, as in upscaling
    return cfg, loaded, module.eval(), 3
