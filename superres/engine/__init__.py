"""The runner layer over mmengine. Importing it registers optimisers, their wrappers and hooks."""

from . import hooks
from .train import optim
from .train.speed import sharded_optimizer as zero

__all__ = ["hooks", "optim", "zero"]
