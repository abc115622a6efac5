"""Write weights for people: safetensors with the network's config inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from superres.checkpoints.light import METADATA_KEY, checksums
from superres.checkpoints.networks import full_config, network_shapes, plain
from superres.checkpoints.state_dict import differences
from superres.errors import UserError
from superres.files import write_atomically


def save_safetensors(
    path: str | Path, model_or_state: nn.Module | Mapping[str, Tensor], config: Mapping[str, Any]
) -> Path:
    """Write a network's weights with its config in the metadata; `load_model` needs no more.

    Args:
        path: the file; it appears whole or not at all.
        model_or_state: a backbone, a restorer that owns one as ``backbone``, or a state dict of
            either (with or without the ``backbone.`` prefix).
        config: the backbone's config with its ``type``, as a config file has it.

    Returns:
        The path.

    Raises:
        UserError: the weights are not those of the config's network, or the file cannot be written.
    """
    data = safetensors_bytes(model_or_state, config)
    write_atomically(Path(path), lambda file: file.write(data), durable=True)
    return Path(path)


def safetensors_bytes(
    model_or_state: nn.Module | Mapping[str, Tensor], config: Mapping[str, Any]
) -> bytes:
    """The content of the file that `save_safetensors` writes; the same arguments."""
    if isinstance(model_or_state, nn.Module):
        model_or_state = getattr(model_or_state, "backbone", model_or_state).state_dict()
    prefix = "backbone." if any(key.startswith("backbone.") for key in model_or_state) else ""
    state = {
        key.removeprefix(prefix): value.detach().cpu().contiguous().clone()
        for key, value in model_or_state.items()
        if key.startswith(prefix)
    }
    config = plain(full_config(config))
    if faults := differences(network_shapes(config), state):
        raise UserError(f"the weights are not those of {config}: {faults}")
    metadata = {METADATA_KEY: json.dumps(config), "format": "pt"}
    return safetensors.torch.save(state, metadata | checksums(state, metadata))
