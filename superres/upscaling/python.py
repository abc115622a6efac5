"""``model.upscale(image)``: images of any kind, and the same kind back."""

from __future__ import annotations

import functools
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np
from PIL import Image

from superres.checkpoints.zoo import USUAL_SCALE
from superres.errors import UserError, did_you_mean, some
from superres.imaging.io import load_image
from superres.imaging.samples import from_pillow, range_fault, to_pillow
from superres.inference import Tiling
from superres.inference.backends import Backend, best
from superres.upscaling import networks
from superres.upscaling.networks import AUTO
from superres.upscaling.tiled_upscaler import TiledUpscaler, channels_of, check_scale
from superres.upscaling.writing import Metadata, format_of, reduction, save, turned

if TYPE_CHECKING:
    from torch import Tensor, nn

    File = str | os.PathLike[str]
    ImageLike = File | Image.Image
    Model = nn.Module | Backend | File
    Item = TypeVar("Item")
    Several = list[Item] | tuple[Item, ...]
    Scale = float | None

Opened = TypeVar("Opened", bound="ImageLike")
"""Of a list: what comes back as Pillow images."""
Array = TypeVar("Array", bound="np.ndarray | Tensor")
"""What comes back as the same type."""


class Options(TypedDict, total=False):
    """Options of :func:`upscale` by name; see `ImageUpscaler`."""

    backend: Literal["auto", "ncnn", "openvino", "onnxruntime", "torch"]
    max_pixels: int | None
    clamp: bool
    tile: int | str | None
    overlap: int | None
    self_ensemble: bool
    memory_budget: int | None


class Scaled(Options, total=False):
    """Options of a network's own ``upscale``."""

    scale: float | None


_CARRIED = ("icc_profile", "exif", "dpi")  # of a Pillow image
_upscalers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_preparing = threading.Lock()
_KNOWN = ("model", "scale", "out", *Options.__annotations__)


class SomeFailed(UserError):
    """Images of a list could not be upscaled.

    Attributes:
        results: of all, in order; None for those.
    """

    results: list[Any]


@overload
def upscale(
    image: ImageLike, model: Model = ..., scale: Scale = ..., **options: Unpack[Options]
) -> Image.Image: ...
@overload
def upscale(
    image: Array, model: Model = ..., scale: Scale = ..., **options: Unpack[Options]
) -> Array: ...
@overload
def upscale(
    image: Several[Opened], model: Model = ..., scale: Scale = ..., **options: Unpack[Options]
) -> list[Image.Image]: ...
@overload
def upscale(
    image: Several[Array], model: Model = ..., scale: Scale = ..., **options: Unpack[Options]
) -> list[Array]: ...
@overload
def upscale(
    image: File, model: Model = ..., scale: Scale = ..., *, out: File, **options: Unpack[Options]
) -> Path: ...
def upscale(image: Any, model: Model = AUTO, scale: float | None = None, **options: Any) -> Any:
    """Upscale an image, or a list of images, with a network.

    Args:
        image: one of

            - a path: a Pillow image, upright; with ``out=PATH`` the result is written there
              with all that its source carries, and the path is returned;
            - a Pillow image of any mode: a Pillow image, of the same mode where it is L, LA,
              RGB, RGBA or I;16, with its profile and EXIF;
            - an array (H, W), (H, W, C) or (N, H, W, C), C = 1 to 4, RGB order, uint8, uint16, or
              float in [0, 1]: an array of that form and type;
            - a tensor (C, H, W) or (N, C, H, W), C = 1 to 4, uint8 or float in [0, 1]: a tensor
              of that form and type, on the same device;
            - a list or tuple of these: a list.
        model: a name or a weight file, as ``--model`` of the command takes them; the last few
            stay ready, and what ncnn computes is loaded without torch. ``'auto'`` is
            ``edsr-s`` for an image that is known to come from a lossless file (PNG, TIFF, ...),
            else ``edsr-photo``, which is for JPEGs. Or a module that maps (N, C, h, w) in [0, 1]
            to (N, C, h * scale, w * scale) and has ``scale``, and ``receptive_radius`` where it
            is known, as every network of `superres.load_model` has.
        scale: of the result, any number from 1; None is the network's own, or 4 of several.
        **options: of :class:`ImageUpscaler`; ``out`` and ``clamp`` of its call.

    Returns:
        What is said above. Values are clamped to their range unless ``clamp=False``.

    Raises:
        UserError: not an image, not a model, an option that is not known or not possible.
        SomeFailed: images of a list; the others are upscaled first, and in its ``results``.

    Warns:
        UserWarning: for each thing that is left out or reduced: frames, pages, bits, CMYK.
    """
    if wrong := [name for name in options if name not in _KNOWN]:
        hint = f"{did_you_mean(wrong[0], _KNOWN) or ';'} it has {', '.join(_KNOWN)}"
        raise UserError(f"upscale() has no option {wrong[0]!r}{hint}")
    scale = scale if scale is None else check_scale(scale)
    if not isinstance(model, str | os.PathLike | Backend) and not hasattr(model, "parameters"):
        raise UserError(f"{model!s:.50} is not a model; give a name, file or network (or scale=2)")
    if model == AUTO and isinstance(image, list | tuple):
        return _each(image, lambda item: upscale(item, model, scale, **options))
    call = {key: options.pop(key) for key in ("out", "clamp") if key in options}
    if model == AUTO:
        scale = scale or USUAL_SCALE
        model = networks.for_image(image, scale)
    if isinstance(model, str | os.PathLike):
        changed = os.stat(model).st_mtime_ns if os.path.isfile(model) else None
        model = _named(str(model), scale, options.get("backend", "auto"), changed)
    return _ready(model, {"scale": scale, **options})(image, **call)


def _each(images: Sequence[Any], one: Callable[[Any], Any]) -> list[Any]:
    """``one`` of each image; SomeFailed at the end."""
    results, faults = [], []
    for number, image in enumerate(images):
        try:
            results.append(one(image))
        except (UserError, MemoryError) as error:
            results.append(None)
            faults.append(f"[{number}] {error or 'not enough memory'}".rstrip("."))
    if not faults:
        return results
    count = f"{len(faults)} of {len(results)} images could not be upscaled"
    failed = SomeFailed(f"{count}: {some(faults)}; the error's results holds the others")
    failed.results = results
    raise failed


@functools.lru_cache(maxsize=4)
def _named(name: str, scale: float | None, backend: str, changed: int | None) -> Any:
    """The network of a name or a file, which may have ``changed`` meanwhile."""
    return networks.choose_network(networks.Options(name, scale, backend=backend)).module


def _ready(model: nn.Module | Backend, options: dict[str, Any]) -> ImageUpscaler:
    """The upscaler of the last call, as long as weights and options are the same."""
    tensors = [] if isinstance(model, Backend) else [*model.parameters(), *model.buffers()]
    # Changes with every training step, every loading of weights, and every move.
    places = [(t.data_ptr(), t._version, t.device) for t in tensors]
    stamp = [getattr(model, "scale", None), *places]
    with _preparing:  # threads that ask for the same wait for the first
        known = _upscalers.get(model)
        if known is None or known[:2] != (options, stamp):
            known = _upscalers[model] = (options, stamp, ImageUpscaler(model, **options))
    return known[2]


def as_arrays(image: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Turn an image, or a batch of them, into arrays.

    Args:
        image: a Pillow image; an array (H, W), (H, W, C) or (N, H, W, C); or a tensor (C, H, W) or
            (N, C, H, W). C = 1 to 4; uint8, uint16 or floats in [0, 1].

    Returns:
        (N, H, W, C) uint8, uint16 or float32, and what makes such a result the same kind as
        ``image``.

    Raises:
        UserError: something else, no pixels, or values that are not an image's.
    """
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise UserError(f"an image of {image.width}x{image.height} has no pixels")

        return from_pillow(image)[None], lambda y: _pillow(y[0], image.info)
    is_tensor = hasattr(image, "detach") and hasattr(image, "ndim")  # without importing torch
    if not is_tensor and not isinstance(image, np.ndarray):
        kinds = "a path, a Pillow image, a numpy array (H, W, C) or a tensor (C, H, W)"
        raise UserError(f"a {type(image).__name__} is not an image; give {kinds}")
    what, stack = "tensor" if is_tensor else "array", image
    if is_tensor and image.ndim > 2:
        stack = image.detach().cpu()
        stack = np.moveaxis((stack.float() if stack.is_floating_point() else stack).numpy(), -3, -1)
    elif image.ndim == 2 and not is_tensor:
        stack = image[..., None]
    if stack.ndim not in (3, 4) or stack.shape[-1] not in (1, 2, 3, 4) or 0 in stack.shape:
        expected = "(C, H, W) of a tensor, (H, W, C) of an array, C = 1 to 4, or a batch of such"
        fault = f"{what} of shape {tuple(image.shape)} is not an image, or has no pixels"
        raise UserError(f"{fault}; expected is {expected}")
    dtype = np.dtype(np.float32) if stack.dtype.kind == "f" else stack.dtype.newbyteorder("=")
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise UserError(f"{what} of {image.dtype} is not an image; use uint8, uint16 or floats")
    if dtype.kind == "f" and (fault := range_fault(stack)):
        raise UserError(f"this {what} {fault}")
    stack = np.asarray(stack, dtype)

    def same(y: np.ndarray) -> Any:
        y = y if stack.ndim == 4 else y[0]
        if not is_tensor:
            return (y[..., 0] if image.ndim == 2 else y).astype(image.dtype, copy=False)
        import torch

        y = np.ascontiguousarray(np.moveaxis(y, -1, -3))
        return torch.from_numpy(y).to(image.device, image.dtype)

    return stack if stack.ndim == 4 else stack[None], same


def _pillow(pixels: np.ndarray, info: dict[str, Any]) -> Image.Image:
    """(H, W, C) as a Pillow image, with what it carries along."""
    made = to_pillow(pixels)
    made.info |= {name: info[name] for name in _CARRIED if name in info}
    return made


class ImageUpscaler:
    """A network ready for many images: its back end is prepared once, its buffers are kept.

    >>> with model.upscaler(scale=3) as upscale:  # doctest: +SKIP
    ...     for path in paths:
    ...         upscale(path, out=folder / path.name)

    Args:
        model: see :func:`upscale`.
        scale: of the result, if not the network's own: any number from 1.
        backend: ``'auto'`` is the fastest that is installed; or ``'ncnn'``, ``'openvino'``,
            ``'onnxruntime'``, ``'torch'``.
        max_pixels: the limit on images that are read from files.
        **tiling: ``tile``, ``overlap``, ``self_ensemble``, ``memory_budget`` of
            :class:`superres.inference.Tiling`.

    Attributes:
        backend: name of the back end that computes.
        notes: about the last image, sentences: what was left out of it, how it was tiled.
    """

    def __init__(
        self,
        model: nn.Module | Backend,
        scale: float | None = None,
        backend: Literal["auto", "ncnn", "openvino", "onnxruntime", "torch"] = "auto",
        max_pixels: int | None = None,
        **tiling: Any,
    ) -> None:
        parameters = [] if isinstance(model, Backend) else model.parameters()
        net = best(model, next((p.device for p in parameters), "cpu"), backend)
        self._upscaler = TiledUpscaler(net, scale, channels_of(model), Tiling(**tiling))
        self.backend, self.max_pixels = net.name, max_pixels
        self.notes: list[str] = []

    def __enter__(self) -> ImageUpscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self._upscaler = None  # with its network and buffers

    @overload
    def __call__(self, image: ImageLike, *, clamp: bool = ...) -> Image.Image: ...
    @overload
    def __call__(self, image: Array, *, clamp: bool = ...) -> Array: ...
    @overload
    def __call__(self, image: Several[Opened], *, clamp: bool = ...) -> list[Image.Image]: ...
    @overload
    def __call__(self, image: Several[Array], *, clamp: bool = ...) -> list[Array]: ...
    @overload
    def __call__(self, image: File, out: File, clamp: bool = ...) -> Path: ...
    def __call__(self, image: Any, out: File | None = None, clamp: bool = True) -> Any:
        """Upscale one image or a list of them; see :func:`upscale`."""
        if self._upscaler is None:
            raise UserError("this upscaler was closed; make a new one")
        if isinstance(image, str | os.PathLike):
            return self._file(image, out)
        if out is not None:
            raise UserError("out= goes with a path; save other results yourself")
        if isinstance(image, list | tuple):
            return _each(image, lambda item: self(item, clamp=clamp))
        stack, back = as_arrays(image)
        if stack.dtype.kind == "f":
            y = np.moveaxis(self._upscaler.array(np.moveaxis(stack, -1, 1)), 1, -1)
            y = np.clip(y, 0, 1) if clamp else y
        else:
            y = np.stack([self._upscaler.upscale(one) for one in stack])
        made, notes = back(y), ["CMYK was turned to RGB"] * (getattr(image, "mode", "") == "CMYK")
        frames = getattr(image, "n_frames", 1) if isinstance(image, Image.Image) else 1
        if frames > 1 and image.tell() == 0:  # a later one was chosen by hand
            notes.append(f"only the first of {frames} frames; give the others one by one")
        self._tell(notes, "image", stack, made)
        return made

    def _file(self, path: str | os.PathLike, out: str | os.PathLike | None) -> Any:
        picture = load_image(path, self.max_pixels)
        if out is None:
            pixels = turned(self._upscaler.upscale(picture.pixels), picture.orientation)
            result = _pillow(pixels, Metadata(picture, pixels.shape[:2], 1, "", "").options(""))
            self._tell(picture.notes, path, picture.pixels, result)
            return result
        out = Path(out)
        if out.exists() and out.samefile(path):
            raise UserError(f"{out}: is the input itself, which is never overwritten")
        lost = save(out, self._upscaler, picture, format_of(out))
        self._tell([*picture.notes, *lost], path, picture.pixels, out)
        return out

    def _tell(self, notes: list[str], name: Any, pixels: np.ndarray, made: Any) -> None:
        if isinstance(made, Image.Image):
            dtype = np.dtype(np.uint16 if made.mode == "I;16" else np.uint8)
            notes = [*notes, *reduction(f"Pillow's {made.mode}", pixels.dtype, dtype)]
        for note in notes:
            warnings.warn(f"{name}: {note}", UserWarning, stacklevel=5)
        self.notes = [*self._upscaler.net.notes, *notes, *self._upscaler.notes]


PictureUpscaler = ImageUpscaler
"""The older name."""
