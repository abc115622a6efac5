"""The forward of our networks for `ncnn_graph`, one function per class of models.backbones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from superres.inference.backends.ncnn_graph import RELU, SIGMOID, Blob, Graph, leaky
from superres.inference.network import NotConvertible

_LUMA = (0.299, 0.587, 0.114)  # makes the mean of a one-channel network of an RGB one
_PLAIN = {"rgb_mean": None, "rgb_std": None, "img_range": 1.0}  # of networks without such arguments
Config = Mapping[str, Any]
_Act = Callable[[str, Blob], Blob]  # by the name of the layer


def write(config: Config, state: Mapping[str, np.ndarray], scale: int) -> Graph:
    """A network in ncnn's form.

    Args:
        config: with the network's ``type`` and all of its arguments.
        state: name -> array.
        scale: of several, the one to write.

    Raises:
        NotConvertible: not a network that is known here, or other weights than it has.
    """
    kind = config.get("type")
    if kind not in _FORWARDS:
        raise NotConvertible(f"{kind} is not among the networks that are written")
    if kind in ("RRDBNet", "SRVGGNetCompact"):
        config = _PLAIN | config
    try:
        g = Graph(state, config["in_channels"])
        mean, gain = _convention(config, config["in_channels"])
        y = _FORWARDS[kind](g, config, g.scaled(g.input, gain, -mean * gain), scale)
        mean, gain = _convention(config, config["out_channels"])
        y = g.scaled(y, 1 / gain, mean)
    except (AttributeError, KeyError, ValueError, TypeError, IndexError) as error:
        raise NotConvertible(f"its config and its weights do not fit ({error})") from error
    if left := [key for key in g.left if not key.endswith("num_batches_tracked")]:
        raise NotConvertible(f"its config tells nothing of the weights {min(left)}")
    if (y.channels, y.factor) != (config["out_channels"], scale):
        raise NotConvertible(f"its weights are not those of x{scale}")
    return g.finish(y)


def _convention(config: Config, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and gain per channel, see models.layers.normalise."""
    values = []
    for given, default in ((config["rgb_mean"], 0.0), (config["rgb_std"], 1.0)):
        value = np.asarray([default] * channels if given is None else given, np.float64)
        values.append(np.array([value @ _LUMA]) if channels == 1 and value.size == 3 else value)
    mean, std = values
    span, factor = float(config["img_range"]), float(config.get("res_scale", 1))
    finite = np.isfinite([*mean, *std, span, factor]).all()
    if not (mean.shape == std.shape == (channels,) and finite and min(*std, span) > 0):
        raise ValueError("mean, range or residual scale")
    return mean, span / std


def _edsr(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    first = g.conv("conv_first", x)
    body = g.conv("conv_after_body", _blocks(g, "body", c["num_blocks"], first, c["res_scale"]))
    return _tail(g, g.plus(first, _attention(g, "attention", body, c["attention"])), scale)


def _mdsr(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    factor, attention = c["res_scale"], c["attention"]
    before = attention if c["attention_in_pre"] else None
    first = _blocks(g, f"pre_process.{scale}", 2, g.conv("conv_first", x), factor, before)
    body = _blocks(g, "body", c["num_blocks"], first, factor, attention)
    y = g.plus(first, g.conv("conv_after_body", body))
    y = _tail(g, y, scale, f"upsample.{scale}")
    g.forget("pre_process.", "upsample.")  # other scales
    return y


def _msrresnet(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    y = _blocks(g, "body", c["num_blocks"], g.conv("conv_first", x, leaky(0.1)))
    after = (lambda name, y: g.relu(y, 0.1)) if c["upsample_act"] else None
    y = _upsample(g, "upsample", g.cut(y), scale, after=after)
    y = g.conv("conv_last", g.conv("conv_hr", y, leaky(0.1)))
    return g.plus(y, g.enlarged(x, scale, bilinear=True))


def _srresnet(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    first = body = g.prelu("act_first", g.conv("conv_first", x))
    for i in range(c["num_blocks"]):
        name = f"body.{i}"
        y = g.prelu(f"{name}.act", g.conv(f"{name}.conv1", body, norm=f"{name}.norm1"))
        body = g.plus(body, g.conv(f"{name}.conv2", y, norm=f"{name}.norm2"))
    body = g.conv("conv_after_body", body, norm="norm_after_body")
    return _tail(g, g.plus(first, body), scale, after=g.prelu)


def _rcan(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    first = body = g.conv("conv_first", x)
    for i in range(c["num_groups"]):
        y = _blocks(g, f"body.{i}.blocks", c["num_blocks"], body, attention="channel")
        body = g.plus(body, g.conv(f"body.{i}.conv", y))
    return _tail(g, g.plus(first, g.conv("conv_after_body", body)), scale)


def _rdn(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    first = g.conv("conv_first", x)
    y, fused = g.conv("conv_second", first), []
    for i in range(c["num_blocks"]):
        dense = _dense(g, f"body.{i}", y, c["num_layers"], RELU)
        y = g.plus(y, g.conv(f"body.{i}.fuse", dense))
        fused.append(y)
    y = g.conv("conv_after_body", g.conv("fuse", g.concat(fused)))
    return _tail(g, g.plus(y, first), scale)


def _rrdbnet(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    if (c["unshuffle"] or max(4 // scale, 1)) > 1:
        raise NotConvertible("it begins by moving pixels into channels")
    act = leaky(0.2)
    first = body = g.conv("conv_first", x)
    for i in range(c["num_blocks"]):
        y = body
        for j in range(3):
            name = f"body.{i}.blocks.{j}"
            y = g.plus(y, g.conv(f"{name}.layers.4", _dense(g, name, y, 4, act), factor=0.2))
        body = g.plus(body, g.scaled(y, 0.2))
    y = g.cut(g.plus(first, g.conv("conv_after_body", body)))
    for i in range(scale.bit_length() - 1):
        y = g.conv(f"upsample.{i}", g.enlarged(y, 2), act)
    return g.conv("conv_last", g.conv("conv_hr", y, act))


def _srvgg(g: Graph, c: Config, x: Blob, scale: int) -> Blob:
    acts = {"relu": RELU, "leakyrelu": leaky(0.1), "prelu": ""}
    y = x
    for i in range(0, 2 * c["num_convs"] + 2, 2):
        y = g.conv(f"body.{i}", y, acts[c["act"]])
        y = g.prelu(f"body.{i + 1}", y) if c["act"] == "prelu" else y
    y = g.conv(f"body.{2 * c['num_convs'] + 2}", y)
    return g.plus(g.shuffle(y, scale), g.enlarged(x, scale))


def _dense(g: Graph, name: str, x: Blob, count: int, act: str) -> Blob:
    """``x`` and the results of convolutions that each see all before them."""
    for i in range(count):
        x = g.concat([x, g.conv(f"{name}.layers.{i}", x, act)])
    return x


def _blocks(
    g: Graph, name: str, count: int, x: Blob, factor: float = 1.0, attention: str | None = None
) -> Blob:
    """Of each: conv - ReLU - conv, attention, times ``factor``, plus the input."""
    for i in range(count):
        y = g.conv(f"{name}.{i}.conv1", x, RELU)
        y = g.conv(f"{name}.{i}.conv2", y, factor=1.0 if attention else factor)
        if attention:
            y = g.scaled(_attention(g, f"{name}.{i}.attention", y, attention), factor)
        x = g.plus(x, y)
    return x


def _attention(g: Graph, name: str, x: Blob, kind: str | None) -> Blob:
    if kind is None:
        return x
    pooled = g.pooled(x)
    if kind == "channel":
        return g.gate(x, g.conv(f"{name}.up", g.conv(f"{name}.down", pooled, RELU), SIGMOID))
    if kind == "laplacian":
        pyramid = g.concat([g.conv(f"{name}.c{i}", pooled, RELU) for i in (1, 2, 3)])
        return g.gate(x, g.conv(f"{name}.c4", pyramid, SIGMOID))
    if kind == "bam":
        channel = g.prelu(f"{name}.ca.relu1", g.conv(f"{name}.ca.fc1", pooled))
        place = g.conv(f"{name}.sa.conv1", g.largest(x), SIGMOID)
        return g.gate(g.gate(x, place), g.conv(f"{name}.ca.fc2", channel, SIGMOID))
    raise ValueError(f"attention {kind!r}")


def _tail(g: Graph, x: Blob, scale: int, name: str = "upsample", **options: Any) -> Blob:
    """The second part: upsampling, and the last convolution."""
    return g.conv("conv_last", _upsample(g, name, g.cut(x), scale, **options))


def _upsample(g: Graph, name: str, x: Blob, scale: int, after: _Act | None = None) -> Blob:
    """Convolutions and pixel shuffles, with activations after each shuffle."""
    factor = 3 if scale == 3 else 2
    for stage in range(1 if scale == 3 else scale.bit_length() - 1):
        x = g.shuffle(g.conv(f"{name}.{stage}.upsample_conv", x), factor)
        x = after(f"{name}.{stage}.act_after", x) if after else x
    return x


_FORWARDS = {
    "EDSR": _edsr,
    "MDSR": _mdsr,
    "MSRResNet": _msrresnet,
    "RCAN": _rcan,
    "RDN": _rdn,
    "RRDBNet": _rrdbnet,
    "SRResNet": _srresnet,
    "SRVGGNetCompact": _srvgg,
}
