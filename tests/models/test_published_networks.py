"""RDN, RRDBNet, SRVGGNetCompact and BasicSR's RCAN against what the published code made of weights
that follow a formula: MMagic 1.2.0, BasicSR at 8d56e3a, xinntao/ESRGAN, EDSR-PyTorch."""

import zlib

import numpy as np
import pytest
import torch

from superres.checkpoints import build_network, load_model, read_weights
from superres.checkpoints.formats import basicsr, esrgan, rdn
from superres.checkpoints.networks import network_shapes
from superres.errors import UserError

RDN = {"type": "RDN", "channels": 8, "num_blocks": 2, "num_layers": 3}
RRDB = {"type": "RRDBNet", "channels": 8, "num_blocks": 2, "growth": 4}
SRVGG = {"type": "SRVGGNetCompact", "channels": 8, "num_convs": 3}
RCAN = {"type": "RCAN", "channels": 16, "num_groups": 2, "num_blocks": 2, "reduction": 4}
CASES = {
    "mmagic-RDN-x3": (rdn.RDN, {**RDN, "growth": 4, "scale": 3}),
    "mmagic-RDN-x4": (rdn.RDN, {**RDN, "growth": 4, "scale": 4}),
    "edsr-RDN-x2": (rdn.EDSR_PYTORCH, {**RDN, "growth": 8, "scale": 2}),
    "edsr-RDN-x4": (rdn.EDSR_PYTORCH, {**RDN, "growth": 8, "scale": 4}),
    "basicsr-RRDB-x4": (esrgan.RRDBNET, RRDB),
    "basicsr-RRDB-x2": (esrgan.RRDBNET, {**RRDB, "scale": 2}),
    "basicsr-RRDB-x1": (esrgan.RRDBNET, {**RRDB, "scale": 1}),
    "esrgan-RRDB-x4": (esrgan.ESRGAN, RRDB),
    "srvgg-x4": (esrgan.SRVGGNET, SRVGG),
    "srvgg-x2": (esrgan.SRVGGNET, {**SRVGG, "scale": 2}),
    "basicsr-RCAN-x2": (basicsr.RCAN, {**RCAN, "scale": 2}),
}
NUMBERS = """
mmagic-RDN-x3   993688772   1.67185 -3.205965 0.618235 1.702964 -1.922497 3.983263
mmagic-RDN-x4   2913319956  0.720441 0.722479 0.755552 0.714339 0.614369 0.607097
edsr-RDN-x2     3011685610  0.000754 0.010082 -0.040009 -0.000337 0.000979 -0.00331
edsr-RDN-x4     3303152008  -0.002764 0.002723 0.003856 0.003804 0.00876 0.003266
basicsr-RRDB-x4 3463338626  -1.005956 -1.005025 -0.946226 -0.951165 -0.755488 -0.757047
basicsr-RRDB-x2 3463338626  -1.004928 -1.003817 -0.946068 -0.949361 -0.756496 -0.758024
basicsr-RRDB-x1 3463338626  -1.005047 -1.00267 -0.946096 -0.948576 -0.756381 -0.759073
esrgan-RRDB-x4  2577054171  -0.969662 -0.972026 -0.898846 -0.865099 -0.785765 -0.779116
srvgg-x4        1825197128  1.379415 -0.636457 1.908906 -0.556403 2.039416 -0.432789
srvgg-x2        1825197128  1.379415 0.731115 0.756902 -0.852688 -0.00412 -0.924152
basicsr-RCAN-x2 2577348187  -1.772119 0.183836 2.619043 0.804447 -1.71803 -0.074069
"""
"""Of each: the CRC-32 of the published code's sorted keys, six numbers of its result."""


def weights(keys):
    """A tensor for each key, by its name: half the code is that two programs agree on names."""
    state = {}
    for key, shape in keys.items():
        size, fan = int(np.prod(shape)), max(int(np.prod(shape[1:])), 1)
        values = np.cos(np.arange(size) * 0.37 + zlib.crc32(key.encode()) % 1000) / fan**0.5
        state[key] = torch.from_numpy(values.reshape(shape)).float()
    return state


def shapes(layout, config):
    ours = network_shapes(config)
    return {theirs: ours[name] for theirs, name in layout.expected(ours).items()}


def picture(height, width):
    values = 0.5 + 0.5 * np.sin(np.arange(3 * height * width) * 0.61)
    return torch.from_numpy(values.reshape(1, 3, height, width)).float()


@pytest.mark.parametrize("line", NUMBERS.strip().splitlines(), ids=lambda line: line.split()[0])
def test_the_published_code_says_the_same(line, tmp_path):
    name, crc, *numbers = line.split()
    layout, config = CASES[name]
    keys = shapes(layout, config)
    assert zlib.crc32("\n".join(sorted(keys)).encode()) == int(crc)
    torch.save({"params_ema": weights(keys)}, tmp_path / "weights.pth")
    loaded = read_weights(tmp_path / "weights.pth")
    assert {key: loaded.config[key] for key in config} == config
    size = (8, 12) if config.get("scale", 4) < 4 and config["type"] == "RRDBNet" else (7, 9)
    with torch.no_grad():
        y = build_network(loaded).eval()(picture(*size))
    found = y.flatten()[:: y.numel() // 6][:6].tolist()
    assert found == pytest.approx([float(n) for n in numbers], abs=2e-6, rel=2e-5)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_esrgans_first_names(scale, tmp_path):
    """One Sequential, without an unshuffle at any scale; the names are numbers."""
    config = {**RRDB, "scale": scale, "unshuffle": 1}
    keys = shapes(esrgan.NUMBERED, config)
    last = {1: 4, 2: 7, 4: 10, 8: 13}[scale]
    assert {f"{last}.weight", "1.sub.2.weight", "1.sub.1.RDB3.conv5.0.bias"} <= set(keys)
    torch.save({f"model.{key}": v for key, v in weights(keys).items()}, tmp_path / "old.pth")
    network = load_model(tmp_path / "old.pth", device="cpu")
    assert (network.scale, network.unshuffle) == (scale, 1)


def test_sides_that_an_unshuffle_does_not_divide(tmp_path):
    torch.save(weights(shapes(esrgan.RRDBNET, {**RRDB, "scale": 2})), tmp_path / "x2.pth")
    network = load_model(tmp_path / "x2.pth", device="cpu")
    x = picture(7, 9)
    with torch.no_grad():
        padded = torch.nn.functional.pad(x, (0, 1, 0, 1), "reflect")
        torch.testing.assert_close(network(x), network(padded)[..., :14, :18])


def test_what_is_no_such_network(tmp_path):
    keys = shapes(esrgan.SRVGGNET, SRVGG)
    state = {k: v for k, v in weights(keys).items() if v.dim() != 1 or "bias" in k}
    torch.save(state, tmp_path / "relu.pth")
    with pytest.raises(UserError, match="what activates them is not told"):
        read_weights(tmp_path / "relu.pth")
    plus = {"model.1.sub.0.RDB1.conv1x1.weight": torch.zeros(4, 8, 1, 1)}
    old = weights(shapes(esrgan.NUMBERED, {**RRDB, "unshuffle": 1}))
    torch.save({f"model.{k}": v for k, v in old.items()} | plus, tmp_path / "plus.pth")
    with pytest.raises(UserError, match="not known here"):
        read_weights(tmp_path / "plus.pth")
