"""Make a network cheaper to run without changing what it computes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import nn

TOLERANCE = 1e-5
"""Largest change of the output, relative to the larger of 1 and its largest value."""


@torch.no_grad()
def folded(model: nn.Module) -> nn.Module:
    """A copy on the CPU in evaluation mode, residual scale and numeric range folded in.

    The residual scale goes into each block's second convolution. The range, the division by it
    and the mean that is added at the end go into the first and the last convolution, which saves
    passes over the large output; the subtraction of the mean at the beginning stays, because zero
    padding follows it. A network with ``fold_res_scale``, ``normalise``, ``conv_first``,
    ``conv_last`` and ``denormalise`` is folded that way; both networks are then run, and where
    the outputs differ (the network uses its normalised input elsewhere too) only the residual
    scale is folded. Other networks are copied as they are.
    """
    plain = copy.deepcopy(model).cpu().float().eval()
    for parameter in plain.parameters():
        parameter.requires_grad_(False)
    if hasattr(plain, "fold_res_scale"):
        plain.fold_res_scale()
    result = copy.deepcopy(plain)
    if not _fold_range(result):
        return plain
    channels = plain.normalise.mean.shape[1]
    x = torch.rand((1, channels, 12, 10), generator=torch.Generator().manual_seed(0))
    with one_thread():
        before, after = plain(x), result(x)
    same = (before - after).abs().max() <= TOLERANCE * before.abs().max().clamp(min=1)
    return result if same else plain


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run small pictures on one thread; sharing them out costs more, most on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fold_range(model: nn.Module) -> bool:
    """Fold in place where the parts are there; whether anything was done."""
    into, outof = getattr(model, "normalise", None), getattr(model, "denormalise", None)
    first = getattr(model, "conv_first", getattr(model, "conv1", None))
    last = getattr(model, "conv_last", getattr(model, "conv3", None))
    if not all(isinstance(conv, nn.Conv2d) for conv in (first, last)):
        return False
    for part in (into, outof):
        if not hasattr(part, "gain") or not hasattr(part, "mean"):
            return False
    if into.is_identity and outof.is_identity:
        return False
    # In double precision, so that folding costs one rounding.
    gain_in, gain_out = into.gain.double().view(-1), outof.gain.double().view(-1)
    mean_out = outof.mean.double().view(-1)
    first.weight.data = (first.weight.double() * gain_in.view(1, -1, 1, 1)).float()
    bias = torch.zeros_like(gain_out) if last.bias is None else last.bias.double()
    last.weight.data = (last.weight.double() / gain_out.view(-1, 1, 1, 1)).float()
    last.bias = nn.Parameter((bias / gain_out + mean_out).float(), requires_grad=False)
    into.gain.fill_(1.0)
    model.denormalise = nn.Identity()
    if not into.mean.any():
        model.normalise = nn.Identity()
    else:
        model.normalise = Subtract(into.mean)
    return True


class Subtract(nn.Module):
    """``x - mean``, mean (1, C, 1, 1)."""

    def __init__(self, mean: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        return x - self.mean
