"""What an export is asked for: refused before any work if it cannot be."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from superres.errors import UserError
from superres.imaging.files import is_special

ENDINGS = {
    "onnx": (".onnx",),
    "torchscript": (".pt", ".ts", ".torchscript"),
    "openvino": (".xml",),
    "safetensors": (".safetensors",),
    "spandrel": (".safetensors",),
}
TARGETS = tuple(ENDINGS)
LAYOUTS = ("nchw", "nhwc")
PROGRAMS = ("onnx", "torchscript", "openvino")
"""Targets that hold what is computed; the others hold weights only."""
_NEEDS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}


def check_request(to: str, uint8: str | None) -> None:
    """UserError if there is no such target, or its packages are missing."""
    if to not in TARGETS:
        raise UserError(f"export: no target {to!r}; choose one of {', '.join(TARGETS)}")
    if uint8 is not None and uint8 not in LAYOUTS:
        raise UserError(f"uint8: the layout must be {' or '.join(LAYOUTS)}, not {uint8!r}")
    if uint8 is not None and to not in PROGRAMS:
        raise UserError(f"uint8 is for programs ({', '.join(PROGRAMS)}), {to} holds weights only")
    missing = [p for p in _NEEDS.get(to, ()) if importlib.util.find_spec(p) is None]
    if missing:
        extra = "onnxruntime" if to == "onnx" else to
        raise UserError(
            f"export to {to} needs {' and '.join(missing)}: pip install 'superres[{extra}]'"
        )


def check_place(source: str | Path, out: Path, to: str) -> None:
    """UserError if a file for ``to`` cannot be at ``out``, or would destroy another there."""
    if os.path.isdir(out):
        raise UserError(f"{out}: is a folder; name a file")
    if out.suffix.lower() not in ENDINGS[to]:
        raise UserError(
            f"{out}: a file for {to} must end in {' or '.join(ENDINGS[to])}, not {out.suffix!r}"
        )
    if is_special(out):
        raise UserError(f"{out}: is no file (a device or a pipe); choose the name of a new one")
    weights = out.with_suffix(".bin")
    if to == "openvino" and os.path.exists(weights):
        own = os.path.isfile(out) and os.path.isfile(weights)
        if not own or (os.path.exists(source) and os.path.samefile(weights, source)):
            raise UserError(
                f"{weights} is there already, where the weights of {out.name} would go; choose "
                "another name"
            )
    if not os.path.isdir(out.parent) or not os.access(out.parent, os.W_OK):
        raise UserError(
            f"{out}: cannot be written; choose a folder that exists and that you may write"
        )
