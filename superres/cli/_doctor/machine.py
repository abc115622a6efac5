"""The machine: processor, memory, GPUs, OpenCV's codecs, places to write."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from superres.cli._doctor.findings import Findings
from superres.cli._doctor.packages import load

_GIB = 1 << 30
_SETTINGS = (
    "SUPERRES_HOME",
    "SUPERRES_MAX_PIXELS",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "LD_PRELOAD",
    "PYTHONPATH",
)


def look_at_devices(findings: Findings) -> None:
    """CPU, memory, CUDA devices."""
    say = findings.fact
    say("devices", "CPU", _cpu_name())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cgroup("cpu.max")
    limit = ""
    if quota and quota.split()[0] != "max":
        limit = f", limited to {int(quota.split()[0]) / int(quota.split()[1]):.3g} by its container"
    say("devices", "cores", f"{usable} usable of {os.cpu_count()}{limit}")
    say("devices", "memory", _memory())
    if load(findings, "torch") is None:
        say("devices", "CUDA", "not known without torch")
        return
    import torch

    nvidia = os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi") is not None
    if torch.version.cuda is None and torch.version.hip is None:
        say("devices", "CUDA", "none: this torch is built for CPUs only")
        if nvidia:
            findings.note(
                "an NVIDIA GPU is here, but this torch is built for CPUs only; "
                "https://pytorch.org tells how to install one with CUDA"
            )
        return
    if not torch.cuda.is_available():
        say("devices", "CUDA", f"none (torch is built for CUDA {torch.version.cuda})")
        if nvidia:
            findings.note(
                "an NVIDIA driver is here, but torch cannot use the GPU: its driver may be older "
                f"than CUDA {torch.version.cuda} needs, or CUDA_VISIBLE_DEVICES hides it"
            )
        return
    say("devices", "CUDA", f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        say(
            "devices",
            f"cuda:{number}",
            f"{properties.name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free, "
            f"capability {properties.major}.{properties.minor}",
        )


def look_at_opencv(findings: Findings) -> None:
    """Its codecs and threads, and a picture through each format."""
    if load(findings, "cv2") is None or load(findings, "numpy") is None:
        findings.fact("OpenCV", "libraries", "not known without OpenCV and numpy")
        return
    import cv2
    import numpy as np

    information = cv2.getBuildInformation()
    for name in ("JPEG", "PNG", "TIFF", "WEBP"):
        found = re.search(rf"^\s+{name}:\s+(.+)$", information, re.M)
        findings.fact("OpenCV", name, found[1].strip() if found else "not stated")
    for name in ("Parallel framework", "Dispatched code generation"):
        found = re.search(rf"^\s+{name}:\s+(.+)$", information, re.M)
        if found:
            findings.fact("OpenCV", name.lower(), found[1].strip())
    findings.fact("OpenCV", "threads", cv2.getNumThreads())
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    broken = []
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        try:
            ok, data = cv2.imencode(suffix, picture)
            again = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if ok else None
            lossless = suffix in (".png", ".tif", ".bmp")
            if again is None or (lossless and not np.array_equal(again, picture)):
                broken.append(suffix)
        except cv2.error:
            broken.append(suffix)
    findings.fact("OpenCV", "write and read", f"fails: {' '.join(broken)}" if broken else "works")
    if broken:
        findings.problem(
            f"OpenCV does not write and read {' '.join(broken)} correctly",
            "pip install --force-reinstall opencv-python",
        )


def look_at_write_access(findings: Findings) -> None:
    """Cache folder, temporary folder, current folder: writable, and how much room."""
    from superres.paths import cache_dir

    home = "set SUPERRES_HOME to a folder that you can write"
    try:
        cache: Path | None = cache_dir()
    except RuntimeError:
        cache = None
        findings.fact("write access", "cache folder", "none: there is no home folder")
        findings.problem("there is no home folder for the cache", home)
    if cache is not None and (why := _try(findings, "cache folder", cache)):
        findings.problem(f"the cache folder {cache} cannot be written ({why})", home)
    try:
        temporary = Path(tempfile.gettempdir())
        why = _try(findings, "temporary folder", temporary)
    except OSError as error:
        temporary, why = Path("?"), str(error)
        findings.fact("write access", "temporary folder", "NONE")
    if why:
        findings.problem(
            f"the temporary folder {temporary} cannot be written ({why})",
            "make room there, or set TMPDIR to a folder that you can write",
        )
    try:
        here = Path.cwd()
    except OSError as error:
        findings.note(f"the current folder is gone ({error.strerror})")
        return
    if why := _try(findings, "current folder", here):
        findings.note(f"the current folder cannot be written ({why}): name others with -o")


def look_at_settings(findings: Findings) -> None:
    """Environment variables that change what superres and torch do."""
    for name in _SETTINGS:
        if name in os.environ:
            findings.fact("environment", name, os.environ[name])


def _try(findings: Findings, name: str, folder: Path) -> str | None:
    """Write a file into ``folder``, or where it would be made; the reason if that fails."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    why: str | None = None
    room = ""
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".superres-doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        why = error.strerror or str(error)
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(existing).free
        room = f", {free / _GIB:.1f} GiB free"
        if free < _GIB // 2 and why is None:
            findings.note(f"only {free >> 20} MiB are free in the {name} ({folder})")
    state = f"NOT WRITABLE ({why})" if why else "writable"
    made = "" if existing == folder else " (made when first used)"
    findings.fact("write access", name, f"{folder}{made}: {state}{room}")
    return why


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.M)
        if found:
            return f"{found[1].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine() or sys.platform


def _memory() -> str:
    total = free = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError):
        text = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")
        found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M)
        free = int(found[1]) * 1024 if found else None
    if total is None:
        return "not known here"
    parts = [f"{total / _GIB:.1f} GiB"]
    if free is not None:
        parts.append(f"{free / _GIB:.1f} GiB available")
    limit = _cgroup("memory.max")
    if limit and limit != "max" and int(limit) < total:
        parts.append(f"limited to {int(limit) / _GIB:.1f} GiB by its container")
    return ", ".join(parts)


def _cgroup(name: str) -> str | None:
    with contextlib.suppress(OSError):
        return Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip() or None
    return None
