"""Find the state dict inside whatever a weight file holds, clean it, and put it into a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from superres.errors import UserError, some

State = dict[str, Tensor]
_SMALL = 64 << 20

# In order of preference: averaged weights before plain ones.
WRAPPERS = (
    *("params_ema", "params", "state_dict", "model_state_dict", "model"),
    *("sd", "net", "network", "generator"),
)
PREFIXES = ("module.", "_orig_mod.", "model.")
REPLACEABLE = ("upsample.", "conv_last.", "conv_hr.", "pre_process.")
"""What may differ between two scales of a network, in our names."""
# What a generator's training checkpoint holds beside it: not part of the network.
COMPANIONS = (
    *("generator_ema.", "discriminator.", "data_preprocessor."),
    *("pixel_loss.", "perceptual_loss.", "gan_loss.", "step_counter"),
)


def find_state(tree: Any, where: str) -> tuple[dict[str, Any], list[str]]:
    """The state dict in the content of a weight file, prefixes stripped, and notes about both.

    Raises:
        UserError: there is none.
    """
    notes: list[str] = []
    while (key := _wrapper(tree)) is not None and len(notes) < 3:  # a pickle's may hold itself
        tree = tree[key]
        notes.append(f"read from '{key}'")
    if not _has_tensors(tree):
        raise UserError(
            f"{where}: holds no state dict (a mapping from names to tensors, by itself or under "
            f"one of {', '.join(WRAPPERS)})"
        )
    state = {str(key): value for key, value in tree.items()}
    while True:
        if any(key.startswith("generator.") for key in state):
            rest = {k: v for k, v in state.items() if not k.startswith(COMPANIONS)}
            if len(rest) < len(state):
                notes.append(f"{len(state) - len(rest)} entries beside the generator ignored")
            state = {key.removeprefix("generator."): value for key, value in rest.items()}
        common = [p for p in PREFIXES if state and all(key.startswith(p) for key in state)]
        if not common:
            return state, notes
        state = {key.removeprefix(common[0]): value for key, value in state.items()}


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())


def _wrapper(tree: Any) -> Any:
    """The entry that holds weights: of a usual name, or the only one beside no tensor."""
    if not isinstance(tree, Mapping):
        return None
    for key in WRAPPERS:
        inside = tree.get(key)
        if _has_tensors(inside) or (isinstance(inside, Mapping) and _has_tensors(inside.get("sd"))):
            return key
    weights = {
        k: [n for n in v if str(n).endswith(".weight")] for k, v in tree.items() if _has_tensors(v)
    }
    named = [key for key, names in weights.items() if names]
    return named[0] if len(named) == 1 and not _has_tensors(tree) else None


def clean(state: Mapping[str, Any], where: str) -> State:
    """Float32 copies of a state dict's tensors (whole numbers stay what they are).

    Raises:
        UserError: an entry that is not a dense tensor, or a NaN or infinity, with its name; tensors
            that repeat what is stored, to an enormous size.
    """
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{where}: entry {key!r} is {type(value).__name__}, not a tensor")
        strided = value.layout is torch.strided and not value.is_nested
        if not strided or value.is_meta or value.is_quantized:
            raise no_weights(key, value, where)
    # A stride of 0 makes any number of weights of a single one; copies of them fill the memory.
    needed = sum(4 * value.numel() for value in state.values())
    storages = {v.untyped_storage().data_ptr(): v.untyped_storage() for v in state.values()}
    stored = sum(storage.nbytes() for storage in storages.values())
    # From 8 to 32 bits is four times; networks that share a layer are some times more.
    if needed > _SMALL and needed > 32 * stored:
        raise UserError(f"{where}: refused: {needed} bytes of weights, one number repeated")
    result: State = {}
    for key, value in state.items():
        if value.is_floating_point():
            try:
                value = value.detach().to(torch.float32)
            except NotImplementedError:  # of 4 bits and the like
                raise no_weights(key, value, where) from None
            if not bool(torch.isfinite(value).all()):
                what = "NaN or infinite weights; its training diverged, use an earlier checkpoint"
                raise UserError(f"{where}: {key!r} holds {what}")
        result[str(key)] = value.contiguous()
    return result


def no_weights(key: Any, value: Tensor, where: str) -> UserError:
    """What to raise for a tensor that is not one of weights."""
    kind = "without values" if value.is_meta else f"of {value.dtype}, {value.layout}"
    return UserError(
        f"{where}: {key!r} is a tensor {kind}; weights are dense floating-point numbers. Save the "
        "network before it is quantised or made sparse."
    )


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {key: tuple(value.shape) for key, value in state.items()}


def differences(wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, Tensor]) -> str:
    """What is missing, unexpected or of another shape, by key; '' where nothing is."""
    found = shapes_of(state)
    faults = {
        "missing": [key for key in wanted if key not in found],
        "unexpected": [key for key in found if key not in wanted],
        "shape:": [
            f"{key} is {_size(found[key])}, not {_size(shape)}"
            for key, shape in wanted.items()
            if found.get(key, shape) != shape
        ],
    }
    return "; ".join(f"{word} {some(keys, 4)}" for word, keys in faults.items() if keys)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def load_strictly(module: torch.nn.Module, state: Mapping[str, Any], source: str) -> None:
    """``load_state_dict`` that names what differs.

    Raises:
        UserError: a missing or unexpected key, or another shape: a checkpoint of another model.
    """
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{source}: its weights are not a mapping from names to tensors")
    if faults := differences(shapes_of(module.state_dict()), state):
        raise UserError(f"{source} is of another model than the config's: {faults}")
    module.load_state_dict(state)


def fold_mean_shift(state: State, config: dict, shifts: Sequence[Tensor], where: str) -> list[str]:
    """Make ``state`` and ``config`` stand for the network between two given mean shifts.

    Older code trained the shift by accident, so it may be any 1x1 convolution. One that is the
    config's mean changes nothing. Otherwise: ``W x + b`` before the first convolution is
    ``W (x - mean)`` with ``mean = -W^-1 b``, and W goes into that convolution, exactly, the zero
    padding included; the one after the last convolution goes into that convolution.

    Args:
        state: in our names; changed in place.
        config: with ``rgb_mean`` and ``img_range``; ``rgb_mean`` is changed in place.
        shifts: weight (C, C, 1, 1) and bias (C,), in the units of ``img_range``, of the one that
            subtracts the mean and of the one that adds it.
        where: names the file in errors.

    Returns:
        Notes for the user, empty for the published constants.

    Raises:
        UserError: a trained shift in a network that adds its input to its output (VDSR), or one
            that cannot be undone.
    """
    span = config["img_range"]
    mean = torch.tensor(config["rgb_mean"], dtype=torch.float64)
    identity = torch.eye(len(mean), dtype=torch.float64)
    found = [value.double().flatten(min(1, value.ndim - 1)) for value in shifts]
    published = (identity, -mean * span, identity, mean * span)
    if all(
        torch.allclose(a, b, rtol=0, atol=1e-6 * (span if a.ndim == 1 else 1))
        for a, b in zip(found, published, strict=True)
    ):
        return []
    weight_in, bias_in, weight_out, bias_out = found
    if config["type"] == "VDSR" or torch.linalg.matrix_rank(weight_in) < len(mean):
        raise UserError(
            f"{where}: its mean shift was trained away from the published constants "
            f"({weight_in.tolist()}), in a way that this network cannot express"
        )
    mean = -torch.linalg.solve(weight_in, bias_in) / span
    first = state["conv_first.weight"].double()
    state["conv_first.weight"] = torch.einsum("oihw,ij->ojhw", first, weight_in).float()
    last, bias = state["conv_last.weight"].double(), state["conv_last.bias"].double()
    state["conv_last.weight"] = torch.einsum("ij,jchw->ichw", weight_out, last).float()
    state["conv_last.bias"] = (weight_out @ bias + bias_out - span * mean).float()
    config["rgb_mean"] = mean.tolist()
    return ["its mean shift differs from the published constants; kept exactly as it is"]


class WarmStart(NamedTuple):
    """What `warm_start` copied, left random and did not use, by name."""

    copied: list[str]
    kept: list[str]
    unused: list[str]

    @property
    def summary(self) -> str:
        """One line for a log."""
        parts = {"left as initialised": self.kept, "not used": self.unused}
        messages = [f"{name}: {', '.join(keys)}" for name, keys in parts.items() if keys]
        return "; ".join([f"{len(self.copied)} tensors copied", *messages])


def warm_start(network: torch.nn.Module, state: Mapping[str, Tensor]) -> WarmStart:
    """Copy every tensor of the same name and shape; only the tail may differ.

    EDSR's x3 and x4 networks start from x2 this way: to x4 the first upsampler stage and the
    last convolution are copied and the second stage stays random; to x3 the upsampler stays
    random and the last convolution is copied.

    Args:
        network: changed in place.
        state: in our names, from `read_weights`.

    Raises:
        UserError: a difference outside the tail: the weights are of another network.
    """
    own = network.state_dict()
    copied = [k for k in own if k in state and state[k].shape == own[k].shape]
    kept = [k for k in own if k not in copied]
    unused = [k for k in state if k not in copied]
    wrong = [k for k in (*kept, *unused) if not k.startswith(REPLACEABLE)]
    if wrong:
        raise UserError(
            f"cannot start from these weights, they are of another network: {some(wrong, 4)} differ"
        )
    network.load_state_dict({key: state[key] for key in copied}, strict=False)
    return WarmStart(copied, kept, unused)
