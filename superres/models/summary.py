"""What a network costs: parameters, operations, memory, and how far it sees.

Nothing is computed: the network runs on torch's meta device, which knows sizes and no numbers, so
any network at any image size is summed up in a moment and in no memory.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from superres.errors import UserError
from superres.inference import in_channels
from superres.inference.backends.pytorch import LiveBytes
from superres.models.layers.backbone import on_meta, with_scale
from superres.registry import MODELS

TARGET = (720, 1280)
"""Height and width of the upscaled image that costs refer to, as in the field's tables."""


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
    """A network at one scale and one image size.

    Attributes:
        network: its class.
        scale: output size over input size.
        input, output: (C, H, W).
        parameters: all of them, also those of a network's other scales.
        trainable: those that training changes.
        layers: convolutions that take part.
        flops: of one pass over ``input``; an addition and a multiplication are two.
        receptive_radius: input pixels; None where that is the whole image or not known.
        inference_memory: bytes of input, results and intermediates at the worst moment, float32.
        training_memory: bytes that one image's pass keeps for the gradients, float32.
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
    shapes: dict[str, tuple[int, ...]] = {}
    counter, live = FlopCounterMode(display=False), LiveBytes()
    hooks = [
        module.register_forward_hook(partial(_note, shapes, name))
        for name, child in network.named_children()
        for module in _run_for(child)
    ]
    try:
        image = torch.empty(1, channels, height, width, device="meta")
        with torch.no_grad(), live if memory else contextlib.nullcontext(), counter:
            live.see(image)
            output = network(image)
    except (RuntimeError, TypeError) as error:  # sizes beyond 64 bits, a forward that needs numbers
        raise UserError(
            f"{kind} cannot be summed up for an input of {height}x{width}: {error}"
        ) from error
    for hook in hooks:
        hook.remove()
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}

    every = dict(network.named_modules(prefix=kind, remove_duplicate=False))
    convolutions = [name for name in flops if isinstance(every.get(name), nn.Conv2d)]

    def part(name: str, child: nn.Module) -> Part:
        # A container that is not run itself (a ModuleList) is what ran in it.
        own = f"{kind}.{name}"
        below = sum(count for key, count in flops.items() if key.rpartition(".")[0] == own)
        return Part(
            name=name,
            type=type(child).__name__,
            layers=sum(f"{conv}.".startswith(f"{own}.") for conv in convolutions),
            parameters=sum(p.numel() for p in child.parameters()),
            flops=flops.get(own, below),
            output=shapes.get(name, ()),
        )

    return Summary(
        network=kind,
        scale=network.scale,
        input=tuple(image.shape[1:]),
        output=tuple(output.shape[1:]),
        parameters=sum(p.numel() for p in network.parameters()),
        trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        layers=len(convolutions),
        flops=counter.get_total_flops(),
        receptive_radius=getattr(network, "receptive_radius", None),
        inference_memory=live.peak if memory else None,
        training_memory=_kept_for_backward(network, image) if memory else None,
        parts=tuple(part(name, child) for name, child in network.named_children()),
    )


def _run_for(child: nn.Module) -> list[nn.Module]:
    """What runs for a child: itself, or what a container that is only a list or a dict holds."""
    if not isinstance(child, nn.ModuleList | nn.ModuleDict):
        return [child]
    return [module for inner in child.children() for module in _run_for(inner)]


def _note(
    shapes: dict[str, tuple[int, ...]], name: str, _module: nn.Module, _input: Any, output: Any
) -> None:
    """A forward hook: keeps the (C, H, W) of a child's last result."""
    if isinstance(output, Tensor):
        shapes[name] = tuple(output.shape[1:])


def _kept_for_backward(network: nn.Module, image: Tensor) -> int:
    saved: list[Tensor] = []
    # Nothing is computed backwards, so nobody asks for what was saved.
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda _: None):
        network.train()(image)
    sizes = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in saved}
    own = {p.untyped_storage()._cdata for p in network.parameters()}
    return sum(size for key, size in sizes.items() if key not in own)
