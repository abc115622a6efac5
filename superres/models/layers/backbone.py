"""What every network of this package is: a torch module that can enlarge pictures, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import torch
from torch import nn

from superres.errors import UserError
from superres.models.layers.residual import ResidualBlock

if TYPE_CHECKING:
    from PIL import Image

    from superres.upscaling.python import (
        Array,
        File,
        Opened,
        Picture,
        PictureUpscaler,
        Scaled,
        Several,
    )


class Backbone(nn.Module):
    """Base of all backbones: ``forward`` on tensors, ``upscale`` on pictures of any kind.

    It adds no parameters or buffers, so state dicts are those of the network alone.

    Attributes:
        studio_luma: the one channel of the network is Y of YCbCr (16 to 235), as published ones
            are trained, not grey as here. `superres.inference.luma.OnLuma` makes it of pictures;
            ``forward`` takes it as it is.
    """

    studio_luma = False

    def fold_res_scale(self) -> None:
        """Fold residual scales into the blocks' second convolutions, for inference."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.fold_res_scale()

    @overload
    def upscale(self, image: Picture, **options: Unpack[Scaled]) -> Image.Image: ...
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
        """Enlarge a picture; gives the same kind of thing back.

        Args:
            image: a path, a Pillow picture, an array, a tensor, or a list of such; see
                :func:`superres.upscaling.upscale`, which this is with this network.
            **options: ``scale``, ``tile``, ``self_ensemble``, ``backend``, ... of the same.
        """
        import superres  # its public functions: networks know nothing of picture files

        return superres.upscale(image, self, **options)

    def upscaler(self, **options: Any) -> PictureUpscaler:
        """A :class:`superres.upscaling.PictureUpscaler`: many pictures, buffers and back end kept.

        >>> with model.upscaler(tile=256) as enlarge:  # doctest: +SKIP
        ...     results = [enlarge(path) for path in paths]
        """
        import superres

        return superres.PictureUpscaler(self, **options)


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
