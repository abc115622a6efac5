"""The runner layer over mmengine. Importing it registers optimiser wrappers and hooks."""

from . import hooks, optim

__all__ = ["hooks", "optim"]
