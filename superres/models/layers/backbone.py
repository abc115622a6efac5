"""What every network of this package is and needs: the base class, its scale, how far it sees, and
the initialisations that published recipes use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import torch
from torch import nn

from superres.errors import UserError
from superres.models.layers.residual import ResidualBlock

if TYPE_CHECKING:
    from PIL import Image

    from superres.upscaling.python import (
        Array,
        File,
        ImageLike,
        ImageUpscaler,
        Opened,
        Scaled,
        Several,
    )


class Backbone(nn.Module):
    """Base of all backbones: ``forward`` on tensors, ``upscale`` on images of any kind.

    It adds no parameters or buffers, so state dicts are those of the network alone.

    Attributes:
        studio_luma: the one channel of the network is Y of YCbCr (16 to 235), as published ones
            are trained, not grey as here. `superres.inference.luma.OnLuma` makes it of images;
            ``forward`` takes it as it is.
    """

    studio_luma = False

    def fold_res_scale(self) -> None:
        """Fold residual scales into the blocks' second convolutions, for inference."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.fold_res_scale()

    @overload
    def upscale(self, image: ImageLike, **options: Unpack[Scaled]) -> Image.Image: ...
    @overload
    def upscale(self, image: Array, **options: Unpack[Scaled]) -> Array: ...
    @overload
    def upscale(self, image: Several[Opened], **options: Unpack[Scaled]) -> list[Image.Image]: ...
    @overload
    def upscale(self, image: Several[Array], **options: Unpack[Scaled]) -> list[Array]: ...
    @overload
    def upscale(self, image: Several[Any], **options: Unpack[Scaled]) -> list[Any]: ...
    @overload
    def upscale(self, image: File, *, out: File, **options: Unpack[Scaled]) -> Path: ...
    def upscale(self, image: Any, **options: Any) -> Any:
        """Upscale an image; gives the same kind of thing back.

        Args:
            image: a path, a Pillow image, an array, a tensor, or a list of such; see
                :func:`superres.upscaling.upscale`, which this is with this network.
            **options: ``scale``, ``tile``, ``self_ensemble``, ``backend``, ... of the same.
        """
        import superres  # its public functions: networks know nothing of image files

        return superres.upscale(image, self, **options)

    def upscaler(self, **options: Any) -> ImageUpscaler:
        """A :class:`superres.upscaling.ImageUpscaler`: many images, buffers and back end kept.

        >>> with model.upscaler(tile=256) as upscale:  # doctest: +SKIP
        ...     results = [upscale(path) for path in paths]
        """
        import superres

        return superres.ImageUpscaler(self, **options)


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    """The network that ``make`` builds, on torch's meta device: shapes, without numbers in them.

    A constructor that computes with numbers (``torch.linspace(...).tolist()``) builds it on the CPU
    first.
    """
    try:
        with torch.device("meta"):
            return make()
    except (RuntimeError, TypeError) as error:
        if "meta" not in str(error):
            raise
        return make().to("meta")


def with_scale(network: nn.Module, config: Mapping[str, Any]) -> nn.Module:
    """Give a network that has no attribute ``scale`` the one that its config states.

    Raises:
        UserError: the config states none either.
    """
    if not hasattr(network, "scale"):
        scale = next(iter(getattr(network, "scales", ())), config.get("scale"))
        if type(scale) is not int:
            raise UserError(
                f"{type(network).__name__} has no attribute `scale` and no argument of that name; "
                "set self.scale in its constructor"
            )
        network.scale = scale
    return network


Step = tuple[Literal["conv", "up", "interpolate"], int]


def receptive_radius(steps: Sequence[Step]) -> int:
    """How many input pixels away an input pixel can still change an output pixel.

    The distance is counted in whole input pixels from the input pixel that the output pixel lies
    in, the worst case over the output pixels of one input pixel.

    Args:
        steps: the network from input to output: ``("conv", r)`` for a total kernel radius ``r``
            at the current resolution, ``("up", f)`` for a pixel shuffle by ``f``,
            ``("interpolate", f)`` for a bicubic upscaling by ``f`` (four taps, no antialias).
    """
    scale = 1
    for kind, value in steps:
        scale *= 1 if kind == "conv" else value
    low, high = 0, scale - 1  # the output pixels of input pixel 0
    for kind, value in reversed(steps):
        if kind == "conv":
            low, high = low - value, high + value
        elif kind == "up":
            low, high = low // value, high // value
        elif value > 1:
            # Output p lies at (p + 1/2) / f - 1/2 = (2p + 1 - f) / 2f and has two taps on either
            # side; on an input pixel's centre it has that pixel only, its neighbour p then tells.
            low = (2 * low + 1 - value) // (2 * value) - 1
            high = -(-(2 * high + 1 - value) // (2 * value)) + 1
    return max(-low, high)


INITS = ("pytorch", "mmediting")


def check_init(init: str, *more: str) -> None:
    """UserError unless ``init`` is one of `INITS` or of ``more``, which one network has."""
    if init not in (*INITS, *more):
        raise UserError(f"init={init!r} is not known; choose one of {', '.join((*INITS, *more))}")


def kaiming_scaled(modules: Iterable[nn.Module], scale: float = 1.0) -> None:
    """Kaiming-normal (fan in, gain of ReLU) times ``scale`` for conv weights, zero biases.

    MMEditing's rule: 0.1 for the convolutions of residual blocks, 1 for those of the upsampler.
    """
    for module in modules:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            module.weight.data.mul_(scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
