"""What an export is asked for: refused before any work if it cannot be."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from superres.errors import UserError
from superres.files import is_special, name_for, take_over

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


@contextlib.contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside ``out`` that is gone afterwards.

    Its name follows from that of ``out``, so that what an export that was killed left of it goes
    with the next one. Beside another process that writes the same file it gets another name.

    Raises:
        OSError: it cannot be made.
    """
    folder = out.parent / f".superres-export-{name_for(out)}"
    descriptor = _taken(folder)
    if descriptor is None:
        folder = Path(tempfile.mkdtemp(prefix=".superres-export-", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _taken(folder: Path) -> int | None:
    """A descriptor that locks ``folder``, made or emptied; None if another process has it."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows; there a killed export's folder stays
        return None
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if take_over(descriptor, folder):
            for part in folder.iterdir():
                part.unlink()
            return descriptor
    except OSError:
        pass  # in use, no locks here, or something else of that name
    os.close(descriptor)
    return None


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
