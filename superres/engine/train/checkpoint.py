"""Training checkpoints: written atomically, read back safely, with a way back to an older one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from superres.checkpoints.files import open_weights
from superres.engine.run_log import keep_folder
from superres.errors import UserError
from superres.files import os_fault, write_atomically, write_text

LAST = "last_checkpoint"
BEST = "best.pth"
_NAME = re.compile(r"iter_(\d+)\.pth")


def iteration_files(folder: Path) -> list[tuple[int, Path]]:
    """All ``iter_N.pth`` of a folder, newest first."""
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("iter_*.pth")]
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


_KEPT = (bool, int, float, str, type(None))


def plain(value: Any) -> Any:
    """Containers as dict, list and tuple, so that ``torch.load(weights_only=True)`` opens them."""
    if isinstance(value, dict):
        return {k: v if type(v) in _KEPT else plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        parts = (v if type(v) in _KEPT else plain(v) for v in value)
        return tuple(parts) if isinstance(value, tuple) else [*parts]
    if isinstance(value, torch.Tensor):
        return value.detach().contiguous()  # whatever layout the training prefers
    if type(value) in _KEPT:
        return value
    # Subclasses (torch's version string, numpy's scalars) are not opened by weights_only.
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot stand in a checkpoint: {value!r}")


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that ``path`` is, at any moment, absent, the old one or the new one.

    Raises:
        UserError: no room or no permission; what was there before is untouched.
    """
    try:
        keep_folder(path.parent)
        write_atomically(path, lambda file: torch.save(plain(state), file), durable=True)
    except (UserError, OSError, RuntimeError) as error:
        if "DataLoader worker" in str(error):  # raised wherever the trainer happens to be
            raise
        raise UserError(_why_not_saved(path, error)) from error


def _why_not_saved(path: Path, error: Exception) -> str:
    # torch reports a failed write as a RuntimeError of its zip writer; the cause is behind it.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    fault = os_fault(path, cause, "file", writing=True) if cause is not None else str(error)
    before = [f"The one before it, {p.name}, is whole" for _, p in iteration_files(path.parent)]
    kept = before[0] if before else "There is none before it"
    return f"could not save {fault} {kept}; make room and continue with --resume"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read and verify a training checkpoint.

    Raises:
        UserError: missing, damaged (every entry's checksum is compared), or no checkpoint of a
            training of this package.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":  # the format before PyTorch 1.6 has no checksums
                raise UserError(f"{path} is damaged or cut off: File is not a zip file")
        state, _ = open_weights(path)
    except OSError as error:
        raise UserError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"checkpoint {error}") from error
    if not isinstance(state, dict) or "state_dict" not in state:
        raise UserError(f"{path} is no training checkpoint of superres: it has no state_dict")
    return state


def find_resumable(folder: Path, wanted: Path | None, say: Any) -> tuple[Path, dict] | None:
    """The newest checkpoint of ``folder`` that can be read, at most as new as ``wanted``.

    Args:
        folder: a work dir.
        wanted: start from this one instead of the newest.
        say: called with a line for each checkpoint that is passed over.

    Returns:
        (path, state), or None where the folder has no checkpoint.

    Raises:
        UserError: ``wanted`` does not exist, or every checkpoint is damaged.
    """
    if wanted is not None and not wanted.is_file():
        what = (
            f"a folder; write --work-dir {wanted} --resume" if wanted.is_dir() else "no such file"
        )
        raise UserError(f"cannot resume from {wanted}: {what}")
    candidates = [path for _, path in iteration_files(folder)]
    if wanted is not None:
        match = _NAME.fullmatch(wanted.name)
        limit = int(match[1]) if match else -1
        older = [p for n, p in iteration_files(wanted.parent) if n < limit]
        candidates = [wanted, *older]
    reasons = []
    for path in candidates:
        try:
            state = read_checkpoint(path)
            if "optimizer" not in state:
                raise UserError(
                    f"checkpoint {path} holds weights only, nothing to resume from; use it as "
                    "load_from, or resume from an iter_N.pth"
                )
            return path, state
        except UserError as error:
            reasons.append(str(error))
            if path is not candidates[-1]:
                say(f"{error}; falling back to the checkpoint before it")
    if not candidates:
        return None
    raise UserError("no checkpoint can be resumed from: " + "; ".join(reasons))


def save_iteration(state: dict[str, Any], folder: Path, iteration: int, keep: int | None) -> Path:
    """Save ``iter_N.pth``, name it in ``last_checkpoint``, then delete all but ``keep``."""
    path = folder / f"iter_{iteration}.pth"
    save_atomically(state, path)
    write_text(folder / LAST, f"{path.name}\n")
    if keep:
        for number, old in iteration_files(folder)[keep:]:
            if number < iteration:
                old.unlink(missing_ok=True)
    return path
