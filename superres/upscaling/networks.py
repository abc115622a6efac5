"""From what a person names as a model to a network that computes fast, at a fitting scale."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from superres.checkpoints import load_model, pick_device
from superres.checkpoints.files import SUFFIXES, scale_in_name
from superres.checkpoints.names import PUBLISHED
from superres.checkpoints.pretrained import from_pretrained
from superres.checkpoints.shipped import DEFAULT, shipped, variants
from superres.errors import ScaleNeeded, UserError
from superres.upscaling.axis import check_scale
from superres.upscaling.channels import channels_of
from superres.upscaling.enlarge import Enlarger
from superres.upscaling.provenance import Settings

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name on the Hugging Face hub

# Conversions silence standard output while they last, which is one for all threads.
_converting = threading.Lock()

USUAL_SCALE = 4
"""Where neither the person nor the model settles the scale."""


@dataclass
class ChosenNetwork:
    """A network, and how it was chosen.

    Attributes:
        module: in evaluation mode on ``device``, with the right one of its scales selected.
        label: what to call it: ``edsr-s x4``.
        scale: that the result shall have; the network's own may be larger.
        notes: sentences for a person.
    """

    module: torch.nn.Module
    label: str
    scale: float
    device: torch.device
    notes: list[str] = field(default_factory=list)

    def enlarger(self, backend: str = "auto", **options: Any) -> tuple[Enlarger, str]:
        """An `Enlarger` on the fastest back end (or the named one), and that one's name."""
        net, name, notes = with_backend(self.module, self.device, backend)
        self.notes += [note for note in notes if note not in self.notes]
        enlarger = Enlarger(net, self.scale, channels_of(self.module), self.device, **options)
        return enlarger, name

    def settings(self, tile: int | str | None, self_ensemble: bool) -> Settings:
        """What results of this network depend on; tiles count where they are not exact."""
        inexact = isinstance(tile, int) and getattr(self.module, "receptive_radius", None) is None
        words = [f"tiles of {tile}"] if inexact else []
        words += ["edsr-chop"] if tile == "edsr-chop" else []
        words += ["self-ensemble"] if self_ensemble else []
        return Settings(self.label, _digest(self.module), self.scale, tuple(words))


def choose_network(
    name_or_path: str | Path = DEFAULT,
    scale: float | None = None,
    device: str | torch.device = "auto",
    format: str | None = None,
) -> ChosenNetwork:
    """Load the weights that are best for a scale: the nearest scale that is not smaller.

    Args:
        name_or_path: a weight file, a folder of them, a name (with or without its scale), or
            ``owner/name`` on the Hugging Face hub.
        scale: of the result, any number from 1; None takes the network's, or x4 of several.
        format: of a weight file whose keys alone do not tell it; see
            :func:`superres.checkpoints.load_model`.

    Raises:
        UserError: no such model, a broken file, an impossible scale.
    """
    scale = None if scale is None else check_scale(scale)
    picked = pick_device(device)
    given = str(name_or_path)
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
    own = int(module.scale)
    label = f"{Path(given).name if Path(given).exists() else given} x{own}"
    chosen = ChosenNetwork(module, label, own if scale is None else scale, picked)
    named = scale_in_name(Path(given).name)
    if own != 1 and named not in (None, own):
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


def _from_file(
    given: str, scale: float | None, device: torch.device, format: str | None
) -> torch.nn.Module:
    """The network at its own scale, else at the one asked for (whole, rounded up)."""
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


def _digest(module: torch.nn.Module) -> str:
    """Of the weights, and of the numeric convention that goes with them."""
    config = getattr(module, "superres_config", type(module).__name__)
    found = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for key, value in module.state_dict().items():
        found.update(key.encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy())
    return found.hexdigest()[:16]


def with_backend(
    module: torch.nn.Module, device: torch.device, backend: str = "auto"
) -> tuple[Any, str, list[str]]:
    """(callable, name of its back end, notes)."""
    from superres.inference.backends import best

    with _converting:
        made = best(module, device, backend)
    return made, made.name, list(made.notes)


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
        return USUAL_SCALE if USUAL_SCALE in scales else max(scales)
    return min((s for s in scales if s >= wanted), default=max(scales))
