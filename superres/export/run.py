"""``export``: read weights, fold, write for another program, compare, and only then keep."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import nn

import superres
from superres.checkpoints import LoadedWeights, build_network, load_model, read_weights
from superres.checkpoints.light import CONFIG_TENSOR, METADATA_KEY, checksums
from superres.checkpoints.spandrel_networks import SpandrelNetwork
from superres.errors import UserError
from superres.export import programs, weights
from superres.files import write_atomically
from superres.inference import in_channels, radius_of
from superres.inference.backends import conversion
from superres.inference.backends.conversion import SIZES, NotConvertible

ENDINGS = {
    "onnx": (".onnx",),
    "torchscript": (".pt", ".ts", ".torchscript"),
    "openvino": (".xml",),
    "safetensors": (".safetensors",),
    "spandrel": (".safetensors",),
}
TARGETS = tuple(ENDINGS)
LAYOUTS = ("nchw", "nhwc")
_PROGRAMS = {
    "onnx": programs.onnx,
    "torchscript": programs.torchscript,
    "openvino": programs.openvino,
}
"""Targets that hold what is computed; the others hold weights only."""
_NEEDS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino", "onnx")}
# Two float results on either side of a half: one step of 255, and very rarely.
_ROUNDING_SHARE = 1e-3


@dataclass(frozen=True)
class Exported:
    """What `export` did.

    Attributes:
        path: the file (OpenVINO's weights are beside it, ``.bin``).
        to: one of `TARGETS`.
        source: one line about the weights.
        scale: of the network in the file.
        difference: largest difference from the original on pictures of two sizes, in units of the
            range; of 8-bit programs the share of samples that differ, by one step.
    """

    path: Path
    to: str
    source: str
    scale: int
    difference: float


def export(
    source: str | Path,
    out: str | Path,
    to: str,
    scale: int | None = None,
    format: str | None = None,
    uint8: str | None = None,
    **hints: Any,
) -> Exported:
    """Write a network for another program.

    The residual scale is folded into the weights, and so is the range where only weights are
    written. The file takes pictures of any size, RGB in [0, 1] unless ``uint8``. It is run on
    pictures of two sizes and kept only if the result is that of the original.

    Args:
        source: a weight file or a name, see `superres.load_model`.
        out: file to write; replaced only by a whole one that was checked.
        to: one of `TARGETS`.
        scale: needed for a network of several scales (MDSR).
        format, **hints: see `superres.checkpoints.read_weights`.
        uint8: ``'nchw'`` or ``'nhwc'`` makes a program that takes and gives 8-bit pictures.

    Raises:
        UserError: a package that is missing, an unknown target or wrong ending, several scales
            and none chosen, a network that the target cannot hold, a file that cannot be
            written, weights that cannot be read, or, for OpenVINO, something else's ``.bin``
            file where its weights would go.
    """
    out = Path(out).expanduser()
    _check_request(source, out, to, uint8)
    loaded, model, told = _open(source, scale, format, hints, to)
    model = model.cpu().float().eval()
    try:
        if to in _PROGRAMS:
            files, difference = _program(model, loaded, to, uint8)
        else:
            files, difference = _weights(loaded, model, to, scale)
    except (ImportError, NotConvertible) as error:  # a broken package raises the first
        raise UserError(f"{told} cannot be exported to {to}: {error}") from error
    for suffix, data in files.items():
        place = out.with_suffix(suffix) if suffix == ".bin" else out
        write_atomically(place, lambda file, data=data: file.write(data))
    return Exported(out, to, told, int(model.scale), difference)


def _check_request(source: str | Path, out: Path, to: str, uint8: str | None) -> None:
    """UserError if there is no such target, its packages are missing, or ``out`` is not for it."""
    if to not in TARGETS:
        raise UserError(f"export: no target {to!r}; choose one of {', '.join(TARGETS)}")
    if uint8 not in (None, *LAYOUTS):
        raise UserError(f"uint8: the layout must be {' or '.join(LAYOUTS)}, not {uint8!r}")
    if uint8 is not None and to not in _PROGRAMS:
        raise UserError(f"uint8 is for programs ({', '.join(_PROGRAMS)}), {to} holds weights only")
    missing = [p for p in _NEEDS.get(to, ()) if importlib.util.find_spec(p) is None]
    if missing:
        extra = "onnxruntime" if to == "onnx" else to
        raise UserError(
            f"export to {to} needs {' and '.join(missing)}: pip install 'superres[{extra}]'"
        )
    if out.suffix.lower() not in ENDINGS[to]:
        raise UserError(
            f"{out}: a file for {to} must end in {' or '.join(ENDINGS[to])}, not {out.suffix!r}"
        )
    if not os.path.isdir(out.parent):
        raise UserError(f"{out}: cannot be written; choose a folder that exists")
    second = out.with_suffix(".bin")
    if to == "openvino" and os.path.exists(second):
        own = os.path.isfile(out)
        if not own or (os.path.exists(source) and second.samefile(source)):
            raise UserError(
                f"{second} is there already, where the weights of {out.name} would go; choose "
                "another name"
            )


def _open(
    source: str | Path, scale: int | None, format: str | None, hints: dict[str, Any], to: str
) -> tuple[LoadedWeights | None, nn.Module, str]:
    """The weights if they are of a network of ours, the network at its scale, a line about it."""
    model = load_model(source, scale, format, device="cpu", **hints)
    if isinstance(model, SpandrelNetwork):
        if to not in _PROGRAMS:
            raise UserError(
                f"{source}: a network of spandrel's own ({model.architecture}) is loaded by "
                f"spandrel as it is; it can be exported to {', '.join(_PROGRAMS)}"
            )
        return None, model, f"{source}: {model.architecture} x{model.scale}"
    loaded = read_weights(source, format, scale, **hints)
    if to == "spandrel" and loaded.config["type"] not in weights.SPANDREL_NETWORKS:
        raise UserError(
            f"{source}: superres.interop.spandrel offers "
            f"{', '.join(weights.SPANDREL_NETWORKS)} to spandrel, not "
            f"{loaded.config['type']}; export to safetensors, or a program such as onnx"
        )
    scales = loaded.config.get("scales") or []
    if len(scales) > 1 and scale is None and to != "safetensors":  # ours can hold them all
        has = ", ".join(map(str, scales))
        raise UserError(f"{loaded.path}: a network for several scales; pass scale= (--scale) {has}")
    return loaded, model, loaded.summary


def _facts(model: nn.Module, loaded: LoadedWeights | None, uint8: str | None) -> dict[str, str]:
    network = loaded.config if loaded else {"type": getattr(model, "architecture", "unknown")}
    radius = radius_of(model)
    return {
        "scale": str(model.scale),
        "network": str(network["type"]),
        "config": json.dumps(network),
        "range": "0..255" if uint8 else "0..1",
        "type": "uint8" if uint8 else "float32",
        "layout": uint8 or "nchw",
        "colour": {1: "grey", 3: "RGB"}.get(in_channels(model), f"{in_channels(model)} channels"),
        "bytes_per_pixel": f"{conversion.facts(model)[3]:.0f}",
        "receptive_radius": "whole picture" if radius is None else str(radius),
        "made_by": f"superres {superres.__version__}",
    }


def _program(
    model: nn.Module, loaded: LoadedWeights | None, to: str, uint8: str | None
) -> tuple[dict[str, bytes], float]:
    """The files of a program, and how far its results are from the network's."""
    program = conversion.portable(model)
    example = conversion.picture(in_channels(model), SIZES[0])
    if uint8:
        program = programs.BytesInBytesOut(program, uint8).eval()
        example = _as_bytes(example, uint8)
    files, run = _PROGRAMS[to](program, example, _facts(model, loaded, uint8))
    if not uint8:
        return files, conversion.check(model, run)
    reference = programs.BytesInBytesOut(model, uint8).eval()
    return files, max(_unequal(reference, run, model, size, uint8) for size in SIZES)


def _as_bytes(x: torch.Tensor, layout: str) -> torch.Tensor:
    x = (x * 255).round().to(torch.uint8)
    return x.permute(0, 2, 3, 1).contiguous() if layout == "nhwc" else x


@torch.no_grad()
def _unequal(
    reference: nn.Module, run: Any, model: nn.Module, size: tuple[int, int], layout: str
) -> float:
    """The share of 8-bit samples that differ, by one step; NotConvertible where it is more."""
    x = _as_bytes(conversion.picture(in_channels(model), size), layout)
    wanted = reference(x)
    try:
        difference = (run(x).int() - wanted.int()).abs()
    except Exception as error:
        raise NotConvertible(f"the file fails on {tuple(x.shape)}: {error}") from error
    share = float((difference > 0).double().mean())
    if difference.max() > 1 or share > _ROUNDING_SHARE:
        raise NotConvertible(f"{share:.2%} of the samples differ")
    return share


def _weights(
    loaded: LoadedWeights, model: nn.Module, to: str, scale: int | None
) -> tuple[dict[str, bytes], float]:
    """A weight file, and how far the results of the network in it are from the original's."""
    state, config = weights.fold(loaded, scale)
    back = build_network(dataclasses.replace(loaded, config=config, state_dict=state)).eval()
    several = (loaded.config.get("scales") or []) if scale is None else []
    worst = 0.0
    for each in [*several, int(model.scale)]:
        for network in (model, back):
            if hasattr(network, "set_scale"):
                network.set_scale(each)
        worst = max(worst, conversion.check(model, back))
    metadata = {METADATA_KEY: json.dumps(config), "format": "pt"}
    if to == "spandrel":
        state = {**state, CONFIG_TENSOR: weights.config_tensor(config)}
    return {"": to_safetensors(state, metadata | checksums(state, metadata))}, worst
