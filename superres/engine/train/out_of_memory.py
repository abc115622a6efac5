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
    chosen = "; ".join(text for text, helps in advice.items() if helps)
    return _told(
        run,
        error,
        f"in iteration {run.iter + 1}",
        f"Settings to change with --cfg-options, the harmless ones first: {chosen}",
    )


def while_validating(run: Trainer, error: BaseException) -> UserError:
    """The same for validation, whose pictures are whole ones."""
    return _told(
        run,
        error,
        f"in the validation at iteration {run.iter}",
        'Let it work on parts of pictures (--cfg-options "model.inference=dict(tile=128)"), or on '
        "a set of smaller ones (val_sets, test_sets)",
    )


def _told(run: Trainer, error: BaseException, where: str, advice: str) -> UserError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
    good = run.last_good_checkpoint
    kept = f"{good} is whole; continue with --resume" if good else "No checkpoint was saved yet"
    peak = f"peak {peak_memory_mb(run.device):.0f} MB"
    return UserError(f"out of memory on {run.device} {where} ({peak}): {first}. {advice}. {kept}")
