"""Weights in Hugging Face layouts: folders and repositories, read and written."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from superres.checkpoints.building import load_model
from superres.checkpoints.reading import LoadedWeights, plain, read_weights
from superres.checkpoints.shipped import choose
from superres.checkpoints.writing import safetensors_bytes, write_whole
from superres.errors import UserError

CONFIG = "config.json"
_CARD = "README.md"
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def from_pretrained(
    repo_or_folder: str | Path,
    scale: int | None = None,
    format: str | None = None,
    device: str | torch.device = "auto",
    revision: str | None = None,
    **hints: Any,
) -> nn.Module:
    """Load a network from a folder or a repository in a Hugging Face layout.

    That is super-image's (``pytorch_model_2x.pt`` beside a ``config.json``) or ours
    (``model_x2.safetensors``, see `save_pretrained`), or any with one weight file. A repository
    is downloaded through huggingface_hub, which keeps it in its cache, and the endpoint and
    token of its settings apply. Reading is as strict as `load_model`.

    Args:
        repo_or_folder: a folder, or ``owner/name`` on the hub.
        scale: which weights to take; may be left out where there is one file.
        format, device, **hints: see `load_model`.
        revision: branch, tag or commit of a repository.

    Raises:
        UserError: no such folder or repository, no weights for that scale, huggingface_hub is
            not installed or cannot reach the hub, or weights that cannot be read.
    """
    folder = Path(repo_or_folder).expanduser()
    if str(repo_or_folder) and os.path.isdir(folder):
        path = folder
    elif _REPO.fullmatch(str(repo_or_folder)):
        path = _download(str(repo_or_folder), scale, revision)
    else:
        raise UserError(
            f"{str(repo_or_folder)!r}: neither a folder here nor a repository on the hub, whose "
            "name has the form owner/name"
        )
    return load_model(path, scale, format, device, **hints)


def save_pretrained(
    model: nn.Module | str | Path, folder: str | Path, config: dict[str, Any] | None = None
) -> Path:
    """Write a network in a layout that `from_pretrained` and the hub take.

    ``model_xSCALE.safetensors`` holds weights and config; ``config.json`` repeats the config for
    people and the hub; ``README.md`` is a model card, written only where there is none. Several
    scales may go into one folder, one after the other.

    Args:
        model: a network from `load_model` or `from_pretrained`, or a weight file or name; of
            another network pass its ``config``.
        folder: made if it is not there.
        config: the network's config with its ``type``.

    Returns:
        The weight file.

    Raises:
        UserError: a network without its config or with another's, or a folder that cannot be
            written.
    """
    if not isinstance(model, nn.Module):
        loaded: LoadedWeights = read_weights(model)
        weights, config = loaded.state_dict, loaded.config
    else:
        weights, config = model, config or getattr(model, "superres_config", None)
    if not config or "type" not in config:
        raise UserError(
            f"save_pretrained: this {type(model).__name__} does not come from load_model; pass "
            "config=, the network's config with its type"
        )
    config = plain(config)
    scales = config.get("scales") or [config.get("scale", 1)]
    name = f"model_x{scales[0]}.safetensors" if len(scales) == 1 else "model.safetensors"
    try:
        data = safetensors_bytes(weights, config)
    except (UserError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"save_pretrained: config does not fit the network: {error}") from error
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror or error})") from error
    path = folder / name
    write_whole(path, data)
    content = {"library_name": "superres", "model_type": config["type"], "network": config}
    write_whole(folder / CONFIG, (json.dumps(content, indent=2) + "\n").encode())
    card = folder / _CARD
    if not card.exists():
        write_whole(card, _card(config).encode())
    return path


def push_to_hub(
    model: nn.Module | str | Path,
    repo_id: str,
    config: dict[str, Any] | None = None,
    private: bool = False,
    message: str = "Weights for superres",
    revision: str | None = None,
) -> str:
    """Upload a network to the Hugging Face hub, where `from_pretrained` finds it.

    A model card that is in the repository stays as it is.

    The token is huggingface_hub's own (``hf auth login`` or the variable ``HF_TOKEN``).

    Args:
        model, config: see `save_pretrained`.
        repo_id: ``owner/name``; made if it is not there.
        private: for a new repository.
        message: of the commit.
        revision: branch; the main one by default.

    Returns:
        The commit's address.

    Raises:
        UserError: huggingface_hub is not installed, no token, no right to write there, or the
            hub cannot be reached.
    """
    hub = _hub()
    if not _REPO.fullmatch(repo_id):
        raise UserError(f"{repo_id!r}: the name of a repository has the form owner/name")
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, config)
        card = Path(folder) / _CARD
        card.write_text(card.read_text(encoding="utf-8").replace("OWNER/NAME", repo_id))
        try:
            api = hub.HfApi()
            api.create_repo(repo_id, private=private, exist_ok=True)
            has_card = api.file_exists(repo_id, _CARD, revision=revision)
            done = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=message,
                revision=revision,
                ignore_patterns=[_CARD] if has_card else None,
            )
        except Exception as error:
            raise _explained(error, repo_id, "cannot be written") from error
    return str(getattr(done, "commit_url", done))


def _download(repo: str, scale: int | None, revision: str | None) -> Path:
    """The weight file in the hub's cache, config.json beside it."""
    hub = _hub()
    from huggingface_hub import errors

    def get(name: str) -> Path:
        return Path(hub.hf_hub_download(repo, name, revision=revision))

    try:
        try:
            get(CONFIG)
        except errors.EntryNotFoundError as error:
            if isinstance(error, errors.LocalEntryNotFoundError):  # the hub cannot be reached
                raise
        # The usual names first: most repositories need no listing then.
        usual = (f"pytorch_model_{scale}x.pt", f"model_x{scale}.safetensors")
        for name in usual if scale is not None else ():
            try:
                return get(name)
            except errors.EntryNotFoundError as error:
                if isinstance(error, errors.LocalEntryNotFoundError):
                    raise
        return get(choose(hub.HfApi().list_repo_files(repo, revision=revision), scale, repo))
    except UserError:
        raise
    except Exception as error:  # whatever the hub, its client or the network raise
        kept = _kept(hub, repo, revision)
        if kept is not None:
            with contextlib.suppress(UserError):  # nothing that would do: the first error it is
                return kept / choose([p.name for p in sorted(kept.iterdir())], scale, repo)
        raise _explained(error, repo, "cannot be read") from error


def _kept(hub: Any, repo: str, revision: str | None) -> Path | None:
    """What an earlier download left, for when the hub cannot be reached."""
    try:
        return Path(hub.snapshot_download(repo, revision=revision, local_files_only=True))
    except Exception:  # nothing kept; the first error is the one to tell
        return None


def _explained(error: Exception, repo: str, what: str) -> UserError:
    from huggingface_hub import errors

    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    if isinstance(error, errors.GatedRepoError):
        advice = "its owner lets people in on request; ask on its page, then hf auth login"
    elif isinstance(error, errors.RepositoryNotFoundError):
        advice = "check the name; a private one needs hf auth login"
    elif isinstance(error, errors.RevisionNotFoundError):
        advice = "check the revision"
    elif isinstance(error, errors.HFValidationError):
        advice = "check the name, which has the form owner/name"
    elif getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
        advice = "hf auth login, or HF_TOKEN, with a token that may do that"
    elif isinstance(error, OSError) and error.filename:
        advice = "set HF_HOME to a folder that you can write and that has room"
    elif what == "cannot be written":
        advice = "check the connection"
    else:
        advice = (
            "check the connection; without one, download the repository in another way and pass "
            "its folder"
        )
    return UserError(f"{repo}: {what} ({reason}): {advice}")


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            "the Hugging Face hub needs the package huggingface_hub: pip install 'superres[hub]'; "
            "a folder that was downloaded in another way needs nothing"
        ) from error
    return huggingface_hub


def _card(config: dict[str, Any]) -> str:
    scales = " and ".join(f"x{s}" for s in config.get("scales") or [config.get("scale", 1)])
    return (
        "---\nlibrary_name: superres\npipeline_tag: image-to-image\ntags:\n- super-resolution\n"
        f"---\n\n# {config['type']} {scales}\n\nSingle-image super-resolution weights for superres."
        "\n\n```python\nimport superres\n\n"
        f"model = superres.from_pretrained('OWNER/NAME', scale={config.get('scale', 2)})\n```\n"
    )
