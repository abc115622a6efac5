"""What to lower where the memory of a training does not suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superres.engine.config.values import to_plain
from superres.errors import UserError
from superres.inference.memory import peak_memory_mb
from superres.models.recompute import block_lists

if TYPE_CHECKING:
    from .trainer import Trainer


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
