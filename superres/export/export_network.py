"""``export``: read weights, fold, write for another program, compare, and only then keep."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import nn

import superres
from superres.checkpoints import LoadedWeights, build_network, read_weights
from superres.checkpoints.weight_files import CONFIG_TENSOR, METADATA_KEY, checksums
from superres.errors import UserError
from superres.export import programs, weights
from superres.files import write_atomically
from superres.inference import in_channels
from superres.inference.backends import check_name, conversion
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
        difference: largest difference from the original on images of two sizes, in units of the
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
    written. The file takes images of any size, RGB in [0, 1] unless ``uint8``. It is run on
    images of two sizes and kept only if the result is that of the original.

    Args:
        source: a weight file or a name, see `superres.load_model`.
        out: file to write; replaced only by a whole one that was checked.
        to: one of `TARGETS`.
        scale: needed for a network of several scales (MDSR).
        format, **hints: see `superres.checkpoints.read_weights`.
        uint8: ``'nchw'`` or ``'nhwc'`` makes a program that takes and gives 8-bit images.

    Raises:
        UserError: a package that is missing, an unknown target or wrong ending, several scales
            and none chosen, a network that the target cannot hold, a file that cannot be
            written, weights that cannot be read, or, for OpenVINO, something else's ``.bin``
            file where its weights would go.
    """
    out = Path(out).expanduser()
    _check_request(source, out, to, uint8)
    loaded, model = _open(source, scale, format, hints, to)
    try:
        if to in _PROGRAMS:
            files, difference = _program(model, loaded, to, uint8)
        else:
            files, difference = _weights(loaded, model, to, scale)
    except (ImportError, NotConvertible) as error:  # a broken package raises the first
        raise UserError(f"{loaded.summary} cannot be exported to {to}: {error}") from error
    for suffix, data in files.items():
        place = out.with_suffix(suffix) if suffix == ".bin" else out
        write_atomically(place, lambda file, data=data: file.write(data))
    return Exported(out, to, loaded.summary, int(model.scale), difference)


def _check_request(source: str | Path, out: Path, to: str, uint8: str | None) -> None:
    """UserError if there is no such target, its packages are missing, or ``out`` is not for it."""
    if to not in TARGETS:
        raise UserError(f"export: no target {to!r}; choose one of {', '.join(TARGETS)}")
    if uint8 is not None and (uint8 not in LAYOUTS or to not in _PROGRAMS):
        raise UserError(
            f"uint8={uint8!r}: {' or '.join(LAYOUTS)}, of a program only ({', '.join(_PROGRAMS)})"
        )
    if to in ("onnx", "openvino"):
        check_name("onnxruntime" if to == "onnx" else to)
    if out.suffix.lower() not in ENDINGS[to]:
        raise UserError(
            f"{out}: a file for {to} must end in {' or '.join(ENDINGS[to])}, not {out.suffix!r}"
        )
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
) -> tuple[LoadedWeights, nn.Module]:
    """The weights and their network, at its scale."""
    loaded = read_weights(source, format, scale, **hints)
    kind, scales = loaded.config["type"], loaded.config.get("scales") or []
    if loaded.network is not None and to not in _PROGRAMS:
        raise UserError(
            f"{source}: a network of spandrel's own ({kind}) is loaded by spandrel as it is; it "
            f"can be exported to {', '.join(_PROGRAMS)}"
        )
    if to == "spandrel" and kind not in weights.SPANDREL_NETWORKS:
        raise UserError(
            f"{source}: superres.interop.spandrel offers {', '.join(weights.SPANDREL_NETWORKS)} to "
            f"spandrel, not {kind}; export to safetensors, or a program such as onnx"
        )
    if len(scales) > 1 and scale is None and to != "safetensors":  # ours can hold them all
        has = ", ".join(map(str, scales))
        raise UserError(f"{loaded.path}: a network for several scales; pass scale= (--scale) {has}")
    model = build_network(loaded).cpu().float().eval()
    if scale is not None and hasattr(model, "set_scale"):
        model.set_scale(scale)
    return loaded, model


def _facts(model: nn.Module, loaded: LoadedWeights, uint8: str | None) -> dict[str, str]:
    scale, radius, channels, memory = conversion.facts(model)
    return {
        "scale": str(scale),
        "network": str(loaded.config["type"]),
        "config": json.dumps(loaded.config),
        "range": "0..255" if uint8 else "0..1",
        "type": "uint8" if uint8 else "float32",
        "layout": uint8 or "nchw",
        "colour": "Y of YCbCr"
        if getattr(model, "studio_luma", False)
        else {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels"),
        "bytes_per_pixel": f"{memory:.0f}",
        "receptive_radius": "whole picture" if radius is None else str(radius),
        "made_by": f"superres {superres.__version__}",
    }


def _program(
    model: nn.Module, loaded: LoadedWeights, to: str, uint8: str | None
) -> tuple[dict[str, bytes], float]:
    """The files of a program, and how far its results are from the network's."""
    program = conversion.ready(model)
    example = conversion.image(in_channels(model), SIZES[0])
    if uint8:
        program = programs.BytesInBytesOut(program, uint8).eval()
        example = _as_bytes(example, uint8)
    files, run = _PROGRAMS[to](program, example, _facts(model, loaded, uint8))
    return files, _check_bytes(model, run, uint8) if uint8 else conversion.check(model, run)


def _as_bytes(x: torch.Tensor, layout: str) -> torch.Tensor:
    x = (x * 255).round().to(torch.uint8)
    return x.permute(0, 2, 3, 1).contiguous() if layout == "nhwc" else x


@torch.no_grad()
def _check_bytes(model: nn.Module, run: programs.Run, layout: str) -> float:
    """The share of 8-bit samples that differ, by one step; NotConvertible where it is more."""
    reference, worst = programs.BytesInBytesOut(model, layout).eval(), 0.0
    for size in SIZES:
        x = _as_bytes(conversion.image(in_channels(model), size), layout)
        try:
            difference = (run(x).int() - reference(x).int()).abs()
        except Exception as error:
            raise NotConvertible(f"the file fails on {tuple(x.shape)}: {error}") from error
        share = float((difference > 0).double().mean())
        if difference.max() > 1 or share > _ROUNDING_SHARE:
            raise NotConvertible(f"{share:.2%} of the samples differ")
        worst = max(worst, share)
    return worst


def _weights(
    loaded: LoadedWeights, model: nn.Module, to: str, scale: int | None
) -> tuple[dict[str, bytes], float]:
    """A weight file, and how far the results of the network in it are from the original's."""
    state, config = weights.fold(loaded, scale)
    back = build_network(dataclasses.replace(loaded, config=config, state_dict=state)).eval()
    worst = 0.0
    for each in [*config.get("scales", ()), model.scale]:
        for network in (model, back):
            if hasattr(network, "set_scale"):
                network.set_scale(each)
        worst = max(worst, conversion.check(model, back))
    metadata = {METADATA_KEY: json.dumps(config), "format": "pt"}
    if to == "spandrel":
        state = {**state, CONFIG_TENSOR: weights.config_tensor(config)}
    return {"": to_safetensors(state, metadata | checksums(state, metadata))}, worst
