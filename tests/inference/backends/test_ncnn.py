"""ncnn: its second part in tiles, what it refuses, and the machines where it is not right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superres.errors import UserError
from superres.inference.backends import NotConvertible, best, ncnn_backend
from superres.inference.backends.ncnn_backend import NcnnBackend
from tests.inference import build

pytest.importorskip("ncnn")


def written(network, device="cpu", **changes):
    """The network on ncnn, with other weights here and there."""
    state = {key: value.numpy() for key, value in network.state_dict().items()} | changes
    return NcnnBackend(network.superres_config, state, network.scale, device)


@pytest.mark.parametrize("type", ["EDSR", "MSRResNet", "RRDBNet"])
def test_the_second_part_in_tiles_equals_the_whole(type, monkeypatch):
    x = np.random.default_rng(0).random((1, 3, 70, 53), np.float32)
    whole = written(build(type)).run(x)
    for room in ("_SECOND_PART", "_STRAIGHT"):
        monkeypatch.setattr(ncnn_backend, room, 0)
    tiles = written(build(type))
    assert tiles._side == 16
    np.testing.assert_allclose(tiles.run(x), whole, rtol=0, atol=1e-5)


def test_weights_that_do_not_fit_are_refused():
    network = build()
    for name, value in (
        ("conv_last.bias", np.zeros(2, np.float32)),
        ("conv_last.weight", np.zeros((3, 9, 3, 3), np.float32)),
        ("body.0.conv1.weight", np.zeros((8, 8, 3, 2), np.float32)),
        ("another", np.zeros(8, np.float32)),
    ):
        with pytest.raises(NotConvertible):
            written(network, **{name: value})
    for key, value in (
        ("type", "Unknown"),
        ("num_blocks", 10**9),
        ("num_blocks", "two"),
        ("rgb_mean", [0.1]),
        ("img_range", 0),
        ("res_scale", float("nan")),
        ("attention", "none such"),
    ):
        network.superres_config = {**build().superres_config, key: value}
        with pytest.raises(NotConvertible):
            written(network)


def test_a_network_that_is_not_what_its_config_says_is_not_taken():
    network = build()
    network.register_forward_hook(lambda module, given, result: result + 0.1)
    backend = best(network)
    assert backend.name != "ncnn"
    assert backend.notes[0].startswith("not ncnn: its result differs")


def test_vulkan_without_a_device(monkeypatch):
    import ncnn

    monkeypatch.setattr(ncnn, "get_gpu_count", lambda: 0)
    with pytest.raises(UserError, match="finds no GPU with Vulkan"):
        written(build(), "vulkan")


def test_pytorch_says_how_many_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert written(build())._net.opt.num_threads == 3


def test_memory_of_maps_that_grow_is_counted():
    """Each needs a block of its own of the pool: the sum of a dense block's, not its last two."""
    maps = [64 + 16 * i for i in range(1, 9)]
    network = build("RDN", channels=64, num_blocks=1, num_layers=8, growth=16)
    first, _ = written(network)._written.bytes_per_pixel
    assert first > 4 * (sum(maps) + 8 * maps[-1])
