"""What to lower when a training runs out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superres.engine.config.values import to_plain
from superres.errors import UserError
from superres.inference.memory import is_out_of_memory, peak_memory_mb

from .speed.recompute import block_lists

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["is_out_of_memory", "while_training", "while_validating"]


def while_training(run: Trainer, error: BaseException) -> UserError:
    """The error to raise instead of the allocator's: the settings to change, best ones first."""
    cfg, share = run.cfg, run.cfg.global_batch_size // run.world_size
    parts = cfg.get("accumulate", 1)
    more = next((n for n in range(parts + 1, share + 1) if share % n == 0), None)
    blocks = "" if cfg.get("recompute") else ",".join(map(repr, block_lists(run.module.backbone)))
    advice = {
        f"accumulate={more} (now {parts}: {share // parts} samples at a time; the result stays the "
        "same)": more,
        f'"recompute=[{blocks}]" (a third more arithmetic; the result stays the same)': blocks,
        "amp=True (half the bytes)": not run.fast.amp,
        "train_dataloader.dataset.cache=None": cfg.train_dataloader["dataset"].get("cache"),
        f"lq_patch_size (now {to_plain(cfg.get('lq_patch_size'))})": cfg.get("lq_patch_size"),
        f"global_batch_size (now {cfg.global_batch_size}; another training)": share > 1,
    }
    return UserError(
        f"out of memory on {run.device} in iteration {run.iter + 1} "
        f"(peak {peak_memory_mb(run.device):.0f} MB): {_first_line(error)}. Settings to change "
        "with --cfg-options, the harmless ones first: "
        f"{'; '.join(text for text, helps in advice.items() if helps)}. {_kept(run)}"
    )


def while_validating(run: Trainer, error: BaseException) -> UserError:
    """The same for validation, whose pictures are whole ones."""
    return UserError(
        f"out of memory on {run.device} in the validation at iteration {run.iter} "
        f"(peak {peak_memory_mb(run.device):.0f} MB): {_first_line(error)}. Let it work on parts "
        'of pictures (--cfg-options "model.inference=dict(tile=128)"), or on a set of smaller ones '
        f"(val_sets, test_sets). {_kept(run)}"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300].rstrip(".")


def _kept(run: Trainer) -> str:
    good = run.last_good_checkpoint
    return f"{good} is whole; continue with --resume" if good else "No checkpoint was saved yet"
