"""Open weight files without running anything that is in them."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
import zlib
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from superres.checkpoints import pickled
from superres.checkpoints.light import damaged, is_safetensors, open_safetensors, read_head
from superres.errors import UserError

_BOMB_SIZE, _BOMB_RATIO = 64 << 20, 100
# What zipfile raises for damaged names, sizes, flags and kinds of compression.
_BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError),
    *(RuntimeError, ValueError, OverflowError),
)


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
    return _open_pickle(path), {}


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
    try:
        if not zipfile.is_zipfile(path):
            return  # the format before PyTorch 1.6 has none; what is cut off torch.load will say
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size, stored = sum(m.file_size for m in members), path.stat().st_size
            if size > _BOMB_SIZE and size > _BOMB_RATIO * stored:
                raise UserError(
                    f"{path}: refused, it would grow from {stored} to {size} bytes (a "
                    "decompression bomb); PyTorch writes no such files"
                )
            broken = archive.testzip() if any(m.CRC for m in members) else None
    except _BROKEN_ZIP as error:
        raise _broken(path, error) from error
    if broken:
        raise UserError(damaged(path, broken))


def _open_pickle(path: Path) -> Any:
    _check_zip(path)
    try:
        safe = torch.serialization.safe_globals(
            [(m, ".".join(n)) for n, m in pickled.NUMPY.items()]
        )
        # Opened here: by a path torch would judge the file by its suffix.
        with path.open("rb") as file, safe, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*TorchScript archive")  # told below
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way; all mean the same to a user
        # torch puts its own advice (to switch the protection off) around the one useful line.
        text = str(error)
        if "eights only load failed" in text and re.search(r"GLOBAL |class |module", text):
            return _with_objects(path)
        if "TorchScript" in text:
            raise UserError(
                f"{path}: this is a TorchScript program, which is code; only files with plain "
                "tensors are read. Save model.state_dict() instead."
            ) from error
        reason = text.splitlines()[0][:120] if text else type(error).__name__
        if "eights only load failed" in text:
            reason = "a pickle, but not one that PyTorch wrote"
        raise _broken(path, reason) from error


def _broken(path: Path, reason: object) -> UserError:
    return UserError(f"{path}: truncated or damaged ({reason}); download or copy it again")


def _with_objects(path: Path) -> Any:
    """Of a pickle that names classes, what is data."""
    try:
        return pickled.read(path)
    except pickled.RunsCode as call:
        raise UserError(_refusal(path, str(call))) from None
    except Exception as error:  # as above
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise _broken(path, reason) from error


def _refusal(path: Path, name: str) -> str:
    return (
        f"{path}: refused, because opening it would run code: the pickle calls {name}. "
        "Such a file can do anything on this machine. Safe are .safetensors files and .pth files "
        "that hold only tensors and plain numbers and text. If you trust where it comes from, open "
        "it in the program that made it and torch.save(model.state_dict(), 'weights.pth')."
    )


def neighbour_config(path: Path) -> dict[str, Any] | None:
    """``config.json`` beside a weight file, or None.

    Raises:
        UserError: it is there but is not a JSON object.
    """
    file = path.parent / "config.json"
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not readable as JSON ({error}); repair or remove it") from error
    if not isinstance(config, dict):
        raise UserError(f"{file}: a JSON object is expected; repair or remove it")
    factor = config.get("res_scale", 1)
    known = isinstance(factor, (int, float)) and not isinstance(factor, bool)
    if not known or not (abs(factor) < 1e9 and isfinite(factor)):
        raise UserError(f"{file}: res_scale is {factor!r}, not a number; repair or remove it")
    return config
