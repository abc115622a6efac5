"""What a network costs: parameters, operations, memory, and how far it sees.

Nothing is computed: the network runs on torch's meta device, which knows sizes and no numbers, so
any network at any picture size is summed up in a moment and in no memory.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from superres.errors import UserError
from superres.inference import in_channels
from superres.inference.backends.pytorch import LiveBytes
from superres.models.layers.backbone import on_meta, with_scale
from superres.registry import MODELS

TARGET = (720, 1280)
"""Height and width of the enlarged picture that costs refer to, as in the field's tables."""


@dataclass(frozen=True)
class Part:
    """One child of a network, in the order of running.

    Attributes:
        name, type: as in the network.
        layers: convolutions in it.
        parameters: all of them, shared ones once.
        flops: floating-point operations of one pass, an addition and a multiplication being two.
        output: (C, H, W) of its last result.
    """

    name: str
    type: str
    layers: int
    parameters: int
    flops: int
    output: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """A network at one scale and one picture size.

    Attributes:
        network: its class.
        scale: output size over input size.
        input, output: (C, H, W).
        parameters: all of them, also those of a network's other scales.
        trainable: those that training changes.
        layers: convolutions that take part.
        flops: of one pass over ``input``; an addition and a multiplication are two.
        receptive_radius: input pixels; None where that is the whole picture or not known.
        inference_memory: bytes of input, results and intermediates at the worst moment, float32.
        training_memory: bytes that one picture's pass keeps for the gradients, float32.
        parts: the network's children.
    """

    network: str
    scale: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    trainable: int
    layers: int
    flops: int
    receptive_radius: int | None
    inference_memory: int | None
    training_memory: int | None
    parts: tuple[Part, ...]


def summarise(
    network: nn.Module | Mapping[str, Any],
    size: tuple[int, int] | None = None,
    scale: int | None = None,
    memory: bool = True,
) -> Summary:
    """Sum up a backbone.

    Args:
        network: it, or its config with its ``type``.
        size: height and width of the input; None: so that the result has `TARGET`.
        scale: one of a multi-scale network's; None: its first.
        memory: find out about memory, too, which takes most of the time.

    Raises:
        UserError: the config's arguments or the scale are wrong, ``size`` is absurd, or its forward
            does not work without numbers.
    """
    if isinstance(network, Mapping):
        config = network
        network = on_meta(lambda: with_scale(MODELS.build(dict(config)), config))
    else:
        network = copy.deepcopy(network)
    network = network.to("meta").eval()  # the numeric convention's buffers stay on the CPU
    if scale is not None and hasattr(network, "set_scale"):
        network.set_scale(scale)
    height, width = size or (round(length / network.scale) for length in TARGET)
    kind, channels = type(network).__name__, in_channels(network)
    names = {module: name for name, module in network.named_modules()}
    ran: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}  # in the order of running

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if module in names and isinstance(output, Tensor):
            ran[names[module]] = module, tuple(output.shape[1:])

    try:
        picture = torch.empty(1, channels, height, width, device="meta")
        hook, counter = register_module_forward_hook(note), FlopCounterMode(display=False)
        with torch.no_grad(), hook, counter:
            output = network(picture)
    except (RuntimeError, TypeError) as error:  # sizes beyond 64 bits, a forward that needs numbers
        raise UserError(
            f"{kind} cannot be summed up for an input of {height}x{width}: {error}"
        ) from error
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}

    def part(name: str, child: nn.Module) -> Part:
        # A container that is not run itself (a ModuleList) is what ran in it.
        own = f"{kind}.{name}"
        below = sum(count for key, count in flops.items() if key.rpartition(".")[0] == own)
        inside = [found for key, found in ran.items() if f"{key}.".startswith(f"{name}.")]
        return Part(
            name=name,
            type=type(child).__name__,
            layers=sum(isinstance(module, nn.Conv2d) for module, _ in inside),
            parameters=sum(p.numel() for p in child.parameters()),
            flops=flops.get(own, below),
            output=inside[-1][1] if inside else (),
        )

    return Summary(
        network=kind,
        scale=network.scale,
        input=tuple(picture.shape[1:]),
        output=tuple(output.shape[1:]),
        parameters=sum(p.numel() for p in network.parameters()),
        trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        layers=sum(isinstance(module, nn.Conv2d) for module, _ in ran.values()),
        flops=counter.get_total_flops(),
        receptive_radius=getattr(network, "receptive_radius", None),
        inference_memory=_peak(network, picture) if memory else None,
        training_memory=_kept_for_backward(network, picture) if memory else None,
        parts=tuple(part(name, child) for name, child in network.named_children()),
    )


def _peak(network: nn.Module, picture: Tensor) -> int:
    with torch.no_grad(), LiveBytes() as live:
        live.see(picture)
        network(picture)
    return live.peak


def _kept_for_backward(network: nn.Module, picture: Tensor) -> int:
    own = {p.untyped_storage()._cdata for p in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.train()(picture)
    return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
