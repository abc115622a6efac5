"""The runner layer over mmengine. Importing it registers optimisers, their wrappers and hooks."""

from . import hooks, optim, zero

__all__ = ["hooks", "optim", "zero"]
