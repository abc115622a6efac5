"""Memory of a training: activation checkpointing, and what to lower where it does not suffice.

A block whose activations are recomputed keeps its input only, and its forward pass runs a second
time when the gradients come to it (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
2016): about a third more arithmetic for a fraction of the memory. Gradients are the same, bit for
bit.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from torch import nn
from torch.utils.checkpoint import checkpoint

from superres.engine.config.values import to_plain
from superres.errors import UserError
from superres.inference.memory import peak_memory_mb

if TYPE_CHECKING:
    from .trainer import Trainer

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


def while_training(run: Trainer, error: BaseException) -> UserError:
    """The error to raise instead of the allocator's: the settings to change, best ones first."""
    cfg, parts = run.cfg, run.cfg.get("accumulate", 1)
    blocks = ",".join(map(repr, block_lists(run.module.backbone)))
    advice = (
        f"accumulate={2 * parts} (now {parts}; same result); "
        f'"recompute=[{blocks}]" (a third more arithmetic, same result); '
        "amp=True (half the bytes); speed='auto'; train_dataloader.dataset.cache=None; "
        f"lq_patch_size (now {to_plain(cfg.get('lq_patch_size'))}); "
        f"global_batch_size (now {cfg.global_batch_size}; another training)"
    )
    return _error(run, error, f"iteration {run.iter + 1}", f"Lower, best ones first: {advice}")


def while_validating(run: Trainer, error: BaseException) -> UserError:
    """The same for validation, whose images are whole ones."""
    advice = 'Use tiled validation (--cfg-options "model.inference=dict(tile=128)") or smaller sets'
    return _error(run, error, f"the validation at iteration {run.iter}", advice)


def _error(run: Trainer, error: BaseException, where: str, advice: str) -> UserError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
    good = run.last_good_checkpoint
    kept = f"{good} is whole; continue with --resume" if good else "No checkpoint was saved yet"
    where = f"{run.device} in {where} (peak {peak_memory_mb(run.device):.0f} MB)"
    return UserError(f"out of memory on {where}: {first}. {advice}. {kept}")
