"""Open weight files without running anything that is in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from superres.checkpoints import pickled
from superres.checkpoints.names import PUBLISHED, fetch
from superres.checkpoints.shipped import full_name, shipped, unknown_name
from superres.errors import ScaleNeeded, UserError

_BOMB_SIZE, _BOMB_RATIO = 64 << 20, 100
# What zipfile raises for damaged names, sizes, flags and kinds of compression.
_BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError),
    *(RuntimeError, ValueError, OverflowError),
)

CHECKSUM_KEY = "superres_crc32"
"""Metadata entry of our ``.safetensors`` files, see `checksums`."""

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


def open_weights(path: Path) -> tuple[Any, dict[str, str]]:
    """The content of a weight file on the CPU and, for ``.safetensors``, its text metadata.

    Pickles are read with ``torch.load(weights_only=True)``; those that name classes of others by
    :mod:`superres.checkpoints.pickled`, which runs none of them.

    Where a file has checksums of its entries, each is compared.

    Raises:
        UserError: no such file, not a weight file, truncated or damaged (the entry is named), or
            a pickle that holds more than tensors and plain data.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    _reject_text(path, head)
    if head[8:9] == b"{":
        return _open_safetensors(path)
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


def _reject_text(path: Path, head: bytes) -> None:
    text = head.lstrip().lower()
    if path.suffix.lower() == ".onnx" or (text.startswith(b"<?xml") and b"<net " in text):
        raise UserError(
            f"{path}: this is a program for ONNX Runtime or OpenVINO, not weights; give the weight "
            "file that it was exported from"
        )
    if not head:
        raise UserError(f"{path}: the file is empty; download or copy it again")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        raise UserError(
            f"{path}: this is a web page, not weights. The download link led to a page (a log-in, "
            "a notice, an error); open it in a browser and save the file itself."
        )
    if text.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path}: this is a Git LFS pointer, not the weights; run 'git lfs pull' where it "
            "was cloned, or download the file itself"
        )


def _open_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise UserError(
            f"{path}: a truncated or damaged safetensors file ({error}); download or copy it again"
        ) from error
    _compare_checksums(path, state, metadata)
    return state, metadata


def checksums(state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata entry by which reading notices a changed byte: safetensors has none itself.

    Args:
        state: the tensors of the file.
        metadata: its other text entries.
    """
    return {CHECKSUM_KEY: json.dumps(_sums(state, metadata))}


def _sums(state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, int]:
    found = {f"metadata {key}": zlib.crc32(text.encode()) for key, text in metadata.items()}
    for key, value in state.items():
        data = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        found[key] = zlib.crc32(f"{value.dtype} {tuple(value.shape)}".encode(), zlib.crc32(data))
    return found


def _compare_checksums(
    path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    if CHECKSUM_KEY not in metadata:
        return  # not of superres, or of a version that wrote none
    try:
        wanted = dict(json.loads(metadata[CHECKSUM_KEY]))
    except (ValueError, TypeError, RecursionError):
        wanted = {}
    found = _sums(state, {k: v for k, v in metadata.items() if k != CHECKSUM_KEY})
    wrong = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if wrong:
        raise UserError(_damaged(path, wrong[0]))


def _damaged(path: Path, entry: str) -> str:
    return f"{path}: damaged, the checksum of {entry} is wrong; download or copy it again"


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
        raise UserError(
            f"{path}: truncated or damaged ({error}); download or copy it again"
        ) from error
    if broken:
        raise UserError(_damaged(path, broken))


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
        raise UserError(
            f"{path}: truncated or damaged ({reason}); download or copy it again"
        ) from error


def _with_objects(path: Path) -> Any:
    """Of a pickle that names classes, what is data."""
    try:
        return pickled.read(path)
    except pickled.RunsCode as call:
        raise UserError(_refusal(path, str(call))) from None
    except Exception as error:  # as above
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{path}: truncated or damaged ({reason}); download or copy it again"
        ) from error


def _refusal(path: Path, name: str) -> str:
    return (
        f"{path}: refused, because opening it would run code: the pickle calls {name}. "
        "Such a file can do anything on this machine. Safe are .safetensors files and .pth files "
        "that hold only tensors and plain numbers and text. If you trust where it comes from, open "
        "it in the program that made it and torch.save(model.state_dict(), 'weights.pth')."
    )


def resolve(name_or_path: str | Path, scale: int | None) -> Path:
    """The weight file that is meant: a path, a folder with files named after scales, or a name.

    Raises:
        UserError: no such file or name, or a name or folder with several weight files and no
            ``scale`` to choose.
    """
    path = Path(name_or_path).expanduser()
    if not os.path.exists(path):  # Path.exists raises where the name is too long
        name = full_name(str(name_or_path), scale)
        if name is not None:
            return fetch(name) if name in PUBLISHED else shipped()[name]
    if os.path.isdir(path):
        return path / choose(sorted(os.listdir(path)), scale, str(path))
    if not os.path.isfile(path):
        raise UserError(unknown_name(str(name_or_path)))
    return path


def choose(names: list[str], scale: int | None, where: str) -> str:
    """The weight file for ``scale`` among the files of a folder or repository.

    Raises:
        ScaleNeeded: they are named after scales, and none is given to choose by.
        UserError: none, or several that it could be.
    """
    weights = [n for n in names if n.endswith(SUFFIXES) and "/" not in n]
    fitting = weights
    if scale is not None:
        named = {n: scale_in_name(n) for n in weights}
        fitting = [n for n in weights if named[n] == scale] or [n for n in weights if not named[n]]
    for some in (fitting, [n for n in fitting if n.endswith(".safetensors")]):
        if len(some) == 1:
            return some[0]
    here = ", ".join(weights) or "none"
    if scale is None and any(map(scale_in_name, weights)):
        raise ScaleNeeded(f"{where}: needs a scale to choose by; weight files there: {here}")
    wanted = "one weight file" if scale is None else f"weights for x{scale} in one file"
    raise UserError(f"{where}: needs {wanted}, or the name of a file; weight files there: {here}")


def scale_in_name(name: str) -> int | None:
    """The scale in a file name such as ``edsr_x2.pt`` or ``pytorch_model_2x.pt``, if it is one."""
    found = re.findall(r"(?:^|[_-])(?:x(\d+)(?![\dx])|(\d+)x(?![a-z\d]))", name)
    scales = {int(first or second) for first, second in found}
    return scales.pop() if len(scales) == 1 else None


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
