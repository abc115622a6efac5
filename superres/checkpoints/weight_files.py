"""Opening weight files without running code from them.

torch is imported for its own files only: safetensors of ours, with the network's config in the
metadata, are read without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import warnings
import zipfile
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

_BOMB_SIZE, _BOMB_RATIO = 64 << 20, 100  # unpacked bytes, and how many times the file's size

_NOT_WEIGHTS = {
    b"<": "a web page, not weights: the download link led to a page (a log-in, a notice, an "
    "error); open it in a browser and save the file itself",
    b"version https://git-lfs": "a Git LFS pointer, not the weights: run 'git lfs pull' where it "
    "was cloned, or download the file itself",
}
"""First bytes of files that are often mistaken for weights -> what they are, and what to do."""


def read_own(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Return config and weights of one of our safetensors files; None for any other file.

    Raises:
        UserError: see `read_head` and `open_safetensors`.
    """
    if read_head(path)[8:9] != b"{":  # safetensors: eight bytes, then JSON
        return None
    try:
        state, metadata = open_safetensors(path, "np")
    except TypeError:  # numpy lacks the type, such as bfloat16
        return None
    state.pop(CONFIG_TENSOR, None)
    text = metadata.get(METADATA_KEY)
    return None if text is None else (parse_config(text, str(path)), state)


def read_head(path: Path) -> bytes:
    """Return the first 512 bytes of a weight file.

    Raises:
        UserError: the file cannot be read, is empty, a web page or a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not head:
        raise UserError(f"{path}: the file is empty; download or copy it again")
    for beginning, what in _NOT_WEIGHTS.items():
        if head.lstrip().startswith(beginning):
            raise UserError(f"{path}: this is {what}")
    return head


def open_safetensors(path: Path, framework: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the tensors of a safetensors file and its text metadata.

    Args:
        path: the file.
        framework: ``'np'`` for numpy arrays, ``'pt'`` for torch tensors.

    Raises:
        UserError: the file is truncated or damaged, or a checksum is wrong (the entry is named).
        TypeError: a tensor has a type that numpy lacks, such as bfloat16.
    """
    try:
        with safetensors.safe_open(path, framework=framework) as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise UserError(
            f"{path}: a truncated or damaged safetensors file ({error}); download or copy it again"
        ) from error
    if CHECKSUM_KEY in metadata:  # only files of superres have one, and not its earliest
        wanted: dict[str, int] = {}
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            wanted = dict(json.loads(metadata[CHECKSUM_KEY]))
        found = _sums(state, {k: v for k, v in metadata.items() if k != CHECKSUM_KEY})
        if wrong := [k for k in sorted({*wanted, *found}) if wanted.get(k) != found.get(k)]:
            raise UserError(damaged(path, wrong[0]))
    return state, metadata


def checksums(state: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a metadata entry with a CRC-32 of each tensor and text: safetensors itself has none.

    Args:
        state: the tensors of the file.
        metadata: its other text entries.
    """
    return {CHECKSUM_KEY: json.dumps(_sums(state, metadata))}


def _sums(state: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, int]:
    """CRC-32 of each metadata text, and of each tensor's bytes followed by its type and shape."""
    found = {f"metadata {key}": zlib.crc32(text.encode()) for key, text in metadata.items()}
    for key, data in in_bytes(state).items():
        kind = str(state[key].dtype).removeprefix("torch.")
        shape = f"torch.{kind} {tuple(state[key].shape)}"
        found[key] = zlib.crc32(shape.encode(), zlib.crc32(data))
    return found


def in_bytes(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The bytes of each array or tensor as a flat uint8 array."""
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
    """The message for an entry with a wrong checksum."""
    return f"{path}: damaged, the checksum of {entry} is wrong; download or copy it again"


def parse_config(text: str, where: str) -> dict[str, Any]:
    """Parse the network's config (JSON) from a file's metadata; ``where`` names the file.

    Raises:
        UserError: the text is damaged, or not a config.
    """
    config = None
    with contextlib.suppress(ValueError, RecursionError):
        config = json.loads(text)
    if not isinstance(config, dict) or "type" not in config:
        raise UserError(f"{where}: its metadata is damaged (no network's config); export it again")
    return config


def open_weights(path: Path) -> tuple[Any, dict[str, str]]:
    """Return the content of a weight file, on the CPU, and its text metadata (safetensors only).

    Pickles are read by ``torch.load(weights_only=True)``; those that name other classes by
    :mod:`superres.checkpoints.pickled`, which runs no code of these classes. Checksums in the file
    are compared.

    Raises:
        UserError: the file does not exist, is not a weight file, is truncated or damaged (the entry
            is named), or is a pickle that would run code.
    """
    head = read_head(path)
    if head[8:9] == b"{":  # safetensors
        return open_safetensors(path, "pt")
    import torch

    from superres.checkpoints import pickled

    if not head.startswith((b"PK", b"\x80")):  # a zip archive (PyTorch 1.6 and later), a pickle
        raise UserError(
            f"{path}: not a weight file (neither a PyTorch nor a safetensors file); it begins with "
            f"{head[:12]!r}. Download or copy it again."
        )
    try:
        if zipfile.is_zipfile(path):  # the older format has no checksums
            _check_zip(path)
        try:
            # Given a path, torch would judge the file by its suffix.
            with path.open("rb") as file, warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*TorchScript archive")  # refused below
                return torch.load(file, map_location="cpu", weights_only=True), {}
        except pickle.UnpicklingError:  # names other classes, or is damaged
            return pickled.read(path), {}
    except UserError:
        raise
    except pickled.RunsCode as call:
        raise UserError(
            f"{path}: refused, because opening it would run code: the pickle calls {call}. Safe "
            "are .safetensors files, and .pth files of tensors and plain data. If you trust it, "
            "open it in the program that made it, and torch.save(model.state_dict(), 'x.pth')"
        ) from None
    except Exception as error:  # a damaged file can fail in any way; all mean the same to a user
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        if "TorchScript" in reason:  # torch's advice would be to switch the protection off
            reason = "or a TorchScript program, which is code: save model.state_dict() instead"
        raise UserError(
            f"{path}: truncated or damaged ({reason}); download or copy it again"
        ) from error


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_zip(path: Path) -> None:
    """Compare the checksums of a PyTorch file, which torch.load does not do.

    Raises:
        UserError: a checksum is wrong (the entry is named), or the file would unpack to far more
            than its size, although PyTorch does not compress.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size, stored = sum(m.file_size for m in members), path.stat().st_size
        if size > _BOMB_SIZE and size > _BOMB_RATIO * stored:
            raise UserError(
                f"{path}: refused, it would grow from {stored} to {size} bytes (a decompression "
                "bomb); PyTorch writes no such files"
            )
        # Without any, torch was told to write none.
        if any(m.CRC for m in members) and (broken := archive.testzip()):
            raise UserError(damaged(path, broken))
