"""Activation checkpointing: what a block computed is not kept but computed again.

A block then keeps its input only, and its forward pass runs a second time when the gradients come
to it (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): about a third more
arithmetic for a fraction of the memory. Gradients are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from superres.errors import UserError

_STATEFUL = nn.modules.batchnorm._BatchNorm
_RANDOM = nn.modules.dropout._DropoutNd


class _Recomputed:
    """Takes the place of a block's ``forward``. A copy of the block gets its own copy of this."""

    def __init__(self, forward: Callable[..., Any], random: bool) -> None:
        self.forward, self.random = forward, random

    def __call__(self, *args: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*args)
        return checkpoint(self.forward, *args, use_reentrant=False, preserve_rng_state=self.random)


def recompute(backbone: nn.Module, patterns: list[str]) -> list[str]:
    """Let the blocks that match compute their activations again; gives their names.

    Args:
        backbone: its module names and state dict stay as they are.
        patterns: names within it, ``*`` for anything: ``['body.*']`` in EDSR, ``['blocks.*']`` in
            DRLN. What lies within a matching block is part of it.

    Raises:
        UserError: a pattern that matches nothing (blocks that could be meant are named), or a
            block whose second pass would not equal its first one (batch normalisation).
    """
    blocks = dict(backbone.named_modules())
    blocks.pop("")
    matching: list[str] = []
    for pattern in patterns:
        found = [name for name in blocks if fnmatchcase(name, pattern)]
        if not found:
            lists = block_lists(backbone) or block_lists(backbone, least=1)
            names = ", ".join(lists or [name for name, _ in backbone.named_children()])
            raise UserError(
                f"config: recompute: {type(backbone).__name__} has no module {pattern!r}. "
                f"{'Lists of blocks' if lists else 'Modules'} in it: {names}"
            )
        matching += found
    chosen = [
        name
        for name in dict.fromkeys(matching)
        if not any(name.startswith(f"{other}.") for other in matching)
    ]
    for name in chosen:
        parts = list(blocks[name].modules())
        if any(isinstance(part, _STATEFUL) for part in parts):
            raise UserError(
                f"config: recompute: {name} holds batch normalisation, whose running statistics "
                "a second pass would update twice"
            )
        if isinstance(blocks[name], nn.ModuleList):
            raise UserError(f"config: recompute: {name} is a list of blocks; write '{name}.*'")
        random = any(isinstance(part, _RANDOM) for part in parts)
        blocks[name].forward = _Recomputed(blocks[name].forward, random)
    return chosen


def block_lists(backbone: nn.Module, least: int = 4) -> list[str]:
    """Patterns for the backbone's lists of at least ``least`` blocks, the outermost ones."""
    found: list[str] = []
    for name, module in backbone.named_modules():
        is_list = isinstance(module, nn.ModuleList | nn.Sequential) and len(module) >= least
        inside = any(name.startswith(pattern[:-1]) for pattern in found)
        # A list of single layers (DRLN's fusions) keeps little.
        if is_list and name and not inside and any(len(list(b.children())) for b in module):
            found.append(f"{name}.*")
    return found
