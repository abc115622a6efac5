"""From what a user names as a model to a network that computes fast, at a fitting scale."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.checkpoints import zoo
from superres.checkpoints.weight_files import in_bytes, read_own
from superres.errors import ScaleNeeded, UserError
from superres.files import is_special
from superres.imaging.kinds import first_bytes, kind_of
from superres.inference import Tiling
from superres.inference.backends import Backend, NotConvertible, best
from superres.inference.memory import cuda_is_likely
from superres.upscaling.provenance import Settings
from superres.upscaling.tiled_upscaler import TiledUpscaler, channels_of, check_scale

if TYPE_CHECKING:
    import torch

AUTO = "auto"
"""``--model auto``: a network for what was compressed, another for what was not."""
PHOTO = "edsr-photo"
"""Trained on images that were JPEGs, slightly blurred, noisy or resized by browsers."""
_LOSSLESS = ("png", "tiff", "bmp", "gif", "pnm", "ppm", "ico")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name on the Hugging Face hub


@dataclass(frozen=True)
class Options:
    """How images are upscaled: the same for the command, ``superres serve`` and Python.

    Attributes:
        model: a weight file, a folder of them, a name (with or without its scale), ``owner/name``
            on the Hugging Face hub, an ``.onnx`` file that ``superres export`` wrote, which runs
            without torch, or ``'auto'``.
        scale: of the result, any number from 1 to 64; None is the network's, or x4 of several.
        device: ``'auto'``, or what torch calls it; ``'vulkan'`` for what ncnn computes.
        backend: ``'auto'`` is the fastest that is installed; or its name.
        precision: ``'fp32'``; others are computed by torch.
        weights_format: of a weight file whose keys alone do not tell it; see
            :func:`superres.checkpoints.load_model`.
        tiling: how images are cut.
        max_pixels: the limit on inputs, see :func:`superres.imaging.io.max_pixels_allowed`.
        format: of files, a key of :data:`superres.upscaling.writing.FORMATS`; None: the source's.
        quality: of JPEG and WebP files, 1 to 100; None is the usual.
        overwrite: make again the files that are there.
        deinterlace: of videos: compute the half of each frame that belongs to another moment.
        compare: of files: None; ``''`` for a comparison beside each result; a file's name.
    """

    model: str = AUTO
    scale: float | None = None
    device: str = "auto"
    backend: str = "auto"
    precision: str = "fp32"
    weights_format: str | None = None
    tiling: Tiling = field(default_factory=Tiling)
    max_pixels: int | None = None
    format: str | None = None
    quality: int | None = None
    overwrite: bool = False
    deinterlace: bool = False
    compare: str | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UserError(f"the quality must be 1 to 100, not {self.quality}")


@dataclass(eq=False)
class ChosenNetwork:
    """A network, and how it was chosen.

    Attributes:
        module: in evaluation mode on ``device``, with the right one of its scales selected; or a
            back end, for what runs without torch.
        label: what to call it: ``edsr-s x4``.
        scale: that the result shall have; the network's own may be larger.
        options: it was chosen by.
        notes: sentences for the user.
        backend: name of what computes, once it is ready.
    """

    module: torch.nn.Module | Backend
    label: str
    scale: float
    device: torch.device | str
    options: Options
    notes: list[str] = field(default_factory=list)
    backend: str | None = None

    @cached_property
    def upscaler(self) -> TiledUpscaler:
        """Ready on the fastest back end, or the one that was asked for, which takes seconds."""
        net = best(self.module, self.device, self.options.backend, self.options.precision)
        self.notes += [note for note in net.notes if note not in self.notes]
        self.backend = net.name
        return TiledUpscaler(net, self.scale, channels_of(self.module), self.options.tiling)

    @cached_property
    def settings(self) -> Settings:
        """What results of this network depend on; tiles count where they are not exact."""
        tiling, precision = self.options.tiling, self.options.precision
        radius = getattr(self.module, "receptive_radius", None)
        inexact = isinstance(tiling.tile, int) and radius is None
        words = [f"tiles of {tiling.tile}"] * inexact + ["edsr-chop"] * (tiling.tile == "edsr-chop")
        words += ["self-ensemble"] * tiling.self_ensemble + [precision] * (precision != "fp32")
        config = getattr(self.module, "superres_config", type(self.module).__name__)
        digest = getattr(self.module, "digest", "")  # of a back end
        digest = digest or _digest_of(config, self.module.state_dict())
        return Settings(self.label, digest, self.scale, words)


def for_image(image: Any, scale: float) -> str:
    """What ``auto`` means for what :func:`superres.upscale` is given.

    A path, or ``-`` for standard input, by its first bytes, a Pillow image by the format it came
    from; arrays, tensors and other images, whose past is not known, as if they had been
    compressed.
    """
    head = b""
    if isinstance(image, str) and image == "-":
        head = sys.stdin.buffer.peek(16)[:16]
    elif isinstance(image, str | Path) and not is_special(Path(image)):  # else it is read once
        head = first_bytes(image, 16)
    kind = kind_of(head)
    name = kind.name if kind else str(getattr(image, "format", "")).lower()
    lossless = name in _LOSSLESS or (name == "webp" and head[12:16] == b"VP8L")
    return zoo.DEFAULT if lossless or scale > max(zoo.variants(PHOTO), default=0) else PHOTO


class Networks:
    """The network for each input: the one that was named, or by what an input is.

    Raises:
        UserError: as :func:`choose_network`, for the network that a name means.
    """

    def __init__(self, options: Options) -> None:
        self._auto = options.model == AUTO
        scale = zoo.USUAL_SCALE if self._auto and options.scale is None else options.scale
        self._options = replace(options, scale=scale)
        self.used: dict[str, ChosenNetwork] = {}
        self.scale = scale if self._auto else self._named(options.model).scale

    def of(self, source: Path | str) -> ChosenNetwork:
        """That of a file, or of ``-``, which is not consumed."""
        return self._named(for_image(source, self.scale) if self._auto else self._options.model)

    def _named(self, name: str) -> ChosenNetwork:
        if name not in self.used:
            self.used[name] = choose_network(replace(self._options, model=name))
            if self._auto:
                why = f"for lossless files, and for scales that {PHOTO} lacks"
                why = "for JPEG, WebP, video and what is unknown" if name == PHOTO else why
                self.used[name].notes.insert(0, f"--model auto: {name} {why}")
        return self.used[name]


def choose_network(options: Options) -> ChosenNetwork:
    """Load the weights that are best for a scale: the nearest scale that is not smaller.

    On a CPU, a network that ncnn knows is read from a file of superres without torch.

    Raises:
        UserError: no such model, a broken file, an impossible scale.
    """
    given = str(options.model)
    scale = None if options.scale is None else check_scale(options.scale)
    if given.lower().endswith(".onnx"):
        from superres.inference.backends.onnx_runtime import open_exported

        if str(options.device) not in ("auto", "cpu"):
            raise UserError(f"{given}: runs on the CPU only, not on {options.device}")
        module, device = open_exported(Path(given).expanduser()), "cpu"
    else:
        offered = _offered(given)
        native = _nearest(list(offered), scale) if offered else None
        name = offered.get(native, given)
        light = _light(name, native, scale, options)
        module, device = (light, light.device) if light else _module(name, native, scale, options)
    own, path, notes = int(module.scale), Path(given), []
    scale = scale or own
    label = f"{path.name if path.exists() else given} x{own}"
    if own != 1 and zoo.scale_in_name(path.name) not in (None, own):
        notes.append(f"the name of the weights says x{zoo.scale_in_name(path.name)}")
    if scale < own:
        notes.append(f"made x{own} by the network, then resized to x{scale:g} (bicubic)")
    elif scale > own:
        notes.append(f"x{own} is the largest that {given} offers; from there to x{scale:g} bicubic")
    return ChosenNetwork(module, label, scale, device, options, notes)


def _light(name: str, native: int | None, scale: float | None, options: Options) -> Backend | None:
    """A network of ours on ncnn, without torch; None where that is not wanted or cannot be.

    Raises:
        UserError: no such file, or a damaged one; it cannot be, and Vulkan is asked for or torch is
            not there.
    """
    from superres.inference.backends.ncnn_backend import NcnnBackend

    device = str(options.device)
    usual = device == "cpu" or (device == "auto" and not cuda_is_likely())
    wanted = options.backend in ("auto", "ncnn") and options.precision == "fp32"
    if not wanted or options.weights_format or not (usual or device == "vulkan"):
        return None
    elsewhere = name in zoo.PUBLISHED or _is_repository(name)
    found = None if elsewhere else read_own(zoo.resolve(name, native))
    reason = "it is not a .safetensors file of superres ('superres export' makes one)"
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
        raise UserError(f"{name}: Vulkan is there for what ncnn computes: {reason}")
    if not find_spec("torch"):
        raise UserError(f"{name}: ncnn cannot compute it ({reason}); pip install torch, which can")
    return None


def _module(
    name: str, native: int | None, scale: float | None, options: Options
) -> tuple[torch.nn.Module, torch.device]:
    """The network at the nearest of its scales, else at its own, and where it is."""
    from superres.checkpoints import load_model
    from superres.checkpoints.networks import pick_device
    from superres.checkpoints.pretrained import from_pretrained

    device, format = pick_device(options.device), options.weights_format
    whole = None if scale is None else math.ceil(scale)
    if native is None and _is_repository(name):
        module = from_pretrained(name, whole, device=device)
    else:
        module = None
        with contextlib.suppress(ScaleNeeded):
            module = load_model(name, native, format, device)
        if module is None or (module.scale == 1 and whole and hasattr(module, "enlarge")):
            module = load_model(name, whole, format, device)  # which upscales by any scale, first
    scales = list(getattr(module, "scales", None) or ())
    if scales and hasattr(module, "set_scale"):
        module.set_scale(_nearest(scales, scale))
    return module, device


def _digest_of(config: Any, state: Mapping[str, Any]) -> str:
    """Of the weights, and of the numeric convention that goes with them."""
    found = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for key, data in sorted(in_bytes(state).items()):  # files have an order of their own
        found.update(key.encode())
        found.update(data)
    return found.hexdigest()[:16]


def _offered(given: str) -> dict[int, str]:
    """Scale -> what to load, where a name or a folder holds several scales."""
    path = Path(given).expanduser()
    if path.is_dir():
        names = [file.name for file in path.iterdir() if file.name.endswith(zoo.SUFFIXES)]
        return dict.fromkeys({zoo.scale_in_name(name) for name in names} - {None}, given)
    if path.exists() or given in zoo.PUBLISHED or given in zoo.shipped():
        return {}
    return zoo.variants(given)


def _is_repository(given: str) -> bool:
    named = _REPOSITORY.fullmatch(given) and not given.endswith(zoo.SUFFIXES)
    return bool(named) and not Path(given).expanduser().exists()


def _nearest(scales: list[int], wanted: float | None) -> int:
    """The smallest scale that is at least ``wanted``, else the largest there is."""
    if wanted is None:
        return zoo.usual_scale(scales)
    return min((s for s in scales if s >= wanted), default=max(scales))
