"""Weights in Hugging Face layouts: folders and repositories, read and written."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from superres.checkpoints.loading import load_model, read_weights, safetensors_bytes
from superres.checkpoints.networks import plain
from superres.checkpoints.zoo import choose
from superres.errors import UserError
from superres.files import write_atomically, write_text
from superres.models.layers.backbone import Backbone

CONFIG = "config.json"
_CARD = """---
library_name: superres
pipeline_tag: image-to-image
tags: [super-resolution]
---

# {kind} {scales}

Single-image super-resolution: `superres.from_pretrained('OWNER/NAME', scale={scale})`
"""
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)  # owner/name


def from_pretrained(
    repo_or_folder: str | Path,
    scale: int | None = None,
    format: str | None = None,
    device: str | torch.device = "auto",
    revision: str | None = None,
    **hints: Any,
) -> Backbone:
    """Load a network from a folder or a repository in a Hugging Face layout.

    Known layouts are super-image's (``pytorch_model_2x.pt`` beside a ``config.json``), ours
    (``model_x2.safetensors``, see `save_pretrained`), and any other with a single weight file.
    huggingface_hub downloads a repository into its own cache, with the endpoint and token of its
    settings. The weights are checked as strictly as by `load_model`.

    Args:
        repo_or_folder: a folder, or ``owner/name`` on the hub.
        scale: chooses among weight files named after scales; not needed if there is only one.
        format, device, **hints: passed to `load_model`.
        revision: branch, tag or commit of a repository.

    Raises:
        UserError: no such folder or repository, no weights for that scale, huggingface_hub is
            not installed or cannot reach the hub, or weights that cannot be read.
    """
    path = Path(repo_or_folder).expanduser()
    if not str(repo_or_folder) or not os.path.isdir(path):
        path = _download(str(repo_or_folder), scale, revision)
    return load_model(path, scale, format, device, **hints)


def save_pretrained(
    model: nn.Module | str | Path, folder: str | Path, config: dict[str, Any] | None = None
) -> Path:
    """Write a network into a folder that `from_pretrained` and the hub can read.

    ``model_xSCALE.safetensors`` holds weights and config; ``config.json`` repeats the config for
    people and the hub; ``README.md`` is a model card, written only if the folder has none. Call
    it once per scale for several scales in one folder. ``hf upload OWNER/NAME FOLDER``, a command
    of huggingface_hub, puts the folder onto the hub.

    Args:
        model: a network from `load_model` or `from_pretrained`, a weight file or a name; or any
            other network, with ``config``.
        folder: created if it does not exist.
        config: the network's constructor arguments, with its class name as ``type``.

    Returns:
        The weight file.

    Raises:
        UserError: the config is missing or belongs to another network, or the folder cannot be
            written.
    """
    weights: Any = model
    if not isinstance(model, nn.Module):
        loaded = read_weights(model)
        weights, config = loaded.state_dict, loaded.config
    config = plain(config or getattr(model, "superres_config", None) or {})
    if "type" not in config:
        fault = f"save_pretrained: this {type(model).__name__} does not come from load_model"
        raise UserError(f"{fault}; pass config=, the network's config with its type")
    scales = config.get("scales") or [config.get("scale", 1)]
    folder = Path(folder).expanduser()
    path = folder / (f"model_x{scales[0]}.safetensors" if len(scales) == 1 else "model.safetensors")
    data = safetensors_bytes(weights, config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror or error})") from error
    write_atomically(path, lambda file: file.write(data), durable=True)
    content = {"library_name": "superres", "model_type": config["type"], "network": config}
    write_text(folder / CONFIG, json.dumps(content, indent=2) + "\n")
    card = folder / "README.md"
    if not card.exists():
        fields = {"kind": config["type"], "scales": "+".join(f"x{s}" for s in scales)}
        write_text(card, _CARD.format(**fields, scale=scales[0]))
    return path


def _download(repo: str, scale: int | None, revision: str | None) -> Path:
    """Download a repository's weight file, with config.json beside it, into the hub's cache.

    If the hub cannot be reached, an earlier download is used.
    """
    if not _REPO.fullmatch(repo):
        fault = f"{repo!r}: neither a folder here nor a repository on the hub"
        raise UserError(f"{fault}, whose name has the form owner/name")
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise UserError(
            "the Hugging Face hub needs the package huggingface_hub: pip install 'superres[hub]'; "
            "a folder that was downloaded in another way needs nothing"
        ) from error
    try:
        names = hub.HfApi().list_repo_files(repo, revision=revision)
        wanted = [name for name in (CONFIG, choose(names, scale, repo)) if name in names]
        # The weight file is the last of them.
        return [Path(hub.hf_hub_download(repo, n, revision=revision)) for n in wanted][-1]
    except UserError:
        raise
    except Exception as error:  # whatever the hub, its client or the network raise
        with contextlib.suppress(Exception):
            kept = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True))
            return kept / choose(sorted(os.listdir(kept)), scale, repo)
        reason = " ".join((str(error).strip() or type(error).__name__).split())[:300]
        raise UserError(
            f"{repo}: the hub or its cache failed ({reason}). Check the name and the connection; a "
            "private repository needs hf auth login or HF_TOKEN; HF_HOME is the cache's folder. "
            "Without a connection, download the repository in another way and pass its folder"
        ) from error
