"""Look at this installation: versions, devices, extras, write access, one small upscale.

The output is plain text to paste into an issue: the home folder stands as ~, the user's name
within paths as USER. It works, and says what is wrong, where torch, OpenCV or another package is
missing or broken: they are imported in a process of their own.
Exit code 0: all is fine; 1: something is broken, with what to do about it at the end.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import superres
from superres.paths import cache_dir

LIGHT = {"numpy": "numpy", "cv2": "opencv-python", "PIL": "pillow", "rich": "rich", "ncnn": "ncnn"}
"""Module -> the package that brings it; what others need comes before them."""
FULL = {"torch": "torch", "safetensors": "safetensors", "lmdb": "lmdb", "jinja2": "Jinja2"}
FULL |= {"addict": "addict", "mmengine": "mmengine", "mmcv": "mmcv-lite"}

SETTINGS = re.compile("SUPERRES_|CUDA_VISIBLE|OMP_NUM|PYTORCH_|LD_PRELOAD|PYTHONPATH")
OPENCVS = [f"opencv-{kind}python{how}" for kind in ("", "contrib-") for how in ("", "-headless")]
_SECONDS = 120

_IMPORTS = "import sys\nfor name in sys.argv[1:]: print(name, flush=True); __import__(name)"
_TORCH = """
import json, torch
gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"threads": torch.get_num_threads(), "CUDA": torch.version.cuda or "CPU build",
    "CPU capability": torch.backends.cpu.get_cpu_capability(),
    **{f"cuda:{i}": f"{g.name}, {g.total_memory / 2**30:.1f} GiB" for i, g in enumerate(gpus)}}))
"""
_SMALL_UPSCALE = """
import numpy, superres
from superres.imaging.resize import imresize
y, x = numpy.mgrid[0:48, 0:64]
hr = numpy.stack([y * 5, x * 3, 127 + 120 * numpy.sin((x + y) / 3)], 2).astype(numpy.uint8)
sr = superres.upscale(imresize(hr, scale=0.5), "edsr-s", 2)
score = 10 * numpy.log10(255**2 / ((sr * 1.0 - hr)[2:-2, 2:-2] ** 2).mean())
assert score > 30, f"{score:.2f} dB where more than 30 dB are right"
print(f"passed, {score:.2f} dB")
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine, and print; 1 if something is broken."""
    report = Report()
    report.examine()
    record = {"schema": 1, "command": "doctor", "ok": not report.problems, **vars(report)}
    print(private(json.dumps(record, indent=1) if args.json else report.text()))
    return 1 if report.problems else 0


class Report:
    """What is found.

    Attributes:
        sections: title -> {name: value}.
        problems: (what is broken, what to do about it).
        notes: what works, but not as well as it could.
    """

    def __init__(self) -> None:
        self.sections: dict[str, dict[str, str]] = {}
        self.problems: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def text(self) -> str:
        """Ready to paste into an issue: plain lines, no colours."""
        lines = []
        for title, facts in self.sections.items():
            lines += [f"{title}:", *(f"  {name:<16}  {v}" for name, v in facts.items()), ""]
        lines += [f"note: {note}" for note in self.notes]
        for number, (what, do) in enumerate(self.problems, 1):
            lines += [f"problem {number}: {what}", f"  what to do: {do}"]
        return "\n".join(lines if self.problems else [*lines, "all fine"])

    def examine(self) -> None:
        """Look at everything."""
        sound = self.packages()
        self.torch()
        self.sections["extras"] = extras()
        for name, place in ("TMPDIR", Path(tempfile.gettempdir())), ("SUPERRES_HOME", cache_dir()):
            there = next(p for p in (place, *place.parents) if p.exists())
            if not (there.is_dir() and os.access(there, os.W_OK)):
                fault = f"{place} cannot be written"
                self.problems.append((fault, f"set {name} to another folder"))
        self.sections["settings"] = {k: v for k, v in os.environ.items() if SETTINGS.match(k)}
        if sound:
            result, fault = in_a_process(_SMALL_UPSCALE)
            self.sections["self-test"] = {"result": fault or result}
            if fault:
                what = f"a small image could not be upscaled: {fault}"
                self.problems.append((what, "install superres again in a fresh environment"))

    def packages(self) -> bool:
        """Versions of superres, Python and what it needs; whether all of these can be imported."""
        needed = LIGHT | FULL
        if not version("torch") and not version("mmengine"):
            needed = LIGHT
            self.notes.append("the light install: upscaling only, with networks that come with it")
        found = {package: version(package) for package in needed.values()}
        info = Path("/proc/cpuinfo")  # of Linux
        cpu = re.search(r"model name\s*: (.*)", info.read_text("utf-8") if info.exists() else "")
        self.sections["versions"] = {
            "superres": f"{superres.__version__}, {Path(superres.__file__).parent}",
            "Python": f"{platform.python_version()} ({sys.executable})",
            "system": f"{platform.platform()}, {cpu and cpu[1]}, {os.cpu_count()} cores",
            **{name: text or "MISSING" for name, text in found.items()},
        }
        if missing := " ".join(name for name, text in found.items() if not text):
            self.problems.append((f"not installed: {missing}", f"pip install {missing}"))
            return False
        tried, fault = in_a_process(_IMPORTS, *needed)
        if fault:
            module = tried.split()[-1]
            self.sections["versions"][needed[module]] += " BROKEN"
            self.problems.append(explained(module, needed[module], fault))
        return not fault

    def torch(self) -> None:
        """What torch sees, where it can be imported."""
        printed, fault = in_a_process(_TORCH) if version("torch") else ("", "not installed")
        facts = self.sections["torch"] = {"state": fault} if fault else json.loads(printed)
        if not fault and os.path.exists("/dev/nvidiactl") and "cuda:0" not in facts:
            self.notes.append(
                f"an NVIDIA GPU is here, and this torch ({facts['CUDA']}) does not use it; "
                "https://pytorch.org tells which one does, nvidia-smi whether the driver works"
            )


def explained(module: str, package: str, fault: str) -> tuple[str, str]:
    """What is wrong with a package that cannot be imported, and what to do."""
    if module == "cv2" and ".so" in fault:
        from superres.imaging._cv2 import explain_import_error

        what, _, do = explain_import_error(ImportError(fault)).partition(". ")
        return what, do
    again = f"pip install --force-reinstall {package}"
    return f"{package} is installed but cannot be imported: {fault}", f"{again}, built for this CPU"


def in_a_process(code: str, *arguments: str) -> tuple[str, str]:
    """What a program printed, and why it failed, or empty; a crash or a hang stays there."""
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(), f"it did not end within {_SECONDS} s: it hangs"
    crash = f"Python itself crashed, signal {-done.returncode}: " * (done.returncode < 0)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
    return done.stdout.strip(), f"{crash}{last}" if done.returncode else ""


def extras() -> dict[str, str]:
    """The packages of each extra for users, as this installation of superres names them."""
    found: dict[str, list[str]] = {}
    for line in (metadata.requires("superres") or []) if version("superres") else []:
        if match := re.match(r"""([\w.-]+).*extra == ['"](?!all|tests|docs)(\w+)""", line):
            found.setdefault(match[2], []).append(f"{match[1]} {version(match[1]) or 'MISSING'}")
    install = "; to install: pip install 'superres[{}]'"
    texts = {name: ", ".join(packages) for name, packages in found.items()}
    return {n: text + install.format(n) * ("MISSING" in text) for n, text in texts.items()}


def version(package: str) -> str:
    """Of an installed package, or of a twin of OpenCV's; empty where it is not installed."""
    names = OPENCVS if package == "opencv-python" else [package]
    return next((d.version for name in names for d in metadata.distributions(name=name)), "")


def private(text: str) -> str:
    """``text`` as printable lines, the home folder as ~, the user's name in paths as USER."""
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    home = os.path.expanduser("~")
    text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text
    for name in {os.path.basename(home), getpass.getuser()} - {"", "root", "home"}:
        within = rf"([/\\][^\s'\"]*?)(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
        text = re.sub(within, r"\1USER", text)
    return text
