"""One registry per kind of thing, each a child of mmengine's root registry of that kind.

A name that is not registered here is looked up in mmengine, so ``dict(type='Adam')`` and
``dict(type='MultiStepLR')`` work in a config. ``locations`` are imported on the first look-up,
which keeps ``import superres`` cheap.
"""

import functools
import importlib
import os
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from superres.errors import UserError

SCOPE = "superres"


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=list(locations))


MODELS = _child("model", root.MODELS, "superres.models")
"""Backbones, restorers, losses and data preprocessors."""
DATASETS = _child("dataset", root.DATASETS, "superres.datasets.paired", "superres.datasets.joined")
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "superres.datasets.sampler")
TRANSFORMS = _child("transform", root.TRANSFORMS, "superres.datasets.transforms")
HOOKS = _child("hook", root.HOOKS, "superres.engine.hooks")
LOOPS = _child("loop", root.LOOPS, "superres.engine")
OPTIM_WRAPPERS = _child("optimizer wrapper", root.OPTIM_WRAPPERS, "superres.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS, "superres.engine"
)
OPTIMIZERS = _child("optimizer", root.OPTIMIZERS, "superres.engine")
PARAM_SCHEDULERS = _child("parameter scheduler", root.PARAM_SCHEDULERS, "superres.engine")
METRICS = _child("metric", root.METRICS, "superres.evaluation.metrics")
"""Functions of (sr, hr, protocol), or classes of such."""
VISUALIZERS = _child("visualizer", root.VISUALIZERS, "superres.engine")
VISBACKENDS = _child("vis_backend", root.VISBACKENDS, "superres.engine")

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Registry))


def registered(registry: Registry, name: Any) -> Any:
    """What is registered here under a plain name, else None.

    For names that come from a file: mmengine's look-up, which configs go through, imports and
    calls whatever a dotted name leads to (``os.system``).
    """
    registry.import_from_location()
    if isinstance(name, str) and name not in registry.module_dict:
        _import_own()
    return registry.module_dict.get(name) if isinstance(name, str) else None


@functools.cache
def _import_own() -> None:
    """Import the modules that ``SUPERRES_IMPORTS`` names, with commas between them.

    Commands that take weights and no config find a network of the user's own so.

    Raises:
        UserError: there is not a module of that name, or importing it fails.
    """
    for module in filter(None, os.environ.get("SUPERRES_IMPORTS", "").split(",")):
        try:
            importlib.import_module(module.strip())
        except Exception as error:  # the user's own code
            raise UserError(f"SUPERRES_IMPORTS: {module}: {error}") from error
