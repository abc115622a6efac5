"""Images as Python programs hold them: Pillow's, arrays and tensors, as arrays and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from superres.errors import UserError
from superres.imaging.samples import from_pillow, to_pillow


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

        def pillow(y: np.ndarray) -> Image.Image:
            made = to_pillow(y[0])
            made.info |= {k: image.info[k] for k in _CARRIED if k in image.info}
            return made

        return from_pillow(image)[None], pillow
    is_tensor = hasattr(image, "detach")  # without importing torch
    if not is_tensor and not isinstance(image, np.ndarray):
        raise UserError(
            f"a {type(image).__name__} is not an image; give a path, a Pillow image, a numpy array "
            "(H, W, C) or a tensor (C, H, W)"
        )
    what = "tensor" if is_tensor else "array"
    stack = image
    if is_tensor and image.ndim > 2:
        stack = image.detach().cpu()
        stack = np.moveaxis((stack.float() if stack.is_floating_point() else stack).numpy(), -3, -1)
    elif image.ndim == 2 and not is_tensor:
        stack = image[..., None]
    if stack.ndim not in (3, 4) or stack.shape[-1] not in (1, 2, 3, 4) or 0 in stack.shape:
        raise UserError(
            f"{what} of shape {tuple(image.shape)} is not an image; expected 1 to 4 channels, "
            "(C, H, W) of a tensor, (H, W, C) of an array, or a batch of such, and no pixels or "
            "images missing"
        )
    dtype = np.dtype(np.float32) if stack.dtype.kind == "f" else stack.dtype.newbyteorder("=")
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise UserError(f"{what} of {image.dtype} is not an image; use uint8, uint16 or floats")
    if dtype.kind == "f":
        low, high = float(stack.min()), float(stack.max())
        if not (low >= -0.5 and high <= 2):  # a little beyond is what filters leave; NaN is not
            raise UserError(
                f"this float {what} goes from {low:g} to {high:g}; expected are floats in [0, 1]: "
                "divide by 255, take (x + 1) / 2 of [-1, 1], replace NaN and infinities"
            )
    stack = np.asarray(stack, dtype)

    def same(y: np.ndarray) -> Any:
        y = y if stack.ndim == 4 else y[0]
        if not is_tensor:
            return (y[..., 0] if image.ndim == 2 else y).astype(image.dtype, copy=False)
        import torch

        y = np.ascontiguousarray(np.moveaxis(y, -1, -3))
        return torch.from_numpy(y).to(image.device, image.dtype)

    return stack if stack.ndim == 4 else stack[None], same


_CARRIED = ("icc_profile", "exif", "dpi")
