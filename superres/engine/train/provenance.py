"""Where a program runs and of which commit it is, for logs and records of trainings."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from pathlib import Path

import torch

from superres.paths import share_dir


def hardware(device: torch.device | None = None, processes: int = 1) -> str:
    """Such as ``cpu: Intel(R) Xeon(R) Processor, 2 cores`` or ``2 x NVIDIA A100``."""
    if device is None or device.type != "cuda":
        return processor_name()
    name = torch.cuda.get_device_name(device)
    return f"{processes} x {name}" if processes > 1 else name


def processor_name() -> str:
    """Such as ``cpu: Intel(R) Xeon(R) Processor, 2 cores``."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
        name = found[1].strip() if found else name
    return f"cpu: {name}, {os.cpu_count()} cores"


def commit() -> str | None:
    """Of the checkout that the program runs from; None outside one."""
    where = os.fspath(share_dir("configs").parent)
    try:
        done = subprocess.run(
            ["git", "-C", where, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
