"""What a network costs, against formulas and against real runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from superres.errors import UserError
from superres.models.summary import LiveBytes, summarise
from superres.registry import MODELS
from tests.models.test_backbones import EACH, channels_of


def conv_flops(cin: int, cout: int, kernel: int, height: int, width: int) -> int:
    return 2 * cin * cout * kernel**2 * height * width


def test_edsr_by_formula():
    height, width, channels, blocks = 180, 320, 64, 16
    summary = summarise({"type": "EDSR", "scale": 4}, (height, width))
    low = conv_flops(3, channels, 3, height, width)
    low += (2 * blocks + 1) * conv_flops(channels, channels, 3, height, width)
    low += conv_flops(channels, 4 * channels, 3, height, width)
    high = conv_flops(channels, 4 * channels, 3, 2 * height, 2 * width)
    high += conv_flops(channels, 3, 3, 4 * height, 4 * width)
    assert summary.flops == low + high
    assert round(summary.flops / 2e9, 1) == 114.2  # the multiply-adds that papers give
    assert summary.parameters == summary.trainable == 1_517_571
    assert summary.layers == 2 * blocks + 5
    assert summary.receptive_radius == 36
    assert summary.input == (3, 180, 320)
    assert summary.output == (3, 720, 1280)
    assert sum(part.flops for part in summary.parts) == summary.flops
    assert sum(part.parameters for part in summary.parts) == summary.parameters
    assert sum(part.layers for part in summary.parts) == summary.layers


@pytest.mark.parametrize(
    ("scale", "size"), [(2, (360, 640)), (3, (240, 427)), (4, (180, 320)), (8, (90, 160))]
)
def test_size_of_the_input_is_that_of_a_720p_result(scale, size):
    assert summarise({"type": "SRCNN", "scale": scale}, memory=False).input == (3, *size)


def test_scales_of_mdsr_cost_different_amounts():
    config = {"type": "MDSR", "channels": 8, "num_blocks": 1}
    summaries = {scale: summarise(config, (16, 20), scale) for scale in (2, 3, 4)}
    assert summaries[2].parameters == summaries[4].parameters
    assert summaries[2].flops < summaries[3].flops < summaries[4].flops
    for scale, summary in summaries.items():
        assert summary.output == (3, 16 * scale, 20 * scale)
        # A container of branches shows what ran in it.
        branch = next(part for part in summary.parts if part.name == "pre_process")
        found = (branch.flops, branch.layers, branch.output)
        assert found == (4 * conv_flops(8, 8, 5, 16, 20), 4, (8, 16, 20))
    with pytest.raises(UserError, match="no x8"):
        summarise(config, (16, 20), 8)


@pytest.mark.parametrize(("config", "scale"), EACH)
def test_meta_device_tells_what_a_real_run_does(config, scale):
    summary = summarise(config, (9, 12))
    network = MODELS.build(dict(config)).eval()
    x = torch.rand(1, channels_of(config), 9, 12)
    with torch.no_grad(), LiveBytes() as live:
        live.see(x)
        y = network(x)
    assert tuple(y.shape[1:]) == summary.output
    assert summary.parameters == sum(p.numel() for p in network.parameters())
    # Kernels of the CPU may hold a little more or less than their formulas in between.
    assert live.peak == pytest.approx(summary.inference_memory, rel=0.02)

    kept = {}
    own = {p.data_ptr() for p in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        result = network.train()(x)
    real = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert real == pytest.approx(summary.training_memory, rel=0.02)
    del result


def test_live_bytes_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    x = torch.rand(1, 3, 10, 10)
    with torch.no_grad(), LiveBytes() as live:
        live.see(x)
        y = network(x)
    # The worst moment: the input and two maps of 8 channels, before and after the ReLU.
    assert live.peak == (3 + 8 + 8) * 100 * 4
    assert live.now == (3 + 1) * 100 * 4
    del y
    assert live.now == 3 * 100 * 4
