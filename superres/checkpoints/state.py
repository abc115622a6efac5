"""Find the state dict inside whatever a weight file holds, and clean it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from superres.errors import UserError

State = dict[str, Tensor]
_SMALL = 64 << 20

# In order of preference: averaged weights before plain ones.
WRAPPERS = (
    "params_ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "sd",
    "net",
    "network",
    "generator",
)
PREFIXES = ("module.", "_orig_mod.", "model.")
# What a generator's training checkpoint holds beside it: not part of the network.
COMPANIONS = (
    "generator_ema.",
    "discriminator.",
    "data_preprocessor.",
    "pixel_loss.",
    "perceptual_loss.",
    "gan_loss.",
    "step_counter",
)


def find_state(tree: Any, where: str) -> tuple[State, list[str]]:
    """The state dict in the content of a weight file, prefixes stripped, and notes about both.

    Raises:
        UserError: there is none.
    """
    notes: list[str] = []
    for _ in range(3):
        if not isinstance(tree, Mapping):
            break
        key = next((k for k in WRAPPERS if _is_state_like(tree.get(k))), None) or _only_state(tree)
        if key is None:
            break
        tree = tree[key]
        notes.append(f"read from '{key}'")
    if not isinstance(tree, Mapping) or not any(isinstance(v, Tensor) for v in tree.values()):
        raise UserError(
            f"{where}: holds no state dict (a mapping from names to tensors, by itself or under "
            f"one of {', '.join(WRAPPERS)})"
        )
    state = {str(key): value for key, value in tree.items()}
    stripped = bool(state)
    while stripped:
        if any(key.startswith("generator.") for key in state):
            rest = {k: v for k, v in state.items() if not k.startswith(COMPANIONS)}
            if len(rest) < len(state):
                notes.append(f"{len(state) - len(rest)} entries beside the generator ignored")
            state = {key.removeprefix("generator."): value for key, value in rest.items()}
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), "")
        stripped = bool(prefix)
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state, notes


def _only_state(tree: Mapping[Any, Any]) -> Any:
    """The one entry that holds weights, whatever its name, where no tensor lies beside it."""
    if any(isinstance(value, Tensor) for value in tree.values()):
        return None
    found = [k for k, v in tree.items() if isinstance(v, Mapping) and _has_weights(v)]
    return found[0] if len(found) == 1 else None


def _has_weights(state: Mapping[Any, Any]) -> bool:
    return any(str(k).endswith(".weight") and isinstance(v, Tensor) for k, v in state.items())


def _is_state_like(value: Any, depth: int = 3) -> bool:
    if not isinstance(value, Mapping) or not depth:  # a pickle's dict may hold itself
        return False
    inner = value.get("sd")
    return any(isinstance(v, Tensor) for v in value.values()) or _is_state_like(inner, depth - 1)


def clean(state: Mapping[str, Any], where: str) -> State:
    """Float32 copies of a state dict's tensors (whole numbers stay what they are).

    Raises:
        UserError: an entry that is no dense tensor, or a NaN or infinity, with its name; tensors
            that repeat what is stored, to an enormous size.
    """
    _check_stored(state, where)
    result: State = {}
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(
                f"{where}: entry {key!r} is {type(value).__name__}, not a tensor; this is no plain "
                "state dict"
            )
        if not _is_dense(value):
            raise _no_weights(key, value, where)
        if value.is_floating_point():
            try:
                value = value.detach().to(torch.float32)
            except NotImplementedError:  # of 4 bits and the like
                raise _no_weights(key, value, where) from None
            if not bool(torch.isfinite(value).all()):
                raise UserError(
                    f"{where}: {key!r} holds NaN or infinite weights; the training that wrote it "
                    "had diverged, use an earlier checkpoint"
                )
        result[str(key)] = value.contiguous()
    return result


def _is_dense(value: Tensor) -> bool:
    strided = value.layout is torch.strided and not value.is_nested
    return strided and not value.is_meta and not value.is_quantized


def _check_stored(state: Mapping[str, Any], where: str) -> None:
    """A stride of 0 makes any number of weights of a single one; copies of them fill the memory."""
    tensors = [v for v in state.values() if isinstance(v, Tensor) and _is_dense(v)]
    needed = sum(4 * value.numel() for value in tensors)
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in tensors}
    stored = sum(storage.nbytes() for storage in storages.values())
    # From 8 to 32 bits is four times; networks that share a layer are some times more.
    if needed > _SMALL and needed > 32 * stored:
        raise UserError(
            f"{where}: refused, its {stored} bytes stand for {needed} bytes of weights, one number "
            "repeated; no network is stored so"
        )


def check_floating(state: Mapping[str, Tensor], where: str) -> None:
    """UserError for whole or complex numbers where a network here has weights."""
    for key, value in state.items():
        if not value.is_floating_point() and not key.endswith("num_batches_tracked"):
            raise _no_weights(key, value, where)


def _no_weights(key: Any, value: Tensor, where: str) -> UserError:
    kind = "without values" if value.is_meta else f"of {value.dtype}, {value.layout}"
    return UserError(
        f"{where}: {key!r} is a tensor {kind}; weights are dense floating-point numbers. Save the "
        "network before it is quantised or made sparse."
    )


def load_strictly(module: torch.nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    """``load_state_dict`` that names what differs.

    Raises:
        UserError: a missing or unexpected key, or another shape: a checkpoint of another model.
    """
    own = module.state_dict()
    if not isinstance(state, Mapping):
        raise UserError(f"{source}: its weights are no mapping from names to tensors")
    odd = [k for k in own if k in state and not isinstance(state[k], torch.Tensor)]
    if odd:
        raise UserError(f"{source}: {odd[0]} is no tensor")
    missing = [k for k in own if k not in state]
    unexpected = [k for k in state if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and own[k].shape != state[k].shape
    ]
    problems = [
        f"{label} {', '.join(found[:3])}" + (f" and {len(found) - 3} more" if found[3:] else "")
        for label, found in (("missing", missing), ("unexpected", unexpected), ("shape", shapes))
        if found
    ]
    if problems:
        raise UserError(f"{source} is of another model than the config's: {'; '.join(problems)}")
    module.load_state_dict(state)
