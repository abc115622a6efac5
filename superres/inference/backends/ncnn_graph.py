"""Networks in ncnn's form, written layer by layer from arrays: no torch, no converter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superres.inference.backends.base import NotConvertible

RELU, SIGMOID = (1,), (4,)
"""Activations behind a convolution: ncnn's number, and arguments."""

_CUBIC = {"torch": -0.75, "matlab": -0.5}  # the cubic's a, as models.layers.BicubicUpsample has it
_WORKSPACE = 8.0  # bytes that a convolution and the pools hold over those of its input, measured


@dataclass(frozen=True, eq=False)
class Blob:
    """A map inside the network, and the layer that gives it.

    Attributes:
        name: of the layer and of the map.
        channels: of the map.
        factor: its size over the network's input; 0 for a vector.
        kind: ncnn's name for the layer.
        bottoms: what the layer takes.
        looks: how far it looks in those, in pixels of the network's input; inf: anywhere.
        words: its parameters.
        data: what ncnn reads for it, in that order.
    """

    name: str
    channels: int
    factor: int
    kind: str
    bottoms: tuple[Blob, ...]
    looks: float
    words: str
    data: tuple[np.ndarray, ...]

    @property
    def bytes(self) -> int:
        """Per input pixel."""
        return 4 * self.channels * self.factor**2


@dataclass(frozen=True)
class Written:
    """A network in ncnn's form.

    It can be done in two parts: from the blob ``in`` to ``cut``, at the input's size, and from
    there to ``out``, which makes the large maps but looks only ``reach`` pixels far, so that small
    tiles waste little.

    Attributes:
        param, weights: the two files.
        two_parts: whether there is a ``cut``.
        sees_input: whether the second part needs ``in``, too.
        channels: of the input and of what the first part gives.
        radius: how far an output pixel looks, input pixels; None: anywhere.
        reach: the same, of the second part.
        bytes_per_pixel: that either part takes at its peak, per input pixel.
    """

    param: str
    weights: bytes
    two_parts: bool
    sees_input: bool
    channels: tuple[int, int]
    radius: int | None
    reach: int | None
    bytes_per_pixel: tuple[float, float]


class Graph:
    """A network while it is written: each method adds layers and gives their result.

    Args:
        state: name -> array, the weights.
        in_channels: of the network.
    """

    def __init__(self, state: Mapping[str, np.ndarray], in_channels: int) -> None:
        self._state, self.unused = state, set(state)
        self._blobs: list[Blob] = []
        self._end: int | None = None  # of the first part
        self.input = self._add("Input", (), channels=in_channels, factor=1)

    def conv(
        self,
        name: str,
        x: Blob,
        act: Sequence[float] = (),
        factor: float = 1.0,
        norm: str | None = None,
    ) -> Blob:
        """A convolution that keeps the size.

        Args:
            act: activation behind it, such as `RELU`.
            factor: of its result.
            norm: name of a batch normalisation behind it.
        """
        weight, bias = self._weight_and_bias(name)
        if norm:
            gain, shift, mean, variance = (
                self._take(f"{norm}.{key}")
                for key in ("weight", "bias", "running_mean", "running_var")
            )
            gain = gain / np.sqrt(variance + 1e-5)
            weight, bias = weight * gain[:, None, None, None], (bias - mean) * gain + shift
        count, inputs, side, width = weight.shape
        _require(inputs == x.channels and width == side and side % 2 == 1, weight, x)
        words = f"0={count} 1={side} 4={side // 2} 5=1 6={weight.size}{_activation(act)}"
        data = (np.zeros(1), weight * factor, bias * factor)  # zero says that float32 follows
        looks = side // 2 / x.factor
        return self._add("Convolution", (x,), words, data, channels=count, looks=looks)

    def scaled(self, x: Blob, gain: np.ndarray, bias: np.ndarray) -> Blob:
        """``x * gain + bias``, per channel."""
        if np.all(gain == 1) and not np.any(bias):
            return x
        return self._add("Scale", (x,), f"0={x.channels} 1=1", (gain, bias))

    def times(self, x: Blob, factor: float) -> Blob:
        """``x * factor``."""
        return self.scaled(x, np.full(x.channels, factor), np.zeros(x.channels))

    def add(self, a: Blob, b: Blob) -> Blob:
        """a + b."""
        if (b.factor, b.channels) != (a.factor, a.channels):
            raise NotConvertible("maps of two sizes are added")
        return self._add("BinaryOp", (a, b), "0=0")

    def gate(self, x: Blob, gate: Blob) -> Blob:
        """``x`` times a vector (per channel) or a map of one channel."""
        _require(gate.channels in ((1, x.channels) if gate.factor else (x.channels,)), None, x)
        return self._add("BinaryOp", (x, gate), "0=2")

    def relu(self, x: Blob, slope: float = 0.0) -> Blob:
        """max(x, slope * x)."""
        return self._add("ReLU", (x,), f"0={slope}")

    def prelu(self, name: str, x: Blob) -> Blob:
        """With one slope, or one per channel."""
        slopes = self._take(f"{name}.weight")
        _require(slopes.size in (1, x.channels), slopes, x)
        return self._add("PReLU", (x,), f"0={slopes.size}", (slopes,))

    def concat(self, blobs: Sequence[Blob]) -> Blob:
        """Channel after channel."""
        return self._add("Concat", blobs, "0=0", channels=sum(blob.channels for blob in blobs))

    def shuffle(self, x: Blob, factor: int) -> Blob:
        """Pixel shuffle."""
        size = {"channels": x.channels // factor**2, "factor": x.factor * factor}
        return self._add("PixelShuffle", (x,), f"0={factor}", **size)

    def bilinear(self, x: Blob, factor: int) -> Blob:
        """Bilinear enlargement of the input, corners not aligned."""
        words = f"0=2 1={float(factor)} 2={float(factor)} 6=0"
        return self._add("Interp", (x,), words, factor=factor, looks=_off_centre(factor))

    def bicubic(self, x: Blob, factor: int, method: str) -> Blob:
        """Bicubic enlargement of the input, border pixels repeated."""
        if factor == 1:
            return x
        kernels = np.tile(cubic_kernels(factor, method), (x.channels, 1, 1, 1))
        padded = self._add("Padding", (x,), "0=2 1=2 2=2 3=2 4=1")
        count = len(kernels)
        words = f"0={count} 1=5 5=1 6={kernels.size} 7={x.channels}"
        data = (np.zeros(1), kernels, np.zeros(count))
        looks = 1 + _off_centre(factor)
        kind = "ConvolutionDepthWise"
        return self.shuffle(
            self._add(kind, (padded,), words, data, channels=count, looks=looks), factor
        )

    def pooled(self, x: Blob) -> Blob:
        """The mean of each channel: a vector."""
        return self._add("Pooling", (x,), "0=1 4=1", factor=0, looks=math.inf)

    def dense(self, name: str, x: Blob, act: Sequence[float] = ()) -> Blob:
        """A convolution on a map of one pixel, where of its kernels the centre counts."""
        weight, bias = self._weight_and_bias(name)
        weight = weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2]
        _require(weight.shape[1] == x.channels, weight, x)
        words = f"0={len(weight)} 1=1 2={weight.size}{_activation(act)}"
        data = (np.zeros(1), weight, bias)
        return self._add("InnerProduct", (x,), words, data, channels=len(weight))

    def largest(self, x: Blob) -> Blob:
        """The largest of all channels, a map of one channel."""
        return self._add("Reduction", (x,), "0=4 1=0 -23303=1,0 4=1 5=1", channels=1)

    def cut(self, x: Blob) -> Blob:
        """End the first part here, behind the latest blob."""
        self._end = len(self._blobs)
        return x

    def finish(self) -> Written:
        """The network whose result is the latest blob."""
        end = self._end or len(self._blobs)
        first, second = self._blobs[:end], self._blobs[end:]
        cut, output = first[-1], self._blobs[-1]
        called = {self.input.name: "in", cut.name: "cut", output.name: "out"}
        uses = Counter(blob.name for layer in self._blobs for blob in layer.bottoms)
        lines, waiting = [], {}
        for layer in self._blobs:
            bottoms = [b.name for b in layer.bottoms]
            bottoms = [waiting[b].pop() if b in waiting else called.get(b, b) for b in bottoms]
            name, many = layer.name, uses[layer.name]
            top = called.get(name, name)
            blobs = " ".join([*bottoms, top])
            lines.append(f"{layer.kind} {name} {len(bottoms)} 1 {blobs} {layer.words}")
            if many > 1:  # each user of a blob needs one of its own
                waiting[name] = [f"{name}_{i}" for i in range(many)]
                lines.append(f"Split {name}_ 1 {many} {top} {' '.join(waiting[name])}")
        count = len(self._blobs) + sum(many for many in uses.values() if many > 1)
        data = (part for layer in self._blobs for part in layer.data)
        before = {layer.name for layer in first} - {cut.name}
        return Written(
            "\n".join(["7767517", f"{len(lines)} {count}", *lines, ""]),
            b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in data),
            bool(second),
            any(b.name in before for layer in second for b in layer.bottoms),
            (self.input.channels, cut.channels),
            _radius(self._blobs),
            _radius(second),
            (_peak(first), _peak(second)),
        )

    def _take(self, name: str) -> np.ndarray:
        self.unused.discard(name)
        if self._state[name].dtype.kind != "f":
            raise NotConvertible(f"{name} is of {self._state[name].dtype}")
        return self._state[name].astype(np.float64)

    def _weight_and_bias(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        weight = self._take(f"{name}.weight")
        has_bias = f"{name}.bias" in self._state
        bias = self._take(f"{name}.bias") if has_bias else np.zeros(len(weight))
        if weight.ndim != 4 or bias.shape != weight.shape[:1]:
            raise NotConvertible(f"{name} is no convolution")
        return weight, bias

    def _add(
        self,
        kind: str,
        bottoms: Sequence[Blob],
        words: str = "",
        data: tuple[np.ndarray, ...] = (),
        channels: int | None = None,
        factor: int | None = None,
        looks: float = 0.0,
    ) -> Blob:
        """Add a layer; its map is like the first that it takes unless told otherwise."""
        channels = bottoms[0].channels if channels is None else channels
        factor = bottoms[0].factor if factor is None else factor
        name = f"b{len(self._blobs)}"
        self._blobs.append(Blob(name, channels, factor, kind, tuple(bottoms), looks, words, data))
        return self._blobs[-1]


def cubic_kernels(factor: int, method: str) -> np.ndarray:
    """(factor^2, 1, 5, 5): bicubic enlargement as a convolution, before a pixel shuffle.

    Enlarging by a whole factor repeats the same sets of four taps, so each output pixel of one
    input pixel has one kernel (Keys 1981).
    """
    a = _CUBIC[method]
    phase = (np.arange(factor) + 0.5) / factor - 0.5
    x = np.abs(phase[:, None] - np.arange(-2, 3))
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    line = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return np.einsum("iy,jx->ijyx", line, line).reshape(factor**2, 1, 5, 5)


def _require(fits: bool, weight: np.ndarray | None, x: Blob) -> None:
    """NotConvertible unless it fits: ncnn would read beyond the end of it."""
    if not fits:
        shape = "a gate" if weight is None else f"weights of shape {weight.shape}"
        raise NotConvertible(f"{shape} for {x.channels} channels")


def _activation(act: Sequence[float]) -> str:
    if not act:
        return ""
    arguments = "".join(f",{value}" for value in act[1:])
    return f" 9={act[0]}" + (f" -23310={len(act) - 1}{arguments}" if arguments else "")


def _off_centre(factor: int) -> float:
    """How far an enlargement's outermost pixel lies from the centre of its input pixel."""
    return (factor - 1) / (2 * factor)


def _radius(part: Sequence[Blob]) -> int | None:
    """How far, in input pixels, the last blob of a part looks in what the part is given."""
    far: dict[str, float] = {}
    for blob in part:
        before = (far.get(b.name, 0.0) for b in blob.bottoms)
        far[blob.name] = blob.looks + max(before, default=0.0)
    whole = far[part[-1].name] if part else 0.0
    return None if math.isinf(whole) else math.ceil(round(whole, 6))


def _peak(part: Sequence[Blob]) -> float:
    """Bytes that a part takes at its peak, per input pixel."""
    last = {b.name: i for i, layer in enumerate(part) for b in layer.bottoms}
    alive: dict[str, int] = {}
    peak = 0.0
    for i, layer in enumerate(part):
        alive |= {blob.name: blob.bytes for blob in (*layer.bottoms, layer)}
        work = _WORKSPACE * layer.bottoms[0].bytes if layer.kind == "Convolution" else 0
        peak = max(peak, sum(alive.values()) + work)
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > i}
    return peak
