"""From a weight file to a network that is ready to use."""

from __future__ import annotations

import logging
import os
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from superres.checkpoints.detect import UnknownNetwork
from superres.checkpoints.files import open_weights
from superres.checkpoints.formats.base import build_meta, build_named, full_config
from superres.checkpoints.reading import LoadedWeights, read_weights
from superres.checkpoints.shipped import resolve, usual_scale, variants
from superres.checkpoints.state import clean, find_state
from superres.errors import UserError

logger = logging.getLogger("superres")


def load_model(
    name_or_path: str | Path,
    scale: int | None = None,
    format: str | None = None,
    device: str | torch.device = "auto",
    **hints: Any,
) -> nn.Module:
    """Rebuild a network from a weight file alone, in evaluation mode.

    Args:
        name_or_path: a weight file of any known format, a folder in the Hugging Face layout, or
            the name of a published file (`superres.checkpoints.PUBLISHED`).
        scale: the scale it must have; selects one in a network for several scales (MDSR). None
            of a name that is there for several is x4, as on the command line.
        format: where the keys alone cannot tell the format, its name; 'spandrel' leaves the file
            to that package, which is also asked about files that are of no format known here.
        device: where to put it; 'auto' is the first CUDA device if there is one, else the CPU.
        **hints: network arguments that no file holds, such as ``res_scale=0.1``.

    Returns:
        A module that maps (N, C, h, w) RGB in [0, 1] to (N, C, h * scale, w * scale), not
        clamped, with ``scale`` and ``receptive_radius``.

    Raises:
        UserError: see `read_weights`; also a file that holds a part of a network only.
    """
    picked = pick_device(device)
    if scale is None and not os.path.exists(name_or_path) and (own := variants(str(name_or_path))):
        scale = usual_scale(own)
        logger.info("%s: x%d of %s", name_or_path, scale, ", ".join(f"x{s}" for s in own))
    if format == "spandrel":
        return foreign_network(name_or_path, scale, None).to(picked)
    try:
        loaded = read_weights(name_or_path, format, scale, **hints)
    except UnknownNetwork as error:
        return foreign_network(name_or_path, scale, error).to(picked)
    logger.info(loaded.summary)
    model = build_network(loaded)
    if scale is not None and hasattr(model, "set_scale"):
        model.set_scale(scale)
    return model.to(picked).eval()


def foreign_network(
    name_or_path: str | Path, scale: int | None, error: UserError | None
) -> nn.Module:
    """A network that is not ours, if spandrel knows it.

    Args:
        scale: that it must have; None: any.
        error: what our reader thinks of the file.

    Raises:
        UserError: spandrel is not installed, does not know it, or it is for another scale.
    """
    from . import spandrel_networks as spandrel

    path = resolve(name_or_path, scale)
    where = str(path)
    # Opened by our reader, which runs no code; spandrel sees tensors only.
    tree, _ = open_weights(path)
    state, _ = find_state(tree, where)
    clean(state, where)  # for what it refuses
    # As it is first: what is a prefix to us (model.) is a part of some networks' names.
    try:
        network = spandrel.load_foreign(tree, where) or spandrel.load_foreign(state, where)
    except spandrel.Broken as broken:
        raise UserError(f"{error} ({broken})" if error else str(broken)) from broken
    if network is None:
        known = (
            "spandrel does not know it either"
            if spandrel.is_installed()
            else "the package spandrel, which knows more networks, is not installed: "
            "pip install 'superres[spandrel]'"
        )
        raise UserError(f"{error or f'{where}: cannot be read'} ({known})") from error
    if scale is not None and scale != network.scale:
        raise UserError(
            f"{where}: this {network.architecture} is for x{network.scale}, not x{scale}"
        )
    logger.info("%s: %s x%d, loaded by spandrel", path.name, network.architecture, network.scale)
    return network


def build_network(loaded: LoadedWeights) -> nn.Module:
    """The network of `read_weights`' result, weights in place, on the CPU.

    Raises:
        UserError: the weights are a part of a network only.
    """
    if loaded.partial:
        raise UserError(
            f"{loaded.path}: holds a part of {loaded.config['type']} only and cannot enlarge "
            "pictures; use it as load_from of a training"
        )
    model = build_meta(loaded.config)
    model.load_state_dict(loaded.state_dict, strict=True, assign=True)
    ours = type(model).__module__.startswith("superres.")
    if not ours or any(t.is_meta for t in chain(model.parameters(), model.buffers())):
        # A network that makes tensors outside its state dict has to be built for real.
        model = build_named(loaded.config)
        model.load_state_dict(loaded.state_dict, strict=True)
    model.superres_config = full_config(loaded.config)  # so that it can be saved again
    return model


def pick_device(device: str | torch.device) -> torch.device:
    """``device``, or for 'auto' the first CUDA device if there is one, else the CPU.

    Raises:
        UserError: no such device, or none of that kind on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device {device!r} is not known; try cpu, cuda or cuda:1") from error
    if picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device {str(device)!r}: this machine has {torch.cuda.device_count()} CUDA devices "
            "that PyTorch can use; pass device='cpu'"
        )
    try:
        torch.empty(1, device=picked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"device {str(device)!r}: PyTorch cannot use it here "
            f"({str(error).splitlines()[0]}); pass device='cpu'"
        ) from error
    return picked
