"""``model.upscale(image)``: pictures of any kind, and the same kind back."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from superres.checkpoints.shipped import USUAL_SCALE
from superres.errors import UserError, did_you_mean
from superres.imaging.io import Picture, read_picture
from superres.imaging.samples import from_pillow
from superres.inference import Tiling
from superres.inference.backends import Backend, best
from superres.upscaling.automatic import AUTO, for_image
from superres.upscaling.channels import channels_of
from superres.upscaling.enlarge import Enlarger
from superres.upscaling.networks import choose_network
from superres.upscaling.writing import (
    SUFFIX_FORMATS,
    Target,
    native_format,
    to_pillow,
    turned,
    write_rows,
    write_to,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

_upscalers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_preparing = threading.Lock()
_OPTIONS = ("backend", "max_pixels", *(field.name for field in dataclasses.fields(Tiling)))


def upscale(
    image: Any,
    model: nn.Module | str | Path = AUTO,
    scale: float | None = None,
    **options: Any,
) -> Any:
    """Enlarge a picture, or a list of pictures, with a network.

    Args:
        image: one of

            - a path: a Pillow picture, upright; with ``out=PATH`` the result is written there
              with all that its source carries, and the path is given back;
            - a Pillow picture of any mode: a Pillow picture, of the same mode where it is L, LA,
              RGB, RGBA or I;16, with its profile and EXIF;
            - an array (H, W), (H, W, C) or (N, H, W, C), C = 1 to 4, RGB order, uint8, uint16, or
              float in [0, 1]: an array of that form and type;
            - a tensor (C, H, W) or (N, C, H, W), C = 1 to 4, uint8 or float in [0, 1]: a tensor
              of that form and type, on the same device;
            - a list or tuple of these: a list.
        model: a name or a weight file, as ``--model`` of the command takes them; the last few
            stay ready, and what ncnn computes is loaded without torch. ``'auto'`` is
            ``edsr-s`` for a picture that is known to come from a lossless file (PNG, TIFF, ...),
            else ``edsr-photo``, which is for JPEGs. Or a module that maps (N, C, h, w) in [0, 1]
            to (N, C, h * scale, w * scale) and has ``scale``, and ``receptive_radius`` where it
            is known, as every network of `superres.load_model` has.
        scale: of the result, any number from 1; None is the network's own, or 4 of several.
        **options: of :class:`PictureUpscaler`; ``out`` and ``clamp`` of its call.

    Returns:
        What is said above. Values are clamped to their range unless ``clamp=False``.

    Raises:
        UserError: something that is no picture, no model, an option that is not known or not
            possible.
    """
    known = {*_OPTIONS, "out", "clamp"}
    if wrong := [name for name in options if name not in known]:
        raise UserError(f"upscale() has no option {wrong[0]!r}{did_you_mean(wrong[0], known)}")
    if model == AUTO and isinstance(image, list | tuple):
        return [upscale(item, model, scale, **options) for item in image]
    call = {key: options.pop(key) for key in ("out", "clamp") if key in options}
    options["scale"] = scale
    if not isinstance(model, str | os.PathLike):
        return _ready(model, options)(image, **call)
    if model == AUTO:
        options["scale"] = scale or USUAL_SCALE
        model = for_image(image, options["scale"])
    changed = os.stat(model).st_mtime_ns if os.path.isfile(model) else None
    module = _named(str(model), options["scale"], options.get("backend", "auto"), changed)
    return _ready(module, options)(image, **call)


@functools.lru_cache(maxsize=4)
def _named(name: str, scale: float | None, backend: str, changed: int | None) -> Any:
    return choose_network(name, scale, backend=backend).module


def _ready(model: nn.Module | Backend, options: dict[str, Any]) -> PictureUpscaler:
    """The upscaler of the last call, as long as weights and options are the same."""
    key = (tuple(sorted(options.items(), key=lambda item: item[0])), _stamp(model))
    with _preparing:  # threads that ask for the same wait for the first
        known = _upscalers.get(model)
        if known is None or known[0] != key:
            known = (key, PictureUpscaler(model, **options))
            _upscalers[model] = known
    return known[1]


class PictureUpscaler:
    """A network ready for many pictures: its back end is prepared once, its buffers are kept.

    >>> with model.upscaler(scale=3) as enlarge:  # doctest: +SKIP
    ...     for path in paths:
    ...         enlarge(path, out=folder / path.name)

    Args:
        model: see :func:`upscale`.
        scale: of the result, if not the network's own: any number from 1.
        backend: ``'auto'`` is the fastest that is installed; or ``'ncnn'``, ``'openvino'``,
            ``'onnxruntime'``, ``'torch'``.
        max_pixels: the limit on pictures that are read from files.
        **tiling: ``tile``, ``overlap``, ``self_ensemble``, ``memory_budget`` of
            :class:`superres.inference.Tiling`.

    Attributes:
        backend: name of the back end that computes.
        notes: about the last picture, sentences: what was left out of it, how it was tiled.
    """

    def __init__(
        self,
        model: nn.Module,
        scale: float | None = None,
        backend: str = "auto",
        max_pixels: int | None = None,
        **tiling: Any,
    ) -> None:
        if isinstance(model, Backend):
            net = best(model, "cpu", backend)
        else:
            parameter = next(model.parameters(), None)
            was_training = model.training
            model.eval()
            try:
                net = best(model, "cpu" if parameter is None else parameter.device, backend)
            finally:
                model.train(was_training)
        self.backend, self._said = net.name, list(net.notes)
        self._enlarger = Enlarger(net, scale, channels_of(model), **tiling)
        self.max_pixels = max_pixels
        self.notes: list[str] = []

    def __enter__(self) -> PictureUpscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network and its buffers; the object cannot be used after."""
        self._enlarger = None

    def __call__(self, image: Any, out: str | os.PathLike | None = None, clamp: bool = True) -> Any:
        """Enlarge one picture or a list of them; see :func:`upscale`."""
        if self._enlarger is None:
            raise UserError("this upscaler was closed; make a new one")
        if out is not None and not isinstance(image, str | os.PathLike):
            raise UserError("out= goes with a path; save other results yourself")
        if isinstance(image, list | tuple):
            return [self(item, clamp=clamp) for item in image]
        if isinstance(image, str | os.PathLike):
            return self._file(image, out)
        if isinstance(image, Image.Image):
            return self._pillow(image)
        if isinstance(image, np.ndarray):
            return self._array(image, clamp)
        if hasattr(image, "detach"):  # a tensor, without importing torch
            return self._tensor(image, clamp)
        raise UserError(
            f"a {type(image).__name__} is no picture; give a path, a Pillow picture, a numpy array "
            "(H, W, C) or a tensor (C, H, W)"
        )

    def _enlarge(self, pixels: np.ndarray) -> np.ndarray:
        result = self._enlarger.picture(pixels)
        self.notes = [*self._said, *self._enlarger.notes]
        return result

    def _file(self, path: str | os.PathLike, out: str | os.PathLike | None) -> Any:
        picture = read_picture(path, self.max_pixels)
        if out is None:
            result = to_pillow(turned(self._enlarge(picture.pixels), picture.orientation))
            if picture.icc:
                result.info["icc_profile"] = picture.icc
            self.notes = [*picture.notes, *self.notes]
            return result
        out = Path(out)
        if out.exists() and out.samefile(path):
            raise UserError(f"{out}: is the input itself, which is never overwritten")
        kind = SUFFIX_FORMATS.get(out.suffix.lower())
        if kind is None:
            known = " ".join(SUFFIX_FORMATS)
            raise UserError(f"{out}: cannot write {out.suffix or 'without a suffix'}; use {known}")
        save(out, self._enlarger, picture, kind)
        self.notes = [*self._said, *picture.notes, *self._enlarger.notes]
        return out

    def _pillow(self, image: Image.Image) -> Image.Image:
        if 0 in image.size:
            raise UserError(f"a picture of {image.width}x{image.height} has no pixels")
        if image.mode == "CMYK":
            image = image.convert("RGB")
        result = to_pillow(self._enlarge(from_pillow(image)))
        for key in ("icc_profile", "exif", "dpi"):
            if key in image.info:
                result.info[key] = image.info[key]
        return result

    def _array(self, image: np.ndarray, clamp: bool) -> np.ndarray:
        if 0 in image.shape:
            raise UserError(f"an array of shape {image.shape} has no pixels")
        if image.ndim == 4:
            return np.stack([self._array(one, clamp) for one in image])
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):
            raise UserError(
                f"an array of shape {image.shape} is no picture; expected (H, W), (H, W, C) or "
                "(N, H, W, C) with 1 to 4 channels last"
            )
        planes = image[..., None] if image.ndim == 2 else image
        native = image.dtype.newbyteorder("=")
        if native in (np.uint8, np.uint16):
            result = self._enlarge(np.ascontiguousarray(planes, native)).astype(image.dtype)
        elif image.dtype == bool or image.dtype.kind not in "f":
            raise UserError(
                f"an array of {image.dtype} is no picture; use uint8, uint16 or float in [0, 1]"
            )
        else:
            _check_range(float(planes.min()), float(planes.max()), "array")
            y = self._floats(planes.astype(np.float32).transpose(2, 0, 1)[None], clamp)
            result = y[0].transpose(1, 2, 0).astype(image.dtype)
        return result[..., 0] if image.ndim == 2 else result

    def _tensor(self, x: torch.Tensor, clamp: bool) -> torch.Tensor:
        if x.ndim not in (3, 4) or x.shape[-3] not in (1, 2, 3, 4) or 0 in x.shape:
            raise UserError(
                f"a tensor of shape {tuple(x.shape)} is no picture; expected (C, H, W) or "
                "(N, C, H, W) with 1 to 4 channels and at least one pixel"
            )
        import torch

        whole = x.dtype == torch.uint8
        if not whole and not x.is_floating_point():
            raise UserError(f"a tensor of {x.dtype} is no picture; use uint8 or float in [0, 1]")
        batch = x.detach()[None] if x.ndim == 3 else x.detach()
        if not whole:
            _check_range(float(batch.min()), float(batch.max()), "tensor")
        batch = batch.float() / 255 if whole else batch.float()
        y = torch.from_numpy(self._floats(batch.cpu().numpy(), clamp or whole))
        y = (y.mul(255).round() if whole else y).to(x.device, x.dtype)
        return y[0] if x.ndim == 3 else y

    def _floats(self, x: np.ndarray, clamp: bool) -> np.ndarray:
        y = self._enlarger.array(x)
        self.notes = [*self._said, *self._enlarger.notes]
        return np.clip(y, 0, 1) if clamp else y


def save(
    out: Path | BinaryIO,
    enlarger: Enlarger,
    picture: Picture,
    kind: str | None = None,
    quality: int | None = None,
    progress: Any = None,
    record: str | None = None,
) -> Target:
    """Enlarge ``picture`` into a file of format ``kind`` (None: its own), band by band.

    Raises:
        UserError: see :func:`superres.upscaling.writing.write_rows`.
    """
    shape = (*enlarger.size(*picture.pixels.shape[:2]), picture.pixels.shape[2])
    kind = kind or native_format(picture)
    target = Target(kind, shape, picture.pixels.dtype, picture, quality, record)
    write = write_rows if isinstance(out, Path) else write_to
    write(out, enlarger.rows(picture.pixels, progress), target)
    return target


def _check_range(least: float, largest: float, what: str) -> None:
    if not math.isfinite(least + largest):
        raise UserError(
            f"this float {what} holds NaN or infinite values; replace them, for instance by "
            "nan_to_num, or find out where they come from"
        )
    if largest > 2:  # a little beyond 1 is what filters leave
        raise UserError(
            f"this float {what} reaches {largest:g}; floats are expected in [0, 1]: divide by 255, "
            "or convert it to uint8"
        )
    if least < -0.5:
        raise UserError(
            f"this float {what} goes down to {least:g}; floats are expected in [0, 1]: from "
            "[-1, 1], take (x + 1) / 2"
        )


def _stamp(model: nn.Module) -> tuple:
    """Changes with every training step, every loading of weights, and every move."""
    tensors = [] if isinstance(model, Backend) else [*model.parameters(), *model.buffers()]
    return (
        getattr(model, "scale", None),
        tuple((t.data_ptr(), t._version, t.device) for t in tensors),
    )
