"""``export``: read weights, fold, write for another program, compare, and only then keep."""

from __future__ import annotations

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
from superres.export.request import check_place, check_request, work_folder
from superres.inference import in_channels, radius_of
from superres.inference.backends.conversion import (
    NotConvertible,
    picture,
    prepared,
)
from superres.inference.backends.pytorch import facts as backend_facts

TOLERANCE = 1e-4
_PROGRAMS = {
    "onnx": programs.onnx,
    "torchscript": programs.torchscript,
    "openvino": programs.openvino,
}
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

    Range and residual scale are folded into the weights, in programs the colour mean too as far
    as zero padding allows. The file takes pictures of any size, RGB in [0, 1] unless ``uint8``.
    It is run on pictures of two sizes and kept only if the result is that of the original.

    Args:
        source: a weight file or a name, see `superres.load_model`.
        out: file to write; replaced only by a whole one that was checked.
        to: one of `TARGETS`.
        scale: needed for a network of several scales (MDSR).
        format, **hints: see `superres.checkpoints.read_weights`.
        uint8: ``'nchw'`` or ``'nhwc'`` makes a program that takes and gives 8-bit pictures.

    Raises:
        UserError: a package that is missing, an unknown target or wrong ending, several scales
            and none chosen, a network that the target cannot hold, a folder that cannot be
            written, weights that cannot be read, or, for OpenVINO, something else's ``.bin``
            file where its weights would go.
    """
    out = Path(out).expanduser()
    check_request(to, uint8)
    check_place(source, out, to)
    loaded, model, told = _open(source, scale, format, hints, to)
    model = model.cpu().float().eval()
    try:
        with work_folder(out) as folder:
            # Not the name it gets: other programs' writers take UTF-8 only.
            work = folder / f"network{out.suffix.lower()}"
            if to in _PROGRAMS:
                difference = _write_program(model, loaded, work, to, uint8)
            else:
                difference = _write_weights(loaded, model, work, to, scale)
            umask = os.umask(0)
            os.umask(umask)
            # The file that names the others comes last.
            for part in sorted(work.parent.iterdir(), key=lambda p: p.name == work.name):
                part.chmod(0o666 & ~umask)
                os.replace(part, out if part == work else out.with_suffix(part.suffix))
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); choose a folder that exists "
            "and has room"
        ) from error
    except ImportError as error:
        raise UserError(
            f"export to {to}: its package is installed, but cannot be imported ({error}); install "
            "it again"
        ) from error
    except NotConvertible as error:
        raise UserError(f"{told} cannot be exported to {to}: {error}") from error
    return Exported(out, to, told, int(model.scale), difference)


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
        "bytes_per_pixel": f"{backend_facts(model)[3]():.0f}",
        "receptive_radius": "whole picture" if radius is None else str(radius),
        "made_by": f"superres {superres.__version__}",
    }


def _write_program(
    model: nn.Module, loaded: LoadedWeights | None, path: Path, to: str, uint8: str | None
) -> float:
    program: nn.Module = prepared(model)
    reference: nn.Module = model
    if uint8:
        program = programs.BytesInBytesOut(program, uint8).eval()
        reference = programs.BytesInBytesOut(model, uint8).eval()
    run = _PROGRAMS[to](
        program, _picture(model, (24, 20), uint8), path, _facts(model, loaded, uint8)
    )
    return max(_compare(reference, run, model, size, uint8) for size in ((24, 20), (13, 31)))


def _picture(model: nn.Module, size: tuple[int, int], uint8: str | None) -> torch.Tensor:
    x = picture(in_channels(model), size)
    if uint8 is None:
        return x
    x = (x * 255).round().to(torch.uint8)
    return x.permute(0, 2, 3, 1).contiguous() if uint8 == "nhwc" else x


@torch.no_grad()
def _compare(
    reference: nn.Module, run: Any, model: nn.Module, size: tuple[int, int], uint8: str | None
) -> float:
    x = _picture(model, size, uint8)
    wanted = reference(x)
    try:
        found = run(x)
    except Exception as error:
        raise NotConvertible(
            f"the file fails on a picture of {size[1]}x{size[0]}: {str(error).splitlines()[0]}"
        ) from error
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise NotConvertible(
            f"the file gives {tuple(found.shape)} {found.dtype}, not "
            f"{tuple(wanted.shape)} {wanted.dtype}"
        )
    difference = (found.double() - wanted.double()).abs()
    if uint8:
        share = float((difference > 0).double().mean())
        if difference.max() > 1 or share > _ROUNDING_SHARE:
            raise NotConvertible(f"{share:.2%} of the samples differ")
        return share
    worst = float(difference.max() / wanted.abs().max().clamp(min=1))
    if not worst <= TOLERANCE:
        raise NotConvertible(f"the file's result differs by {worst:.1g} of the range")
    return worst


def _write_weights(
    loaded: LoadedWeights, model: nn.Module, path: Path, to: str, scale: int | None
) -> float:
    own = int(model.scale)
    several = scale is None and len(loaded.config.get("scales") or []) > 1
    state, config = weights.fold(loaded, scale)
    metadata = {METADATA_KEY: json.dumps(config), "format": "pt"}
    if to == "spandrel":
        state = {**state, CONFIG_TENSOR: weights.config_tensor(config)}
    path.write_bytes(to_safetensors(state, metadata | checksums(state, metadata)))
    back = build_network(read_weights(path)).eval()
    worst = 0.0
    for each in [*(loaded.config["scales"] if several else ()), own]:
        for network in (model, back):
            if hasattr(network, "set_scale"):
                network.set_scale(each)
        worst = max(worst, *(_compare(model, back, model, s, None) for s in ((24, 20), (13, 31))))
    return worst
