"""Open weight files without running anything that is in them."""

from __future__ import annotations

import hashlib
import re
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
        return _open_pickle(path), {}
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
        # torch puts its own advice (to switch the protection off) around the one useful line.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        if "eights only load failed" in reason:
            reason = "a pickle, but not one that PyTorch wrote"
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


def _open_pickle(path: Path) -> Any:
    safe = torch.serialization.safe_globals([(m, ".".join(n)) for n, m in pickled.NUMPY.items()])
    try:
        # Opened here: by a path torch would judge the file by its suffix.
        with path.open("rb") as file, safe, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*TorchScript archive")  # told below
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if "TorchScript" in str(error):
            raise UserError(
                f"{path}: this is a TorchScript program, which is code; only files with plain "
                "tensors are read. Save model.state_dict() instead."
            ) from error
        refused = "eights only load failed" in str(error)
        if not refused or not re.search(r"GLOBAL |class |module", str(error)):
            raise
    return pickled.read(path)
