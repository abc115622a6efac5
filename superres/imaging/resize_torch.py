"""MATLAB's ``imresize`` on batches of tensors, on any device and differentiable for floats.

The same weights as :mod:`superres.imaging.resize`, applied tap by tap from the first to the last,
which is MATLAB's order of summation. On 8-bit input the sums are float64, so the result equals
the numpy function's sample for sample, on a GPU too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from superres.errors import UserError
from superres.imaging.kernels import contributions
from superres.imaging.resize import check_options, output_geometry, pass_order

if TYPE_CHECKING:
    import torch


def imresize_tensor(
    x: torch.Tensor,
    scale: float | Sequence[float] | None = None,
    size: Sequence[int] | None = None,
    method: str = "bicubic",
    antialias: bool = True,
    border: str = "reflect",
    rounding: str = "uint8_each_pass",
) -> torch.Tensor:
    """Resize a batch with the numbers of MATLAB's ``imresize``.

    Args:
        x: (N, C, H, W), uint8 in [0, 255] or floating point of any range (here usually [0, 1]).
            NaN samples are not looked for: each spreads to the outputs whose kernel touches it.
        scale, size, method, antialias, border: as in :func:`superres.imaging.resize.imresize`.
        rounding: ``uint8_each_pass`` rounds uint8 input after each pass and returns uint8;
            ``float`` returns it as float64 on [0, 255], neither rounded nor clamped.

    Returns:
        (N, C, h, w) on the same device. Floating point input keeps its type and is never rounded
        or clamped; float16 and bfloat16 are computed in float32.

    Raises:
        UserError: for arguments outside of what is listed above.
    """
    import torch

    if not isinstance(x, torch.Tensor) or x.ndim != 4 or x.numel() == 0:
        shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
        raise UserError(f"imresize_tensor: expected a non-empty (N, C, H, W) tensor, not {shape}")
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise UserError(f"imresize_tensor: {x.dtype} is not supported; use uint8 or a float type")
    check_options(method, border, rounding)
    lengths, scales = output_geometry(x.shape[2:], scale, size)
    if x.dtype in (torch.uint8, torch.float64):
        work = torch.float64
    else:
        work = torch.float32
    to_uint8 = x.dtype == torch.uint8 and rounding == "uint8_each_pass"
    result = x
    for axis in pass_order(scales):
        dim = axis + 2
        if lengths[axis] == x.shape[dim] and scales[axis] == 1:
            continue
        key = (x.shape[dim], lengths[axis], scales[axis], method, antialias, border)
        weights, indices = _device_table(key, work, x.device)
        shape = (-1, 1) if dim == 2 else (-1,)
        total = None
        for weight, index in zip(weights, indices):
            part = result.index_select(dim, index).to(work) * weight.view(shape)
            total = part if total is None else total + part
        result = (total + 0.5).floor().clamp(0, 255).to(torch.uint8) if to_uint8 else total
    if to_uint8 or x.is_floating_point():
        result = result.to(x.dtype)
    else:
        result = result.to(torch.float64)
    return result.clone() if result is x else result


@lru_cache(maxsize=32)
def _device_table(
    key: tuple[int, int, float, str, bool, str], dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and indices of one pass, both (taps, out_length), on ``device``."""
    import torch

    table = contributions(*key)
    weights = torch.tensor(table.weights.T, dtype=dtype, device=device)
    return weights, torch.tensor(table.indices.T, device=device)
