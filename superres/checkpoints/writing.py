"""Write weights for people: safetensors with the network's config inside, and whole files only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from superres.checkpoints.formats.base import full_config, network_shapes
from superres.checkpoints.light import METADATA_KEY, checksums
from superres.checkpoints.reading import plain
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
        UserError: the file cannot be written.
        ValueError: the weights are not those of the config's network.
    """
    path = Path(path)
    write_whole(path, safetensors_bytes(model_or_state, config))
    return path


def safetensors_bytes(
    model_or_state: nn.Module | Mapping[str, Tensor], config: Mapping[str, Any]
) -> bytes:
    """The content of the file that `save_safetensors` writes; the same arguments."""
    if isinstance(model_or_state, nn.Module):
        model_or_state = getattr(model_or_state, "backbone", model_or_state).state_dict()
    state = {
        key.removeprefix("backbone."): value.detach().cpu().contiguous().clone()
        for key, value in model_or_state.items()
        if key.startswith("backbone.") or not any(k.startswith("backbone.") for k in model_or_state)
    }
    config = plain(full_config(config))
    wanted = network_shapes(config)
    if wanted != {key: tuple(value.shape) for key, value in state.items()}:
        differing = sorted(set(wanted) ^ set(state))[:4] or "their shapes"
        raise ValueError(f"the weights are not those of {config}: {differing}")
    metadata = {METADATA_KEY: json.dumps(config), "format": "pt"}
    return safetensors.torch.save(state, metadata | checksums(state, metadata))


def write_whole(path: Path, data: bytes, check: Callable[[Path], None] | None = None) -> None:
    """Write a file that appears whole or not at all.

    Args:
        path: the file; one that is there is replaced, but only by one that is complete.
        data: its content.
        check: called with the finished file under a temporary name beside ``path``; if it
            raises, ``path`` stays as it was.

    Raises:
        UserError: the folder does not exist or cannot be written, the disk is full, or what is
            at ``path`` is no file (a folder, a device, a pipe).
    """
    write_atomically(path, lambda file: file.write(data), durable=True, check=check)
