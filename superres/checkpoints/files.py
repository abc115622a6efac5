"""Open weight files without running anything that is in them."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from superres.checkpoints import pickled
from superres.checkpoints.light import damaged, is_safetensors, open_safetensors, read_head
from superres.errors import UserError

_BOMB_SIZE, _BOMB_RATIO = 64 << 20, 100


def open_weights(path: Path) -> tuple[Any, dict[str, str]]:
    """The content of a weight file on the CPU and, for ``.safetensors``, its text metadata.

    Pickles are read with ``torch.load(weights_only=True)``; those that name classes of others by
    :mod:`superres.checkpoints.pickled`, which runs none of them.

    Where a file has checksums of its entries, each is compared.

    Raises:
        UserError: no such file, not a weight file, truncated or damaged (the entry is named), or
            a pickle that holds more than tensors and plain data.
    """
    head = read_head(path)
    if is_safetensors(head):
        return open_safetensors(path, "pt")
    if not head.startswith((b"PK", b"\x80")):
        raise UserError(
            f"{path}: not a weight file (neither a PyTorch nor a safetensors file); it begins with "
            f"{head[:12]!r}. Download or copy it again."
        )
    try:
        if zipfile.is_zipfile(path):  # before PyTorch 1.6 it was another format, without checksums
            _check_zip(path)
        try:
            # Opened here: by a path torch would judge the file by its suffix.
            with path.open("rb") as file, warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*TorchScript archive")  # refused below
                return torch.load(file, map_location="cpu", weights_only=True), {}
        except pickle.UnpicklingError:  # it names classes, of numpy or of others, or is damaged
            return pickled.read(path), {}
    except UserError:
        raise
    except pickled.RunsCode as call:
        raise UserError(
            f"{path}: refused, because opening it would run code: the pickle calls {call}. Such a "
            "file can do anything on this machine. Safe are .safetensors files and .pth files "
            "that hold only tensors and plain numbers and text. If you trust where it comes from, "
            "open it in the program that made it and torch.save(model.state_dict(), 'weights.pth')."
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
    """Compare the checksums of a PyTorch file, which torch.load does not, unless it is a bomb.

    Raises:
        UserError: one is wrong; the entry is named. Or the file would unfold to far more than it
            is: PyTorch stores tensors as they are.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size, stored = sum(m.file_size for m in members), path.stat().st_size
        if size > _BOMB_SIZE and size > _BOMB_RATIO * stored:
            raise UserError(
                f"{path}: refused, it would grow from {stored} to {size} bytes (a decompression "
                "bomb); PyTorch writes no such files"
            )
        if any(m.CRC for m in members) and (broken := archive.testzip()):
            raise UserError(damaged(path, broken))
