"""The folder of one run: who holds it, and what happens to an earlier run in it."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from superres.errors import UserError
from superres.files import Lock, remove_leftovers

from .checkpoint import iteration_files

_OWN = ("iter_*.pth", "best.pth", "last_checkpoint", "log.jsonl", "config.py", "tensorboard",
        "vis_data")  # fmt: skip


def open_work_dir(path: Path, warn: Callable[[str], None] = lambda _: None) -> Lock:
    """Make the folder, keep a second run out of it, and remove what a killed one left half written.

    Raises:
        UserError: a file is in the way, no permission, no room, or another process holds it; the
            message says which, where and since when.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"work dir {path}: a file of that name is in the way") from error
    except OSError as error:
        raise UserError(
            f"work dir {path} cannot be written to: {error.strerror}; choose another with "
            "--work-dir"
        ) from error
    lock = Lock(
        path / ".lock",
        f"work dir {path} is in use by {{holder}}; wait for it or choose another with --work-dir",
        warn,
    )
    remove_leftovers(path)  # not before: what another run is writing looks the same
    return lock


def set_aside(path: Path, beyond: int | None = None) -> Path | None:
    """Move an earlier run's files into ``previous_runs/TIME/``; None where there are none.

    Args:
        path: the work dir.
        beyond: only its checkpoints beyond this iteration, and the best one if there are any.
    """
    if beyond is None:
        files = sorted({found for pattern in _OWN for found in path.glob(pattern)})
        told = any(f.suffix == ".pth" or f.name == "log.jsonl" for f in files)
    else:
        newer = [file for number, file in iteration_files(path) if number > beyond]
        files, told = [*newer, *path.glob("best.pth")], newer
    if not told:
        return None
    now = datetime.datetime.now()
    target = path / "previous_runs" / now.strftime("%Y%m%d_%H%M%S_%f")
    target.mkdir(parents=True)
    for file in files:
        shutil.move(str(file), target / file.name)
    return target
