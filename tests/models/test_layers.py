"""Layers by themselves: what the networks' golden vectors cannot see."""

import numpy as np
import pytest
import torch

from superres.errors import UserError
from superres.imaging.resize import imresize
from superres.models.layers.attention import BAM, ChannelAttention, LaplacianAttention
from superres.models.layers.interpolate import BicubicUpsample
from superres.models.layers.normalise import Denormalise, Normalise
from superres.models.layers.upsample import shuffled


def test_normalise_and_back():
    x = torch.rand(2, 3, 4, 5)
    mean, std = (0.4488, 0.4371, 0.4040), (0.5, 0.25, 1.0)
    y = Normalise(3, mean, std, 255.0)(x)
    for c in range(3):
        torch.testing.assert_close(y[:, c], (x[:, c] - mean[c]) / std[c] * 255)
    torch.testing.assert_close(Denormalise(3, mean, std, 255.0)(y), x)
    assert Normalise(3, None, None, 1.0)(x) is x
    luma = 0.299 * mean[0] + 0.587 * mean[1] + 0.114 * mean[2]
    assert float(Normalise(1, mean).mean) == pytest.approx(luma)
    with pytest.raises(UserError, match="4 channels"):
        Normalise(4, mean)


def test_bam_formula():
    torch.manual_seed(0)
    layer = BAM(64).double()
    assert sum(p.numel() for p in layer.parameters()) == 565
    x = torch.randn(2, 64, 6, 7, dtype=torch.float64)
    w1, w2, wide = layer.ca.fc1.weight, layer.ca.fc2.weight, layer.sa.conv1.weight
    hidden = x.mean((2, 3)) @ w1[..., 0, 0].T
    hidden = torch.where(hidden > 0, hidden, hidden * layer.ca.relu1.weight)
    channel = torch.sigmoid(hidden @ w2[..., 0, 0].T)[:, :, None, None]
    place = torch.nn.functional.conv2d(x.max(dim=1, keepdim=True).values, wide, padding=3)
    torch.testing.assert_close(layer(x), channel * torch.sigmoid(place) * x, rtol=1e-12, atol=0)


def test_laplacian_attention_uses_centre_taps_only():
    torch.manual_seed(0)
    layer = LaplacianAttention(64).double()
    x = torch.randn(2, 64, 5, 6, dtype=torch.float64)
    pooled = x.mean((2, 3))

    def centre(conv, value):
        return value @ conv.weight[..., 1, 1].detach().T + conv.bias.detach()

    pyramid = torch.cat([centre(c, pooled).relu() for c in (layer.c1, layer.c2, layer.c3)], 1)
    gate = torch.sigmoid(centre(layer.c4, pyramid))
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])
    assert (layer.c1.dilation, layer.c2.dilation, layer.c3.dilation) == ((3, 3), (5, 5), (7, 7))


def test_channel_attention_formula():
    torch.manual_seed(0)
    layer = ChannelAttention(32, reduction=8)
    x = torch.randn(2, 32, 5, 6)
    hidden = (x.mean((2, 3)) @ layer.down.weight[..., 0, 0].T + layer.down.bias).relu()
    gate = torch.sigmoid(hidden @ layer.up.weight[..., 0, 0].T + layer.up.bias)
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


@pytest.mark.parametrize(("scale", "height"), [(2, 9), (3, 1), (4, 2)])
@pytest.mark.parametrize("method", ["matlab", "matlab-mirror"])
def test_matlabs_bicubic_with_either_border(scale, height, method):
    x = np.random.default_rng(0).random((height, 7, 2))
    border = "reflect" if "mirror" in method else "replicate"
    expected = imresize(x, scale=scale, border=border).transpose(2, 0, 1)
    layer = BicubicUpsample(scale, method).double()
    found = layer(torch.from_numpy(x.transpose(2, 0, 1)[None]))[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_torchs_bicubic_also_under_autocast(scale):
    x = torch.rand(2, 3, 9, 7)
    expected = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bicubic")
    layer = BicubicUpsample(scale, "torch")
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=2e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=2e-6)


def test_bicubic_arguments():
    x = torch.rand(1, 1, 3, 3)
    assert BicubicUpsample(1)(x) is x
    with pytest.raises(UserError, match="at least 1"):
        BicubicUpsample(0)
    with pytest.raises(UserError, match="lanczos"):
        BicubicUpsample(2, "lanczos")


@pytest.mark.parametrize("factor", [2, 3])
def test_the_shuffle_for_gpus_is_torchs_and_keeps_channels_innermost(factor):
    torch.manual_seed(0)
    x = torch.rand(2, 4 * factor**2, 5, 7).to(memory_format=torch.channels_last)
    weights = torch.rand(2, 4, 5 * factor, 7 * factor)
    found = []
    for shuffle in (shuffled, torch.nn.functional.pixel_shuffle):
        given = x.clone().requires_grad_()
        y = shuffle(given, factor)
        (y * weights).sum().backward()
        found.append((y.detach(), given.grad))
    assert found[0][0].is_contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(*found):
        assert torch.equal(ours, theirs)
