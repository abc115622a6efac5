"""Where a program runs and of which commit it is, for logs and records of trainings."""

from __future__ import annotations

import os
import subprocess

import torch

from superres.paths import share_dir


def hardware(device: torch.device | None = None, processes: int = 1) -> str:
    """Such as ``cpu: Intel(R) Xeon(R) Processor, 2 cores`` or ``2 x NVIDIA A100``."""
    from superres.benchmarks.harness import processor_name

    if device is None or device.type != "cuda":
        return processor_name()
    name = torch.cuda.get_device_name(device)
    return f"{processes} x {name}" if processes > 1 else name


def commit(before: float | None = None) -> str | None:
    """Of the checkout that the program runs from; None outside one.

    Args:
        before: seconds since 1970. The branch's last commit before that, which is what a program
            that was started then ran, where it was started from this branch.
    """
    where = os.fspath(share_dir("configs").parent)
    until = [] if before is None else [f"--before={int(before)}"]
    try:
        done = subprocess.run(
            ["git", "-C", where, "rev-list", "-1", "--first-parent", *until, "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
