"""Whole modules and other objects in pickles, without their classes: read as data, never run.

Programs of before state dicts saved ``torch.save(model)`` or ``{"epoch": 3, "model": model}``.
Such a pickle names the class of every layer. Here each unknown class is an empty stub that keeps
what it is given; a module's parameters and buffers are then found under their usual names.
"""

from __future__ import annotations

import codecs
import collections
import logging
import pickle
import types
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

logger = logging.getLogger("superres")


def _nothing(*arguments: Any) -> Stub:
    """Stands for getattr, by which pickles name methods, and the like; looks nothing up."""
    return object.__new__(Stub)


def _parameter(data: Tensor, requires_grad: bool = True, hooks: Any = None) -> Tensor:
    """A parameter, also as PyTorch before 0.4 named it: by its data alone."""
    return torch._utils._rebuild_parameter(data, requires_grad, hooks or {})


def _numpy() -> dict[tuple[str, str], Any]:
    """Name -> what pickles of numpy's numbers and arrays ask for, as before numpy 2.0 and since.

    Scores and losses beside the weights are often such numbers; making them runs no foreign code.
    """
    scalar, (reconstruct, *_) = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()
    return {("numpy", kind.__name__): kind for kind in (np.ndarray, np.dtype)} | {
        (f"numpy.{core}.multiarray", maker.__name__): maker
        for maker in (scalar, reconstruct)
        for core in ("core", "_core")
    }


# What makes tensors and plain data of what a pickle holds; none of it can run foreign code.
_MAKERS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    **{
        ("torch._utils", name): getattr(torch._utils, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2")
    },
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
    # Each module of PyTorch before 1.0 names it, as what computes its operations.
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"): _nothing,
    **_numpy(),
    **{(module, "getattr"): _nothing for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): codecs.encode,
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")  # Python 2's name, in pickles for it, too
        for kind in (set, frozenset, list, dict, int, float)
    },
}


class RunsCode(Exception):
    """A pickle wants something called by name."""


class Stub:
    """An object of a class that is not looked up.

    Pickles make objects by ``__new__`` and give them their attributes; whoever calls a class or a
    function by name comes to ``__init__``.
    """

    name = ""
    dump_patches = False  # torch's old format asks

    def __new__(cls, *args: Any, **kwargs: Any) -> Stub:
        """An empty one, whatever the arguments."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RunsCode(self.name)

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes."""
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Of a class made from a dict; left out."""

    def append(self, value: Any) -> None:
        """Of a class made from a list; left out."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _MAKERS.get((module, name))
        return known or type(name, (Stub,), {"name": f"{module}.{name}"})


def read(path: Path) -> Any:
    """The tensors and plain data of a pickle; modules as state dicts, other objects left out.

    What was left out is logged.

    Raises:
        RunsCode: the pickle asks for a call.
        Exception: it is damaged, in any way that pickle and torch notice, or holds itself.
    """
    module = types.SimpleNamespace(
        __name__=__name__,
        Unpickler=_Unpickler,
        load=lambda file, **options: _Unpickler(file, **options).load(),
    )
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, on layers' sources
        tree = torch.load(file, map_location="cpu", pickle_module=module, weights_only=False)
    left_out: Counter[str] = Counter()
    data = _as_data(tree, left_out)
    if left_out:
        names = ", ".join(f"{name} ({count})" for name, count in left_out.most_common(3))
        logger.warning("%s: objects in it are left out: %s", path, names)
    return data


def _as_data(value: Any, left_out: Counter[str]) -> Any:
    if _is_module(value):
        return dict(_state(value, ""))
    if isinstance(value, Stub):
        left_out[value.name] += 1
        return None
    if isinstance(value, Mapping):
        return {key: _as_data(item, left_out) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_data(item, left_out) for item in value]
    return value


def _is_module(value: Any) -> bool:
    return isinstance(value, Stub) and isinstance(getattr(value, "_parameters", None), Mapping)


def _state(module: Stub, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """A module's parameters and buffers, as its ``state_dict()`` has them."""
    hidden = getattr(module, "_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        for name, value in (getattr(module, kind, None) or {}).items():
            if isinstance(value, Tensor) and name not in hidden:
                yield f"{prefix}{name}", value.detach()
    for name, child in (getattr(module, "_modules", None) or {}).items():
        if _is_module(child):
            yield from _state(child, f"{prefix}{name}.")
