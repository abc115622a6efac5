"""Networks in ncnn's form, written layer by layer from arrays: no torch, no converter."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

RELU, SIGMOID = " 9=1", " 9=4"
"""Activations within a layer, in ncnn's words."""

_WORKSPACE = 8.0
"""Bytes that a convolution of 3x3 and the pools hold over those of its input, measured; larger
kernels are multiplied as a matrix that holds each pixel once for each of theirs."""
_FLOAT32 = np.zeros(1)  # says which numbers follow


def leaky(slope: float) -> str:
    """The activation max(x, slope * x)."""
    return f" 9=2 -23310=1,{slope}"


@dataclass(frozen=True, eq=False)
class Blob:
    """A map inside the network, and the layer that gives it.

    Attributes:
        kind: ncnn's name for the layer.
        name: of the map and of the layer.
        bottoms: what the layer takes.
        words: its parameters.
        channels: of the map.
        factor: its size over the network's input; 0 for a vector.
        bytes: that it takes, per input pixel.
        far: how far it looks in what its part of the network is given, input pixels; inf: anywhere.
        data: the layer's arrays, in ncnn's order.
    """

    kind: str
    name: str
    bottoms: tuple[Blob, ...]
    words: str
    channels: int
    factor: int
    bytes: int
    far: float
    data: tuple[np.ndarray, ...] = ()


class Graph:
    """A network in ncnn's form: each method adds layers and gives their result.

    What does not fit is a KeyError or a ValueError: ncnn would read beyond the end of it.

    It can be done in two parts: from the blob ``in`` to ``cut``, at the input's size, and from
    there to ``out``, which makes the large maps but looks only ``reach`` pixels far, so that small
    tiles waste little. Where nothing in the second part bends (no activation between its
    convolutions and pixel shuffles), there is ``straight`` beside ``out``: the same by one
    convolution at the input's size, a fraction of the work, right but for the ``reach`` pixels
    along the edges, where the padding of each convolution counts.

    Args:
        state: name -> array, the weights.
        in_channels: of the network.

    Attributes:
        left: the weights that no layer has taken.
        param, weights: the two files, once it is finished.
        sees_input: whether the second part needs ``in``, too.
        channels: of the input and of what the first part gives.
        radius: how far an output pixel looks, input pixels; None: anywhere.
        reach: the same, of the second part; None where there is but one.
        straight: whether there is ``straight``.
        bytes_per_pixel: that either part takes at its peak, per input pixel.
    """

    def __init__(self, state: Mapping[str, np.ndarray], in_channels: int) -> None:
        self.left = {key: np.asarray(value, np.float32) for key, value in state.items()}
        self._layers: list[Blob] = []
        self._end = 0  # of the first part
        self._before = 0.0  # how far the first part looks
        self.input = self.add("Input", (), channels=in_channels, factor=1)

    def add(
        self,
        kind: str,
        bottoms: Sequence[Blob],
        words: str = "",
        data: Sequence[np.ndarray] = (),
        channels: int | None = None,
        factor: int | None = None,
        looks: float = 0.0,
    ) -> Blob:
        """A layer; its map is like the first that it takes unless told otherwise."""
        channels = bottoms[0].channels if channels is None else channels
        factor = bottoms[0].factor if factor is None else factor
        far = looks + max([blob.far for blob in bottoms], default=0.0)
        name, size = f"b{len(self._layers)}", 4 * channels * factor**2
        blob = Blob(kind, name, tuple(bottoms), words, channels, factor, size, far, tuple(data))
        self._layers.append(blob)
        return blob

    def conv(
        self, name: str, x: Blob, act: str = "", factor: float = 1.0, norm: str | None = None
    ) -> Blob:
        """A convolution that keeps the size.

        Args:
            act: activation behind it, such as `RELU`.
            factor: of its result.
            norm: name of a batch normalisation behind it.
        """
        weight = self.left.pop(f"{name}.weight")
        bias = self.left.pop(f"{name}.bias", np.zeros(len(weight)))
        if norm:
            keys = ("weight", "bias", "running_mean", "running_var")
            gain, shift, mean, variance = (self.left.pop(f"{norm}.{key}") for key in keys)
            gain = gain / np.sqrt(variance + 1e-5)
            weight, bias = weight * gain[:, None, None, None], (bias - mean) * gain + shift
        count, inputs, side, width = weight.shape
        if (inputs, width, side % 2, bias.shape) != (x.channels, side, 1, (count,)):
            raise ValueError(f"{name} of shape {weight.shape} for {x.channels} channels")
        if x.factor:
            return self._convolution(x, weight * factor, bias * factor, act)
        # On the one pixel of a vector only the kernels' centres count.
        weight = weight[:, :, side // 2, side // 2]
        data = (_FLOAT32, weight * factor, bias * factor)
        words = f"0={count} 1=1 2={weight.size}"
        return self.add("InnerProduct", (x,), words + act, data, channels=count)

    def _convolution(self, x: Blob, weight: np.ndarray, bias: np.ndarray, act: str = "") -> Blob:
        count, side = len(weight), weight.shape[-1]
        words = f"0={count} 1={side} 4={side // 2} 5=1 6={weight.size}{act}"
        how = {"channels": count, "looks": side // 2 / x.factor}
        return self.add("Convolution", (x,), words, (_FLOAT32, weight, bias), **how)

    def scaled(self, x: Blob, gain: np.ndarray | float, bias: np.ndarray | float = 0.0) -> Blob:
        """``x * gain + bias``, also per channel."""
        if np.all(gain == 1) and not np.any(bias):
            return x
        data = [np.broadcast_to(value, x.channels) for value in (gain, bias)]
        return self.add("Scale", (x,), f"0={x.channels} 1=1", data)

    def plus(self, a: Blob, b: Blob) -> Blob:
        """a + b."""
        if (b.factor, b.channels) != (a.factor, a.channels):
            raise ValueError("maps of two sizes are added")
        return self.add("BinaryOp", (a, b), "0=0")

    def gate(self, x: Blob, gate: Blob) -> Blob:
        """``x`` times a vector (per channel) or a map of one channel."""
        if gate.channels != x.channels and not (gate.factor and gate.channels == 1):
            raise ValueError(f"a gate of {gate.channels} for {x.channels} channels")
        return self.add("BinaryOp", (x, gate), "0=2")

    def relu(self, x: Blob, slope: float = 0.0) -> Blob:
        """max(x, slope * x)."""
        return self.add("ReLU", (x,), f"0={slope}")

    def prelu(self, name: str, x: Blob) -> Blob:
        """With one slope, or one per channel."""
        slopes = self.left.pop(f"{name}.weight")
        if slopes.size not in (1, x.channels):
            raise ValueError(f"{slopes.size} slopes for {x.channels} channels")
        return self.add("PReLU", (x,), f"0={slopes.size}", (slopes,))

    def concat(self, blobs: Sequence[Blob]) -> Blob:
        """Channel after channel."""
        return self.add("Concat", blobs, "0=0", channels=sum(blob.channels for blob in blobs))

    def shuffle(self, x: Blob, factor: int) -> Blob:
        """Pixel shuffle."""
        size = {"channels": x.channels // factor**2, "factor": x.factor * factor}
        return self.add("PixelShuffle", (x,), f"0={factor}", **size)

    def enlarged(self, x: Blob, factor: int, bilinear: bool = False) -> Blob:
        """By the nearest neighbours; or the input, bilinearly, corners not aligned."""
        words = f"0={2 if bilinear else 1} 1={float(factor)} 2={float(factor)} 6=0"
        looks = _off_centre(factor) if bilinear else 0.0
        return self.add("Interp", (x,), words, factor=x.factor * factor, looks=looks)

    def pooled(self, x: Blob) -> Blob:
        """The mean of each channel: a vector."""
        return self.add("Pooling", (x,), "0=1 4=1", factor=0, looks=math.inf)

    def largest(self, x: Blob) -> Blob:
        """The largest of all channels, a map of one channel."""
        return self.add("Reduction", (x,), "0=4 1=0 -23303=1,0 4=1 5=1", channels=1)

    def forget(self, *beginnings: str) -> None:
        """Weights that the result does not depend on."""
        self.left = {k: v for k, v in self.left.items() if not k.startswith(beginnings)}

    def cut(self, x: Blob) -> Blob:
        """End the first part here, behind ``x``, the latest blob."""
        self._end, self._before = len(self._layers), x.far
        return replace(x, far=0.0)

    def finish(self, output: Blob) -> Graph:
        """The network whose result is ``output``, the latest blob."""
        end = self._end or len(self._layers)
        first, second, cut = self._layers[:end], self._layers[end:], self._layers[end - 1]
        called = {self.input.name: "in", cut.name: "cut", output.name: "out"}
        self.straight = bool(second) and _is_straight(second)
        if self.straight:
            weight, bias = composed(second)
            y = self.shuffle(self._convolution(cut, weight, bias), output.factor)
            called[y.name], large = "straight", self._layers[-2:]
        else:
            large = second
        uses = Counter(blob.name for layer in self._layers for blob in layer.bottoms)
        lines, waiting = [], {}
        for layer in self._layers:
            bottoms = [blob.name for blob in layer.bottoms]
            bottoms = [waiting[b].pop() if b in waiting else called.get(b, b) for b in bottoms]
            name, many = layer.name, uses[layer.name]
            top = called.get(name, name)
            blobs = " ".join([*bottoms, top])
            lines.append(f"{layer.kind} {name} {len(bottoms)} 1 {blobs} {layer.words}")
            if many > 1:  # each user of a blob needs one of its own
                waiting[name] = [f"{name}_{i}" for i in range(many)]
                lines.append(f"Split {name}_ 1 {many} {top} {' '.join(waiting[name])}")
        count = len(self._layers) + sum(many for many in uses.values() if many > 1)
        self.param = "\n".join(["7767517", f"{len(lines)} {count}", *lines, ""])
        arrays = (array for layer in self._layers for array in layer.data)
        self.weights = b"".join(np.ascontiguousarray(a, "<f4").tobytes() for a in arrays)
        inside = {layer.name for layer in first} - {cut.name}
        self.sees_input = any(blob.name in inside for layer in second for blob in layer.bottoms)
        self.channels = self.input.channels, cut.channels
        whole = self._before + output.far
        self.radius = None if math.isinf(whole) else math.ceil(round(whole, 6))
        self.reach = math.ceil(round(output.far, 6)) if second else None
        self.bytes_per_pixel = _peak(first), _peak(large)
        return self


def _is_straight(chain: Sequence[Blob]) -> bool:
    """Whether each layer takes the one before it alone, and none bends what it is given."""
    follows = all(b.bottoms == (a,) for a, b in itertools.pairwise(chain))
    bends = [
        c
        for c in chain
        if c.kind not in ("Convolution", "PixelShuffle", "Scale") or "9=" in c.words
    ]
    return follows and not bends


def composed(chain: Sequence[Blob]) -> tuple[np.ndarray, np.ndarray]:
    """The one convolution, to be followed by one pixel shuffle, that such a chain amounts to.

    From behind: ``kernel[o, a, b, c, y, x]`` is what channel ``c`` of the map at (y, x) off the
    middle adds to channel ``o`` of the result, at pixel (a, b) of those that shuffles make of one.

    Returns:
        Kernels (channels * factor**2, channels of the first map, side, side) and biases.
    """
    out = chain[-1].channels
    kernel, bias = np.eye(out).reshape(out, 1, 1, out, 1, 1), np.zeros((out, 1, 1))
    for layer in reversed(chain):
        many, inputs, side = kernel.shape[1], layer.bottoms[0].channels, kernel.shape[-1]
        places = list(itertools.product(range(side), repeat=2))
        if layer.kind == "PixelShuffle":
            r, half = layer.factor // layer.bottoms[0].factor, side // 2
            reach = -(-half // r)
            new = np.zeros((out, r, many, r, many, inputs // r**2, r, r, *[2 * reach + 1] * 2))
            for a, b in itertools.product(range(r), repeat=2):
                for y, x in places:
                    (low, i), (left, j) = divmod(a + y - half, r), divmod(b + x - half, r)
                    new[:, a, :, b, :, :, i, j, low + reach, left + reach] = kernel[..., y, x]
            kernel = new.reshape(out, r * many, r * many, inputs, *new.shape[-2:])
            bias = np.tile(bias, (1, r, r))
            continue
        weight, added = (array.astype(np.float64) for array in layer.data[-2:])
        if layer.kind == "Scale":
            weight = np.diag(weight)[:, :, None, None]
        bias, size = bias + kernel.sum((-2, -1)) @ added, weight.shape[-1]
        new = np.zeros((*kernel.shape[:3], inputs, *[side + size - 1] * 2))
        for y, x in places:
            new[..., y : y + size, x : x + size] += np.tensordot(kernel[..., y, x], weight, 1)
        kernel = new
    return kernel.reshape(-1, *kernel.shape[3:]), bias.ravel()


def _off_centre(factor: int) -> float:
    """How far an upscaling's outermost pixel lies from the centre of its input pixel."""
    return (factor - 1) / (2 * factor)


def _peak(part: Sequence[Blob]) -> float:
    """Bytes that a part takes at its peak, per input pixel.

    ncnn's pool gives a map the block of one that is no longer needed, if it is large enough, and
    keeps the others: maps that grow, as those of dense blocks do, take a new block each.
    """
    last = {blob.name: i for i, layer in enumerate(part) for blob in layer.bottoms}
    blocks: dict[str, int] = {}
    free: list[int] = []
    held, work = 0, 0.0
    for i, layer in enumerate(part):
        for blob in (*layer.bottoms, layer):
            if blob.name not in blocks:
                block = min([size for size in free if size >= blob.bytes > 0], default=0)
                if block:
                    free.remove(block)
                held += 0 if block else blob.bytes
                blocks[blob.name] = block or blob.bytes
        if layer.kind == "Convolution":
            side = layer.data[1].shape[-1]
            work = max(work, (side**2 if side > 3 else _WORKSPACE) * layer.bottoms[0].bytes)
        free += [blocks.pop(name) for name in list(blocks) if last.get(name, i) <= i]
    return held + work
