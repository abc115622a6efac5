"""From what a person names as a model to a network that computes fast, at a fitting scale."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.checkpoints.light import as_bytes, read_own
from superres.checkpoints.names import PUBLISHED
from superres.checkpoints.shipped import (
    SUFFIXES,
    resolve,
    scale_in_name,
    shipped,
    usual_scale,
    variants,
)
from superres.errors import ScaleNeeded, UserError
from superres.inference.backends import Backend, NotConvertible, best
from superres.inference.memory import cuda_is_likely
from superres.upscaling.channels import channels_of
from superres.upscaling.enlarge import Enlarger, check_scale
from superres.upscaling.provenance import Settings

if TYPE_CHECKING:
    import torch

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name on the Hugging Face hub


@dataclass
class ChosenNetwork:
    """A network, and how it was chosen.

    Attributes:
        module: in evaluation mode on ``device``, with the right one of its scales selected; or a
            back end, for a program in a file.
        label: what to call it: ``edsr-s x4``.
        scale: that the result shall have; the network's own may be larger.
        notes: sentences for a person.
    """

    module: torch.nn.Module | Backend
    label: str
    scale: float
    device: torch.device | str
    notes: list[str] = field(default_factory=list)

    def enlarger(
        self, backend: str = "auto", precision: str = "fp32", **options: Any
    ) -> tuple[Enlarger, str]:
        """An `Enlarger` on the fastest back end (or the named one), and that one's name."""
        net = best(self.module, self.device, backend, precision)
        self.notes += [note for note in net.notes if note not in self.notes]
        return Enlarger(net, self.scale, channels_of(self.module), **options), net.name

    def settings(
        self, tile: int | str | None, self_ensemble: bool, precision: str = "fp32"
    ) -> Settings:
        """What results of this network depend on; tiles count where they are not exact."""
        inexact = isinstance(tile, int) and getattr(self.module, "receptive_radius", None) is None
        words = [f"tiles of {tile}"] if inexact else []
        words += ["edsr-chop"] if tile == "edsr-chop" else []
        words += ["self-ensemble"] if self_ensemble else []
        words += [precision] if precision != "fp32" else []
        return Settings(self.label, _digest(self.module), self.scale, tuple(words))


def choose_network(
    name_or_path: str | Path,
    scale: float | None = None,
    device: str | torch.device = "auto",
    format: str | None = None,
    backend: str = "auto",
) -> ChosenNetwork:
    """Load the weights that are best for a scale: the nearest scale that is not smaller.

    Args:
        name_or_path: a weight file, a folder of them, a name (with or without its scale),
            ``owner/name`` on the Hugging Face hub, or an ``.onnx`` file that ``superres export``
            wrote, which runs without torch.
        scale: of the result, any number from 1; None takes the network's, or x4 of several.
        device: ``'vulkan'``, too, for what ncnn computes.
        format: of a weight file whose keys alone do not tell it; see
            :func:`superres.checkpoints.load_model`.
        backend: that will be asked for; for ncnn, which is usual on a CPU, a file of superres
            with a network that it knows is read without torch.

    Raises:
        UserError: no such model, a broken file, an impossible scale.
    """
    scale = None if scale is None else check_scale(scale)
    given = str(name_or_path)
    if given.lower().endswith(".onnx"):
        module, picked = _program(given, device), "cpu"
    elif light := _light(given, scale, str(device), format, backend):
        module, picked = light, light.device
    else:
        module, picked = _module(given, scale, device, format)
    own = int(module.scale)
    label = f"{Path(given).name if Path(given).exists() else given} x{own}"
    chosen = ChosenNetwork(module, label, own if scale is None else scale, picked)
    if own != 1:
        named = scale_in_name(Path(given).name)
        if named not in (None, own):
            chosen.notes.append(f"the name of the weights says x{named}")
    if chosen.scale < own:
        chosen.notes.append(
            f"made x{own} by the network, then resized to x{chosen.scale:g} (bicubic)"
        )
    elif chosen.scale > own:
        chosen.notes.append(
            f"x{own} is the largest that {given} offers; the rest of the way to "
            f"x{chosen.scale:g} is bicubic"
        )
    return chosen


def _program(given: str, device: str | torch.device) -> Backend:
    from superres.inference.backends.onnx_runtime import open_exported

    if str(device) not in ("auto", "cpu"):
        raise UserError(f"{given}: runs on the CPU only, not on {device}; leave the device out")
    return open_exported(Path(given).expanduser())


def _light(
    given: str, scale: float | None, device: str, format: str | None, backend: str
) -> Backend | None:
    """A network of ours on ncnn, without torch; None where that is not wanted or cannot be.

    Raises:
        UserError: no such file, or a damaged one; or Vulkan is asked for, and has to be refused.
    """
    from superres.inference.backends.ncnn_backend import NcnnBackend

    usual = device == "cpu" or (device == "auto" and not cuda_is_likely())
    if format or backend not in ("auto", "ncnn") or not (usual or device == "vulkan"):
        return None
    offered = _offered(given)
    native = _nearest(list(offered), scale) if offered else None
    name, found = offered.get(native, given), None
    if name not in PUBLISHED and not _is_repository(given):
        found = read_own(resolve(name, native))
    reason = "it is no .safetensors file of superres ('superres export' makes one)"
    if found:
        config, state = found
        try:
            own = _nearest(config.get("scales") or [config["scale"]], scale)
            made = NcnnBackend(config, state, own, "cpu" if usual else device)
            made.digest = _digest_of(config, state)
            return made
        except NotConvertible as error:
            reason = str(error)
        except (KeyError, TypeError):
            reason = "it states no scale"
    if not usual:
        raise UserError(f"{given}: Vulkan is there for what ncnn computes: {reason}")
    return None


def _module(
    given: str, scale: float | None, device: str | torch.device, format: str | None
) -> tuple[torch.nn.Module, torch.device]:
    from superres.checkpoints import load_model, pick_device
    from superres.checkpoints.pretrained import from_pretrained

    picked = pick_device(device)
    offered = _offered(given)
    native = _nearest(list(offered), scale) if offered else None
    if offered:
        module = load_model(offered[native], scale=native, device=picked, format=format)
    elif _is_repository(given):
        module = from_pretrained(given, None if scale is None else math.ceil(scale), device=picked)
    else:
        module = _from_file(given, scale, picked, format)
    scales = list(getattr(module, "scales", None) or ())
    if scales and hasattr(module, "set_scale"):
        module.set_scale(_nearest(scales, scale))
    return module, picked


def _from_file(
    given: str, scale: float | None, device: torch.device, format: str | None
) -> torch.nn.Module:
    """The network at its own scale, else at the one asked for (whole, rounded up)."""
    from superres.checkpoints import load_model

    wanted = None if scale is None else math.ceil(scale)
    try:
        module = load_model(given, device=device, format=format)
    except ScaleNeeded:
        if wanted is None:
            raise
        return load_model(given, wanted, format, device)
    if module.scale == 1 and wanted and hasattr(module, "enlarge"):  # made to enlarge first
        return load_model(given, wanted, format, device)
    return module


def _digest(module: torch.nn.Module | Backend) -> str:
    """Of the weights, and of the numeric convention that goes with them."""
    if isinstance(module, Backend):
        return module.digest
    config = getattr(module, "superres_config", type(module).__name__)
    return _digest_of(config, module.state_dict())


def _digest_of(config: Any, state: Mapping[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for key in sorted(state):  # files have an order of their own
        found.update(key.encode())
        found.update(as_bytes(state[key]))
    return found.hexdigest()[:16]


def _offered(given: str) -> dict[int, str]:
    """Scale -> what to load, where a name or a folder holds several scales."""
    path = Path(given).expanduser()
    if path.is_dir():
        names = [file.name for file in path.iterdir() if file.name.endswith(SUFFIXES)]
        return dict.fromkeys({scale_in_name(name) for name in names} - {None}, given)
    if path.exists() or given in PUBLISHED or given in shipped():
        return {}
    return variants(given)


def _is_repository(given: str) -> bool:
    return bool(
        _REPOSITORY.fullmatch(given)
        and not given.endswith(SUFFIXES)
        and not Path(given).expanduser().exists()
    )


def _nearest(scales: list[int], wanted: float | None) -> int:
    """The smallest scale that is at least ``wanted``, else the largest there is."""
    if not scales:
        raise UserError("this network states no scale")
    if wanted is None:
        return usual_scale(scales)
    return min((s for s in scales if s >= wanted), default=max(scales))
