"""Networks that only spandrel knows, tested in the place of a config's own."""

from __future__ import annotations

import copy
import importlib.metadata
from pathlib import Path

import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights
from superres.checkpoints.building import foreign_network
from superres.engine.config.values import scales_of, to_plain
from superres.errors import UserError
from superres.models.restorers.restorer import Restorer

FOREIGN = "spandrel"
"""The format of such files in results.json."""


def foreign_subject(
    cfg: Config, checkpoint: Path, error: UserError | None
) -> tuple[Config, LoadedWeights, torch.nn.Module]:
    """The network of a file that is left to spandrel, as a restorer with what a record says of it.

    Args:
        cfg: says on what to test; its own network and what was published of that are left out.
        error: what our reader thinks of the file, if it was asked.

    Returns:
        The config without what belongs to its network; the description of the file's network, with
        no weights in it; the restorer, on the CPU.

    Raises:
        UserError: spandrel does not know it either, or it is for another scale or no pictures.
    """
    network = foreign_network(checkpoint, None, error)
    scales = scales_of(cfg)
    what = f"{checkpoint}: this {network.architecture} (loaded by spandrel)"
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
    config = {
        "type": network.architecture,
        "scale": network.scale,
        "in_channels": network.in_channels,
        "loaded_by": f"spandrel {importlib.metadata.version('spandrel')}",
    }
    note = f"not the {settings['backbone']['type']} of the config, whose sets it is scored on"
    loaded = LoadedWeights({}, config, FOREIGN, [note], path=Path(checkpoint))
    cfg = copy.deepcopy(cfg)
    cfg.pop("published", None)
    module = Restorer(network, inference=settings.get("inference")).eval()
    return cfg, loaded, module


def on_meta(network: torch.nn.Module) -> torch.nn.Module:
    """A copy that has shapes but no numbers."""
    return copy.deepcopy(network).to("meta")
