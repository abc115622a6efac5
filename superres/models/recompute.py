"""Activation checkpointing: blocks that compute their activations again instead of keeping them.

A block whose activations are recomputed keeps its input only, and its forward pass runs a second
time when the gradients come to it (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
2016): about a third more arithmetic for a fraction of the memory. Gradients are the same, bit for
bit.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from superres.errors import UserError

_STATEFUL = nn.modules.batchnorm._BatchNorm


def recompute(backbone: nn.Module, patterns: list[str]) -> list[str]:
    """Let the blocks that match compute their activations again; returns their names.

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
            names = block_lists(backbone) or [name for name, _ in backbone.named_children()]
            what = f"{type(backbone).__name__} has no module {pattern!r}"
            raise UserError(f"config: recompute: {what}. It has {', '.join(names)}")
        matching += found
    outermost = {n for n in matching if not any(n.startswith(f"{other}.") for other in matching)}
    chosen = [name for name in blocks if name in outermost]
    for name in chosen:
        if any(isinstance(module, _STATEFUL) for module in blocks[name].modules()):
            raise UserError(
                f"config: recompute: {name} holds batch normalisation, whose running statistics "
                "a second pass would update twice"
            )
        if isinstance(blocks[name], nn.ModuleList):
            raise UserError(f"config: recompute: {name} is a list of blocks; write '{name}.*'")
        # A partial, unlike a function, goes with a copy of its block to the copy's weights.
        blocks[name].forward = partial(checkpoint, blocks[name].forward, use_reentrant=False)
    return chosen


def block_lists(backbone: nn.Module) -> list[str]:
    """Patterns for the backbone's lists of at least 4 blocks, the outermost ones."""
    found: list[str] = []
    for name, module in backbone.named_modules():
        is_list = isinstance(module, nn.ModuleList | nn.Sequential) and len(module) >= 4
        inside = any(name.startswith(pattern[:-1]) for pattern in found)
        # A list of single layers (DRLN's fusions) keeps little.
        if is_list and name and not inside and any(len(list(b.children())) for b in module):
            found.append(f"{name}.*")
    return found
