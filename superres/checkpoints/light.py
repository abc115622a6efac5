"""Read safetensors without torch: our own files, with the network's config in the metadata."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from superres.errors import UserError

METADATA_KEY = "superres_config"
"""Metadata entry of our safetensors files: the backbone's config as JSON."""
CONFIG_TENSOR = "superres_config"
"""The same as a tensor of bytes (uint8), in files for programs that drop a file's metadata."""
CHECKSUM_KEY = "superres_crc32"
"""Metadata entry of our ``.safetensors`` files, see `checksums`."""

_OTHERS = {
    b"<": "a web page, not weights: the download link led to a page (a log-in, a notice, an "
    "error); open it in a browser and save the file itself",
    b"version https://git-lfs": "a Git LFS pointer, not the weights: run 'git lfs pull' where it "
    "was cloned, or download the file itself",
}
"""What stands at the beginning of files that people take for weights, and what to tell them."""


def read_own(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Config and weights of one of our safetensors files; None where it is something else.

    Raises:
        UserError: see `read_head` and `open_safetensors`.
    """
    if not is_safetensors(read_head(path)):
        return None
    try:
        state, metadata = open_safetensors(path, "np")
    except TypeError:  # a type that numpy lacks, such as bfloat16
        return None
    state.pop(CONFIG_TENSOR, None)
    text = metadata.get(METADATA_KEY)
    return None if text is None else (parse_config(text, str(path)), state)


def read_head(path: Path) -> bytes:
    """The first bytes of a weight file.

    Raises:
        UserError: it cannot be read, or is empty, a web page, a pointer.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not head:
        raise UserError(f"{path}: the file is empty; download or copy it again")
    for beginning, told in _OTHERS.items():
        if head.lstrip().startswith(beginning):
            raise UserError(f"{path}: this is {told}")
    return head


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins as safetensors do."""
    return head[8:9] == b"{"


def open_safetensors(path: Path, framework: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors of a file (``'np'``: arrays, ``'pt'``: torch's) and its text metadata.

    Raises:
        UserError: truncated, damaged, or a checksum is wrong (the entry is named).
        TypeError: a type of numbers that numpy lacks.
    """
    try:
        with safetensors.safe_open(path, framework=framework) as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise UserError(
            f"{path}: a truncated or damaged safetensors file ({error}); download or copy it again"
        ) from error
    if CHECKSUM_KEY in metadata:  # else not of superres, or of a version that wrote none
        wanted: dict[str, int] = {}
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            wanted = dict(json.loads(metadata[CHECKSUM_KEY]))
        found = _sums(state, {k: v for k, v in metadata.items() if k != CHECKSUM_KEY})
        if wrong := [k for k in sorted({*wanted, *found}) if wanted.get(k) != found.get(k)]:
            raise UserError(damaged(path, wrong[0]))
    return state, metadata


def checksums(state: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata entry by which reading notices a changed byte: safetensors has none itself.

    Args:
        state: the tensors of the file.
        metadata: its other text entries.
    """
    return {CHECKSUM_KEY: json.dumps(_sums(state, metadata))}


def _sums(state: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, int]:
    found = {f"metadata {key}": zlib.crc32(text.encode()) for key, text in metadata.items()}
    for key, data in in_bytes(state).items():
        kind = str(state[key].dtype).removeprefix("torch.")
        shape = f"torch.{kind} {tuple(state[key].shape)}"
        found[key] = zlib.crc32(shape.encode(), zlib.crc32(data))
    return found


def in_bytes(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The memory of each array or tensor as uint8."""
    found = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            found[key] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        else:
            import torch

            flat = value.detach().cpu().contiguous().reshape(-1)
            found[key] = flat.view(torch.uint8).numpy()
    return found


def damaged(path: Path, entry: str) -> str:
    """The message for a wrong checksum."""
    return f"{path}: damaged, the checksum of {entry} is wrong; download or copy it again"


def parse_config(text: str, where: str) -> dict[str, Any]:
    """The network's config in a file's metadata.

    Raises:
        UserError: it is damaged.
    """
    config = None
    with contextlib.suppress(ValueError, RecursionError):
        config = json.loads(text)
    if not isinstance(config, dict) or "type" not in config:
        raise UserError(f"{where}: its metadata is damaged (no network's config); export it again")
    return config
