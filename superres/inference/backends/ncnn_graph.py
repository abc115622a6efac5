"""Networks in ncnn's form, written layer by layer from arrays: no torch, no converter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from superres.imaging.kernels import cubic_taps

RELU, SIGMOID = " 9=1", " 9=4"
"""Activations within a layer, in ncnn's words."""

_WORKSPACE = 8.0  # bytes that a convolution and the pools hold over those of its input, measured


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
    """

    kind: str
    name: str
    bottoms: tuple[Blob, ...]
    words: str
    channels: int
    factor: int
    bytes: int
    far: float


class Graph:
    """A network in ncnn's form: each method adds layers and gives their result.

    What does not fit is a KeyError or a ValueError: ncnn would read beyond the end of it.

    It can be done in two parts: from the blob ``in`` to ``cut``, at the input's size, and from
    there to ``out``, which makes the large maps but looks only ``reach`` pixels far, so that small
    tiles waste little.

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
        bytes_per_pixel: that either part takes at its peak, per input pixel.
    """

    def __init__(self, state: Mapping[str, np.ndarray], in_channels: int) -> None:
        self.left = {key: np.asarray(value, np.float32) for key, value in state.items()}
        self._layers: list[Blob] = []
        self._weights: list[bytes] = []
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
        blob = Blob(kind, name, tuple(bottoms), words, channels, factor, size, far)
        self._layers.append(blob)
        self._weights += [np.ascontiguousarray(part, "<f4").tobytes() for part in data]
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
            kind, looks = "Convolution", side // 2 / x.factor
            words = f"0={count} 1={side} 4={side // 2} 5=1 6={weight.size}"
        else:  # on the one pixel of a vector only the kernels' centres count
            kind, looks, weight = "InnerProduct", 0.0, weight[:, :, side // 2, side // 2]
            words = f"0={count} 1=1 2={weight.size}"
        data = (np.zeros(1), weight * factor, bias * factor)  # zero says that float32 follows
        return self.add(kind, (x,), words + act, data, channels=count, looks=looks)

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

    def bicubic(self, x: Blob, factor: int, kind: str) -> Blob:
        """The input, upscaled by one of `CUBICS` as a convolution; see models' BicubicUpsample."""
        if factor == 1:
            return x
        taps = cubic_taps(factor, kind)
        kernels = np.tile(np.einsum("iy,jx->ijyx", taps, taps), (x.channels, 1, 1, 1))
        mirrors = kind == "matlab-mirror"
        edge = 1 if mirrors else 2
        padded = self.add("Padding", (x,), f"0={edge} 1={edge} 2={edge} 3={edge} 4=1")
        for axis in (1, 2) if mirrors else ():  # the second pixel out is the second one in
            edges = (f"-23309=1,{at} -23310=1,{at + 1} -23311=1,{axis}" for at in (2, -3))
            first, last = [self.add("Crop", (padded,), words) for words in edges]
            padded = self.add("Concat", (first, padded, last), f"0={axis}")
        count = x.channels * factor**2
        words = f"0={count} 1=5 5=1 6={kernels.size} 7={x.channels}"
        data, how = (np.zeros(1), kernels, np.zeros(count)), {"looks": 1 + _off_centre(factor)}
        y = self.add("ConvolutionDepthWise", (padded,), words, data, channels=count, **how)
        return self.shuffle(y, factor)

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
        self.weights = b"".join(self._weights)
        inside = {layer.name for layer in first} - {cut.name}
        self.sees_input = any(blob.name in inside for layer in second for blob in layer.bottoms)
        self.channels = self.input.channels, cut.channels
        whole = self._before + output.far
        self.radius = None if math.isinf(whole) else math.ceil(round(whole, 6))
        self.reach = math.ceil(round(output.far, 6)) if second else None
        self.bytes_per_pixel = _peak(first), _peak(second)
        return self


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
            work = max(work, _WORKSPACE * layer.bottoms[0].bytes)
        free += [blocks.pop(name) for name in list(blocks) if last.get(name, i) <= i]
    return held + work
