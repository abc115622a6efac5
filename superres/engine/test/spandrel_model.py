"""Networks that only spandrel knows, tested in the place of a config's own."""

from __future__ import annotations

import copy
import dataclasses

import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights
from superres.engine.config.values import scales_of, to_plain
from superres.errors import UserError
from superres.models.restorers.restorer import Restorer


def foreign_subject(
    cfg: Config, loaded: LoadedWeights
) -> tuple[Config, LoadedWeights, torch.nn.Module]:
    """The network of a file that only spandrel knows, as a restorer.

    Args:
        cfg: says on what to test; its own network and what was published of that are left out.
        loaded: the file.

    Returns:
        The config without what belongs to its network; the file, with a note; the restorer, on
        the CPU.

    Raises:
        UserError: it is for other scales than the config, or for neither grey nor RGB images.
    """
    network, scales = loaded.network, scales_of(cfg)
    what = f"{loaded.path}: this {network.architecture} (loaded by spandrel)"
    if scales != [network.scale]:
        given = " and ".join(f"x{scale}" for scale in scales)
        raise UserError(
            f"{what} is for x{network.scale}, {cfg.filename or 'the config'} for {given}; give a "
            f"config for x{network.scale}"
        )
    if network.in_channels not in (1, 3) or network.in_channels != network.out_channels:
        raise UserError(
            f"{what} makes {network.out_channels} channels of {network.in_channels}; only networks "
            "for grey or RGB pictures can be scored"
        )
    settings = to_plain(cfg.model)
    note = f"not the {settings['backbone']['type']} of the config, whose sets it is scored on"
    cfg = copy.deepcopy(cfg)
    cfg.pop("published", None)
    module = Restorer(network, inference=settings.get("inference")).eval()
    return cfg, dataclasses.replace(loaded, notes=[note]), module
