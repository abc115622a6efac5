"""The runner layer over mmengine. Importing it registers optimisers, their wrappers and hooks."""

from . import hooks
from .train import optim

__all__ = ["hooks", "optim"]
