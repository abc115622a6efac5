"""Networks in ncnn's form, written layer by layer from arrays: no torch, no converter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from superres.inference.backends.base import NotConvertible

RELU, SIGMOID = (1,), (4,)
"""Activations behind a convolution: ncnn's number, and arguments."""

Reach = tuple[tuple[int, int], ...] | None
"""For each output pixel of one input pixel the first and last input pixel that it sees, relative
to that one; None where it sees the whole image."""

_HERE: Reach = ((0, 0),)
_CUBIC = {"torch": -0.75, "matlab": -0.5}  # the cubic's a, as models.layers.BicubicUpsample has it
_WORKSPACE = 8.0  # bytes that a convolution and the pools hold over those of its input, measured


@dataclass(frozen=True)
class Blob:
    """A map inside the network.

    Attributes:
        factor: its size over the input's; 0 for a vector.
        reach: of the input that it sees.
        reach_cut: of the blobs that the second part begins with.
    """

    name: str
    channels: int
    factor: int
    reach: Reach
    reach_cut: Reach

    @property
    def bytes(self) -> int:
        """Per input pixel."""
        return 4 * self.channels * self.factor**2


@dataclass(frozen=True)
class _Layer:
    kind: str
    bottoms: tuple[Blob, ...]
    top: Blob
    words: str
    data: tuple[np.ndarray, ...]


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
        self._layers: list[_Layer] = []
        self._cut: int | None = None
        self.input = self._blob("Input", (), in_channels, 1, _HERE, _HERE)

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
        return self._convolve(x, weight * factor, bias * factor, act)

    def scaled(self, x: Blob, gain: np.ndarray, bias: np.ndarray) -> Blob:
        """``x * gain + bias``, per channel."""
        if np.all(gain == 1) and not np.any(bias):
            return x
        return self._like("Scale", x, f"0={x.channels} 1=1", gain, bias)

    def times(self, x: Blob, factor: float) -> Blob:
        """``x * factor``."""
        return self.scaled(x, np.full(x.channels, factor), np.zeros(x.channels))

    def add(self, a: Blob, b: Blob) -> Blob:
        """a + b."""
        return self._binary(0, a, b)

    def relu(self, x: Blob, slope: float = 0.0) -> Blob:
        """max(x, slope * x)."""
        return self._like("ReLU", x, f"0={slope}")

    def prelu(self, name: str, x: Blob) -> Blob:
        """With one slope, or one per channel."""
        slopes = self._take(f"{name}.weight")
        _require(slopes.size in (1, x.channels), slopes, x)
        return self._like("PReLU", x, f"0={slopes.size}", slopes)

    def concat(self, blobs: Sequence[Blob]) -> Blob:
        """Channel after channel."""
        first, channels = blobs[0], sum(blob.channels for blob in blobs)
        return self._blob("Concat", blobs, channels, first.factor, *_unions(blobs), "0=0")

    def shuffle(self, x: Blob, factor: int) -> Blob:
        """Pixel shuffle."""
        reaches = (r and tuple(s for s in r for _ in range(factor)) for r in (x.reach, x.reach_cut))
        return self._shuffled(x, factor, *reaches)

    def bilinear(self, x: Blob, factor: int) -> Blob:
        """Bilinear enlargement, corners not aligned."""
        reaches = (_interpolated(r, factor, 1) for r in (x.reach, x.reach_cut))
        words = f"0=2 1={float(factor)} 2={float(factor)} 6=0"
        return self._blob("Interp", (x,), x.channels, x.factor * factor, *reaches, words)

    def bicubic(self, x: Blob, factor: int, method: str) -> Blob:
        """Bicubic enlargement, border pixels repeated.

        A whole factor repeats the same sets of four taps, so it is a convolution and a shuffle.
        """
        if factor == 1:
            return x
        line = _cubic_taps(factor, _CUBIC[method])
        kernel = np.einsum("iy,jx->ijyx", line, line).reshape(factor**2, 1, 5, 5)
        kernel = np.tile(kernel, (x.channels, 1, 1, 1))
        padded = self._like("Padding", x, "0=2 1=2 2=2 3=2 4=1")
        y = self._convolve(padded, kernel, np.zeros(len(kernel)), pad=0, groups=x.channels)
        reaches = (_interpolated(r, factor, 2) for r in (x.reach, x.reach_cut))
        return self._shuffled(y, factor, *reaches)

    def gate(self, x: Blob, gate: Blob) -> Blob:
        """``x`` times a vector (per channel) or a map of one channel."""
        return self._binary(2, x, gate)

    def pooled(self, x: Blob) -> Blob:
        """The mean of each channel: a vector."""
        return self._blob("Pooling", (x,), x.channels, 0, None, None, "0=1 4=1")

    def dense(self, name: str, x: Blob, act: Sequence[float] = ()) -> Blob:
        """A convolution on a map of one pixel, where of its kernels the centre counts."""
        weight, bias = self._weight_and_bias(name)
        weight = weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2]
        _require(weight.shape[1] == x.channels, weight, x)
        words = f"0={len(weight)} 1=1 2={weight.size}{_activation(act)}"
        data = (np.zeros(1), weight, bias)  # zero says that float32 follows
        return self._blob("InnerProduct", (x,), len(weight), 0, None, None, words, *data)

    def largest(self, x: Blob) -> Blob:
        """The largest of all channels, a map of one channel."""
        words = "0=4 1=0 -23303=1,0 4=1 5=1"
        return self._blob("Reduction", (x,), 1, x.factor, x.reach, x.reach_cut, words)

    def cut(self, x: Blob) -> Blob:
        """End the first part here."""
        self._cut = len(self._layers)
        return replace(x, reach_cut=_HERE)

    def finish(self, output: Blob) -> Written:
        """The network whose result is ``output``."""
        end = len(self._layers) if self._cut is None else self._cut
        cut = output if self._cut is None else self._layers[end - 1].top
        called = {self.input.name: "in", cut.name: "cut", output.name: "out"}
        uses = Counter(blob.name for layer in self._layers for blob in layer.bottoms)
        lines, waiting = [], {}
        for layer in self._layers:
            bottoms = [b.name for b in layer.bottoms]
            bottoms = [waiting[b].pop() if b in waiting else called.get(b, b) for b in bottoms]
            name, many = layer.top.name, uses[layer.top.name]
            top = called.get(name, name)
            blobs = " ".join([*bottoms, top])
            lines.append(f"{layer.kind} {name} {len(bottoms)} 1 {blobs} {layer.words}")
            if many > 1:  # each user of a blob needs one of its own
                waiting[name] = [f"{name}_{i}" for i in range(many)]
                lines.append(f"Split {name}_ 1 {many} {top} {' '.join(waiting[name])}")
        count = len(self._layers) + sum(many for many in uses.values() if many > 1)
        before = {layer.top.name for layer in self._layers[:end]} - {cut.name}
        return Written(
            "\n".join(["7767517", f"{len(lines)} {count}", *lines, ""]),
            b"".join(
                np.ascontiguousarray(part, "<f4").tobytes()
                for layer in self._layers
                for part in layer.data
            ),
            self._cut is not None,
            any(b.name in before for layer in self._layers[end:] for b in layer.bottoms),
            (self.input.channels, cut.channels),
            _radius(output.reach),
            _radius(output.reach_cut),
            (self._peak(self._layers[:end], cut), self._peak(self._layers[end:], output)),
        )

    def _peak(self, layers: Sequence[_Layer], result: Blob) -> float:
        last = {b.name: i for i, layer in enumerate(layers) for b in layer.bottoms}
        last[result.name] = len(layers)
        alive: dict[str, int] = {}
        peak = 0.0
        for i, layer in enumerate(layers):
            alive |= {blob.name: blob.bytes for blob in (*layer.bottoms, layer.top)}
            work = _WORKSPACE * layer.bottoms[0].bytes if layer.kind == "Convolution" else 0
            peak = max(peak, sum(alive.values()) + work)
            alive = {name: size for name, size in alive.items() if last.get(name, -1) > i}
        return peak

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

    def _convolve(
        self,
        x: Blob,
        weight: np.ndarray,
        bias: np.ndarray,
        act: Sequence[float] = (),
        pad: int | None = None,
        groups: int = 1,
    ) -> Blob:
        count, inputs, side, _ = weight.shape
        _require(inputs * groups == x.channels and weight.shape[3] == side, weight, x)
        _require(side % 2 == 1 and bias.shape == (count,), weight, x)
        pad = side // 2 if pad is None else pad
        kind, words = "Convolution", f"0={count} 1={side} 4={pad} 5=1 6={weight.size}"
        if groups > 1:
            kind, words = "ConvolutionDepthWise", f"{words} 7={groups}"
        reaches = (_convolved(r, side // 2) for r in (x.reach, x.reach_cut))
        data = (np.zeros(1), weight, bias)  # zero says that float32 follows
        words += _activation(act)
        return self._blob(kind, (x,), count, x.factor, *reaches, words, *data)

    def _shuffled(self, x: Blob, factor: int, reach: Reach, reach_cut: Reach) -> Blob:
        size = (x.channels // factor**2, x.factor * factor)
        return self._blob("PixelShuffle", (x,), *size, reach, reach_cut, f"0={factor}")

    def _binary(self, operation: int, a: Blob, b: Blob) -> Blob:
        if b.factor and (b.factor != a.factor or b.channels not in (1, a.channels)):
            raise NotConvertible("maps of two sizes are added")
        return self._blob(
            "BinaryOp", (a, b), a.channels, a.factor, *_unions((a, b)), f"0={operation}"
        )

    def _like(self, kind: str, x: Blob, words: str = "", *data: np.ndarray) -> Blob:
        return self._blob(kind, (x,), x.channels, x.factor, x.reach, x.reach_cut, words, *data)

    def _blob(
        self,
        kind: str,
        bottoms: Sequence[Blob],
        channels: int,
        factor: int,
        reach: Reach,
        reach_cut: Reach,
        words: str = "",
        *data: np.ndarray,
    ) -> Blob:
        """Add a layer; ``data`` is what ncnn reads for it, in that order."""
        top = Blob(f"b{len(self._layers)}", channels, factor, reach, reach_cut)
        self._layers.append(_Layer(kind, tuple(bottoms), top, words, data))
        return top


def _require(fits: bool, weight: np.ndarray, x: Blob) -> None:
    """NotConvertible unless it fits: ncnn would read beyond the end of it."""
    if not fits:
        raise NotConvertible(f"weights of shape {weight.shape} for {x.channels} channels")


def _activation(act: Sequence[float]) -> str:
    if not act:
        return ""
    arguments = "".join(f",{value}" for value in act[1:])
    return f" 9={act[0]}" + (f" -23310={len(act) - 1}{arguments}" if arguments else "")


def _cubic_taps(factor: int, a: float) -> np.ndarray:
    """(factor, 5): what each output pixel of one input pixel takes from it and its neighbours."""
    phase = (np.arange(factor) + 0.5) / factor - 0.5
    x = np.abs(phase[:, None] - np.arange(-2, 3))
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _at(reach: Reach, pixel: int) -> tuple[int, int]:
    whole, part = divmod(pixel, len(reach))
    return reach[part][0] + whole, reach[part][1] + whole


def _convolved(reach: Reach, radius: int) -> Reach:
    return reach and tuple(
        (_at(reach, p - radius)[0], _at(reach, p + radius)[1]) for p in range(len(reach))
    )


def _interpolated(reach: Reach, factor: int, taps: int) -> Reach:
    """With so many taps on either side."""
    if reach is None:
        return None
    found = []
    for p in range(len(reach) * factor):
        place = (2 * p + 1 - factor) / (2 * factor)
        low, high = math.floor(place), math.ceil(place)
        more = taps - 1 if low < high else 0  # in the middle of a pixel there is but that one
        found.append((_at(reach, low - more)[0], _at(reach, high + more)[1]))
    return tuple(found)


def _unions(blobs: Sequence[Blob]) -> tuple[Reach, Reach]:
    return _union([b.reach for b in blobs]), _union([b.reach_cut for b in blobs])


def _union(reaches: Sequence[Reach]) -> Reach:
    if any(reach is None for reach in reaches):
        return None
    length = max(map(len, reaches))
    parts = [reach if len(reach) == length else reach * length for reach in reaches]
    return tuple((min(p[0] for p in x), max(p[1] for p in x)) for x in zip(*parts, strict=True))


def _radius(reach: Reach) -> int | None:
    return None if reach is None else max(max(-low, high) for low, high in reach)
