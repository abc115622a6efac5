"""Versions, what each package is for, and the optional extras."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import sys
import traceback
from importlib import metadata
from types import ModuleType

import superres
from superres.cli._doctor.findings import Findings

NEEDED = {
    "numpy": "numpy",
    "torch": "torch",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "lmdb": "lmdb",
    "rich": "rich",
    "jinja2": "Jinja2",
    "addict": "addict",
    "mmengine": "mmengine",
    "mmcv": "mmcv-lite",
}
"""Module -> the package that brings it; what others need comes before them."""

EXTRAS: dict[str, tuple[dict[str, str], str]] = {
    "openvino": (
        {"openvino": "openvino"},
        "the fastest way to upscale on a CPU",
    ),
    "onnxruntime": (
        {"onnxruntime": "onnxruntime", "onnx": "onnx"},
        "faster than PyTorch on a CPU; superres export onnx",
    ),
    "video": ({"av": "av"}, "superres upscale clip.mp4"),
    "serve": ({"starlette": "starlette", "uvicorn": "uvicorn"}, "superres serve, a page to try it"),
    "hub": ({"huggingface_hub": "huggingface_hub"}, "from_pretrained and push_to_hub"),
    "spandrel": ({"spandrel": "spandrel"}, "networks of ComfyUI and chaiNNer"),
    "tensorboard": ({"tensorboard": "tensorboard"}, "training curves in TensorBoard"),
    "quickstart": (
        {"skimage": "scikit-image", "sklearn": "scikit-learn"},
        "superres quickstart, a first training",
    ),
    "hf": ({"pyarrow": "pyarrow"}, "data prepare hf, Parquet data sets"),
    "metrics": ({"torchmetrics": "torchmetrics"}, "MS-SSIM in tables"),
    "perceptual": (
        {"torchmetrics": "torchmetrics", "torchvision": "torchvision"},
        "LPIPS and DISTS in tables",
    ),
    "niqe": ({"pyiqa": "pyiqa"}, "NIQE in tables"),
}
"""Name for ``pip install superres[NAME]`` -> (module -> package, what it gives)."""

_CV2_TWINS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def look_at_versions(findings: Findings) -> None:
    """superres, Python, and every package that it needs: importable, and which version."""
    section = "versions"
    findings.fact(section, "superres", superres.__version__)
    findings.fact(section, "installed in", os.path.dirname(os.path.abspath(superres.__file__)))
    findings.fact(section, "Python", f"{platform.python_version()} ({sys.executable})")
    findings.fact(section, "system", f"{platform.platform()}, {platform.machine()}")
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        findings.problem(
            f"Python {platform.python_version()} is not one that superres is made for",
            "use Python 3.11, 3.12 or 3.13",
        )
    for module, package in NEEDED.items():
        loaded = load(findings, module)
        if loaded is not None:
            findings.fact(section, package, version(package, loaded))
        else:
            state = f"BROKEN: {version(package)}" if _installed(package) else "MISSING"
            findings.fact(section, package, state)
    several = [name for name in _CV2_TWINS if _installed(name)]
    if len(several) > 1:
        findings.note(
            f"{' and '.join(several)} are both installed and write into the same folder; if "
            f"OpenCV misbehaves: pip uninstall {' '.join(several)}, then install one of them"
        )


def load(findings: Findings, module: str) -> ModuleType | None:
    """Import a needed module; None, and a problem with its remedy, if that fails."""
    if module in findings.broken:  # told already
        return None
    findings.begin("package", module)
    try:
        return importlib.import_module(module)
    except Exception as error:  # broken packages raise anything: OSError, AttributeError, ...
        if not _is_consequence(module, error, findings.broken):
            findings.problem(*_explain(module, NEEDED[module], error))
        findings.broken.add(module)
        return None


def _is_consequence(module: str, error: Exception, broken: set[str]) -> bool:
    """Whether an import failed for want of another package, of which a problem tells already."""
    wanted = (getattr(error, "name", None) or "").partition(".")[0]
    # A broken package fails within its own files, or says the name of what it needs.
    text = " ".join(frame.filename for frame in traceback.extract_tb(error.__traceback__))
    text = f"{text} {error}"
    return any(
        other == wanted or re.search(rf"(?<!\w){other}(?!\w)", text) for other in broken - {module}
    )


def _explain(module: str, package: str, error: Exception) -> tuple[str, str]:
    said = f"{type(error).__name__}: {error}".strip()
    if module == "cv2" and isinstance(error, ImportError) and present("cv2"):
        from superres.imaging._cv2 import explain_import_error

        what, _, do = explain_import_error(error).partition(". ")
        return what, do or "pip install --force-reinstall opencv-python"
    missing = isinstance(error, ModuleNotFoundError) and error.name == module
    if not missing and isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"{package} is installed, but {error.name}, which it needs, is not",
            f"pip install {error.name} (or {package} again, with what it needs)",
        )
    install = f"pip install {package}"
    if module == "torch":
        install = "pip install torch (https://pytorch.org tells which one fits a GPU)"
    if not _installed(package) and (missing or not present(module)):
        return f"the package {package!r} is not installed for {sys.executable}", install
    return (
        f"{package} is installed but cannot be imported ({said})",
        install.replace("pip install", "pip install --force-reinstall", 1),
    )


def look_at_optional_extras(findings: Findings) -> None:
    """What is installed of the extras, what each gives, and how to have it."""
    for name, (modules, gives) in EXTRAS.items():
        missing = [package for module, package in modules.items() if not present(module)]
        if missing:
            state = f"not installed; pip install 'superres[{name}]'"
        else:
            state = ", ".join(f"{package} {version(package)}" for package in modules.values())
        findings.fact("optional extras", name, f"{state}  ({gives})")


def present(module: str) -> bool:
    """Whether an optional module is there, without importing it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version(package: str, module: ModuleType | None = None) -> str:
    """Of an installed package, else what the module says of itself."""
    said = getattr(module, "__version__", None)
    if package == "torch" and said:  # with the build: +cpu, +cu126
        return str(said)
    for name in _CV2_TWINS if package == "opencv-python" else (package,):
        if _installed(name):
            other = "" if name == package else f" ({name})"
            return metadata.version(name) + other
    return str(said or "of unknown version")


def _installed(package: str) -> bool:
    try:
        return metadata.version(package) is not None
    except metadata.PackageNotFoundError:
        return False
