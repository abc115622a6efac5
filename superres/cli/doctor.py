"""Look at this installation: versions, devices, extras, write access, one small upscale.

The output is plain text to paste into an issue: the home folder stands as ~, the user's name
within paths as USER. It works, and says what is wrong, where torch, OpenCV or another package is
missing or broken: each is imported in a process of its own.
Exit code 0: all is fine; 1: something is broken, with what to do about it at the end.
"""

from __future__ import annotations

import argparse
import functools
import getpass
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import superres
from superres.files import write_text
from superres.paths import cache_dir

NEEDED = {
    **{"numpy": "numpy", "torch": "torch", "cv2": "opencv-python", "PIL": "pillow"},
    **{"safetensors": "safetensors", "lmdb": "lmdb", "rich": "rich", "jinja2": "Jinja2"},
    **{"addict": "addict", "mmengine": "mmengine", "mmcv": "mmcv-lite"},
}
"""Module -> the package that brings it; what others need comes before them."""

EXTRAS = {
    "openvino": ("openvino", "the fastest way to upscale on a CPU"),
    "onnxruntime": ("onnxruntime onnx", "faster than PyTorch on a CPU; superres export onnx"),
    "video": ("av", "superres upscale clip.mp4"),
    "large": ("pyvips", "superres upscale to images larger than memory"),
    "serve": ("starlette uvicorn", "superres serve, a page to try it"),
    "hub": ("huggingface_hub", "from_pretrained and push_to_hub"),
    "spandrel": ("spandrel", "networks of ComfyUI and chaiNNer"),
    "tensorboard": ("tensorboard", "training curves in TensorBoard"),
    "quickstart": ("scikit-image scikit-learn", "superres quickstart, a first training"),
    "hf": ("pyarrow", "data prepare hf, Parquet data sets"),
    "metrics": ("torchmetrics", "MS-SSIM in tables"),
    "perceptual": ("torchmetrics torchvision", "LPIPS and DISTS in tables"),
    "niqe": ("pyiqa", "NIQE in tables"),
}
"""Name for ``pip install superres[NAME]`` -> (its packages, what it gives)."""

SETTINGS = re.compile("SUPERRES_|CUDA_VISIBLE|OMP_NUM|PYTORCH_|LD_PRELOAD|PYTHONPATH")
_OPENCVS = [f"opencv-{kind}python{how}" for kind in ("", "contrib-") for how in ("", "-headless")]
_SECONDS = 120

_TORCH = """
import json, torch
of = torch.cuda.get_device_properties
print(json.dumps({"threads": torch.get_num_threads(), "CUDA": torch.version.cuda or "CPU build",
    "CPU capability": torch.backends.cpu.get_cpu_capability(),
    **{f"cuda:{i}": f"{of(i).name}, {of(i).total_memory / 2**30:.1f} GiB, sm_{of(i).major}{of(i).minor}"
        for i in range(torch.cuda.device_count())}}))
"""  # noqa: E501
_SMALL_UPSCALE = """
import json, numpy, superres
from superres.evaluation.metrics import psnr
from superres.imaging.resize import imresize
y, x = numpy.mgrid[0:48, 0:64]
hr = numpy.stack([y * 5, x * 3, 127 + 120 * numpy.sin((x + y) / 3)], 2).astype(numpy.uint8)
score = psnr(superres.load_model("edsr-s", 2).upscale(imresize(hr, scale=0.5)), hr, border=2)
assert score > 30, f"{score:.2f} dB where more than 30 dB are right"
print(json.dumps({"result": f"passed, {score:.2f} dB"}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="as JSON, on standard output or there"
    )
    parser.add_argument("--no-self-test", action="store_true", help="leave the upscale out")


def run(args: argparse.Namespace) -> int:
    """Examine, and print; 1 if something is broken."""
    report = examine(self_test=not args.no_self_test)
    record = {"schema": 1, "command": "doctor", "ok": not report.problems, **vars(report)}
    if args.json not in (None, "-"):
        write_text(Path(args.json), json.dumps(record, indent=1))
    text = json.dumps(record, indent=1) if args.json == "-" else report.text()
    print(text)
    return 1 if report.problems else 0


@dataclass
class Report:
    """What was found.

    Attributes:
        sections: title -> {name: value}.
        problems: ``{"what", "do"}``: something is broken.
        notes: what works, but not as well as it could.
    """

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def facts(self, section: str, **values: object) -> None:
        """Lines of a section."""
        found = {name: private(str(value)) for name, value in values.items()}
        self.sections.setdefault(section, {}).update(found)

    def problem(self, what: str, do: str) -> None:
        """Something is broken: ``what``, and what to ``do`` about it."""
        self.problems.append({"what": private(what), "do": private(do)})

    def text(self) -> str:
        """Ready to paste into an issue: plain lines, no colours."""
        lines = []
        for title, facts in ((t, f) for t, f in self.sections.items() if f):
            lines += [f"{title}:", *(f"  {name:<16}  {v}" for name, v in facts.items()), ""]
        lines += [f"note: {note}" for note in self.notes]
        for number, problem in enumerate(self.problems, 1):
            lines += [f"problem {number}: {problem['what']}", f"  what to do: {problem['do']}"]
        return "\n".join(lines if self.problems else [*lines, "all fine"])


def examine(self_test: bool = True) -> Report:
    """All that the doctor looks at."""
    report = Report()
    try:
        os.getcwd()
    except OSError as error:  # libraries cannot be loaded from there: that is not their fault
        report.problem(f"the current folder is gone ({error.strerror})", "go to another: cd")
        os.chdir(os.sep)
    broken = _versions(report)
    _machine(report, "torch" not in broken)
    for name, (packages, gives) in EXTRAS.items():
        versions = {package: _version(package) for package in packages.split()}
        found = ", ".join(f"{package} {version}" for package, version in versions.items())
        state = (
            found if all(versions.values()) else f"not installed; pip install 'superres[{name}]'"
        )
        report.facts("optional extras", **{name: f"{state}  ({gives})"})
    _places(report)
    report.facts("settings", **{k: v for k, v in os.environ.items() if SETTINGS.match(k)})
    if self_test and broken:
        missing = ", ".join(NEEDED[module] for module in broken)
        report.facts("self-test", result=f"not run, for want of {missing}")
    elif self_test:
        facts, fault = _in_a_process(_SMALL_UPSCALE)
        report.facts("self-test", **facts or {"result": "FAILED"})
        if fault:
            report.problem(
                f"a small picture could not be upscaled with edsr-s: {fault}",
                "install superres and torch again in a fresh environment (in a checkout: git "
                "checkout superres/weights); if it stays, report it with this text",
            )
    return report


def _versions(report: Report) -> list[str]:
    """Facts of superres, Python and the packages needed; those that cannot be imported."""
    here = f"{superres.__version__}, {Path(superres.__file__).parent}"
    python = f"{platform.python_version()} ({sys.executable})"
    report.facts("versions", superres=here, Python=python, system=platform.platform())
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        report.problem(f"Python {python} is not one that superres is made for", "use 3.11 to 3.13")
    all_fine, _ = _in_a_process(f"import {', '.join(NEEDED)}; print('{{}}')")
    broken: dict[str, str] = {}
    for module, package in NEEDED.items():
        version = _version(package)
        fault = "" if all_fine is not None else _in_a_process(f"import {module}; print('{{}}')")[1]
        state = f"{'BROKEN: ' * bool(fault)}{version}" if version else "MISSING"
        report.facts("versions", **{package: state})
        # A package fails for want of another one, of which a problem tells already.
        if fault and not any(
            re.search(rf"\b{b}\b", fault) or fault == f for b, f in broken.items()
        ):
            report.problem(*_explain(module, package, fault))
        if fault:
            broken[module] = fault
    several = [name for name in _OPENCVS if _version(name, twins=False)]
    if len(several) > 1:
        both = f"{' and '.join(several)} are both installed and write into the same folder"
        report.notes.append(f"{both}; if OpenCV misbehaves: uninstall them, install one of them")
    return list(broken)


def _explain(module: str, package: str, fault: str) -> tuple[str, str]:
    if module == "cv2" and ".so" in fault:
        from superres.imaging._cv2 import explain_import_error

        what, _, do = explain_import_error(ImportError(fault)).partition(". ")
        return what, do
    lacks = re.search(r"No module named '([\w.]+)'", fault)
    if lacks and lacks[1] != module:
        return f"{package} needs {lacks[1]}, which is not installed", f"pip install {lacks[1]}"
    if not _version(package):
        return f"the package {package!r} is not installed ({fault})", f"pip install {package}"
    again = f"pip install --force-reinstall {package}"
    return f"{package} is installed but cannot be imported: {fault}", f"{again}, built for this CPU"


def _in_a_process(code: str) -> tuple[dict[str, Any] | None, str]:
    """What a program prints as JSON, or None and why it ended; a crash or a hang stays there."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"it did not end within {_SECONDS} s; something there hangs"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    crash = f"Python itself crashed, signal {-done.returncode}: " * (done.returncode < 0)
    return None, crash + (done.stderr.strip().splitlines() or [""])[-1][:300]


def _machine(report: Report, with_torch: bool) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    named = None
    if os.path.exists("/proc/cpuinfo"):
        named = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    report.facts("machine", CPU=named[1] if named else platform.machine(), cores=f"{cores} usable")
    if hasattr(os, "sysconf"):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        report.facts("machine", memory=f"{size / 2**30:.1f} GiB")
    facts, fault = _in_a_process(_TORCH) if with_torch else (None, "")
    report.facts("torch", **facts or {"settings": fault or "not known without torch"})
    if facts and os.path.exists("/dev/nvidiactl") and "cuda:0" not in facts:
        report.notes.append(
            f"an NVIDIA GPU is here, and this torch ({facts['CUDA']}) does not use it; "
            "https://pytorch.org tells which one does, nvidia-smi whether the driver works"
        )
    if facts and facts["threads"] == 1 and (cores or 1) > 2:
        report.notes.append(f"torch uses one thread of {cores} cores; is OMP_NUM_THREADS set?")


def _places(report: Report) -> None:
    places = {"TMPDIR": Path(tempfile.gettempdir()), "SUPERRES_HOME": cache_dir()}
    for variable, place in places.items():
        there = next(p for p in (place, *place.parents) if p.exists())
        made = " (made when first used)" * (there != place)
        try:
            with tempfile.NamedTemporaryFile(dir=there, prefix=".superres-doctor-"):
                state = "writable"
        except OSError as error:
            state = f"NOT writable ({error.strerror})"
            report.problem(f"{place} cannot be written", f"set {variable} to a folder that can")
        report.facts("write access", **{variable: f"{place}{made}: {state}"})


def _version(package: str, twins: bool = True) -> str:
    """Of an installed package, or of a twin of OpenCV's; empty where it is not installed."""
    names = _OPENCVS if package == "opencv-python" and twins else [package]
    return next((_installed()[n.lower()] for n in names if n.lower() in _installed()), "")


@functools.cache
def _installed() -> dict[str, str]:
    """Version by name of all packages: looking for them reads the whole environment."""
    return {d.name.lower(): d.version for d in metadata.distributions() if d.name}


def private(text: str) -> str:
    """``text`` as printable lines, the home folder as ~, the user's name in paths as USER."""
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    home = os.path.expanduser("~")
    text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text
    for name in {os.path.basename(home), getpass.getuser()} - {"", "root", "home"}:
        within = rf"([/\\][^\s'\"]*?)(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
        text = re.sub(within, r"\1USER", text)
    return text
