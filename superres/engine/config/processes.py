"""What the environment says of a run's processes before they are joined."""

from __future__ import annotations

import os


def will_be_first() -> bool:
    """Whether this process will be rank 0, before the processes are joined."""
    return (os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0") == "0"


def planned_size(launcher: str | None) -> int:
    """Number of processes that the run will have, before they are joined."""
    if launcher in (None, "none") and "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
