"""Losses against their formulas, and the perceptual loss against EDSR-PyTorch's definition."""

import pytest
import torch
from torch import nn

from superres.errors import UserError
from superres.models.losses.perceptual import PerceptualLoss, vgg19_features
from superres.registry import MODELS


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand((2, 3, 40, 36), generator=generator) for _ in range(2)]


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("L1Loss", lambda d: d.abs().mean()),
        ("MSELoss", lambda d: (d * d).mean()),
        ("CharbonnierLoss", lambda d: (d * d + 1e-6).sqrt().mean()),
    ],
)
def test_pixel_losses(pair, kind, formula):
    loss = MODELS.build({"type": kind, "loss_weight": 0.25})
    value = loss(*pair)
    assert value.ndim == 0
    torch.testing.assert_close(value, 0.25 * formula(pair[0] - pair[1]))


def test_vgg19_has_torchvisions_layout():
    features = vgg19_features("conv5_4")
    assert len(features) == 35  # indices 0..34, the last before its ReLU
    assert sum(p.numel() for p in features.parameters()) == 20_024_384
    convs = [i for i, m in enumerate(features) if isinstance(m, nn.Conv2d)]
    assert convs == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    assert len(vgg19_features("conv2_2")) == 8
    with pytest.raises(UserError, match="conv5_4"):
        vgg19_features("conv6_1")


def test_perceptual_loss_reads_a_local_file(pair, tmp_path):
    torch.manual_seed(3)
    features = vgg19_features("conv2_2")
    file = tmp_path / "vgg19.pth"
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    torch.save({**state, "classifier.0.bias": torch.zeros(4)}, file)
    loss = PerceptualLoss("conv2_2", loss_weight=2.0, weights=str(file))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    a, b = (features((x - mean) / std) for x in pair)
    torch.testing.assert_close(loss(*pair), 2 * ((a - b) ** 2).mean())
    pair[0].requires_grad_()
    loss(*pair).backward()
    assert pair[0].grad.abs().sum() > 0
    assert not loss.state_dict()
    assert not list(loss.parameters())
    loss.double()
    assert loss(*(x.double() for x in pair)).dtype is torch.float64


def test_vgg19_weights_that_are_none(tmp_path):
    state = {f"features.{k}": v for k, v in vgg19_features("conv1_2").state_dict().items()}
    first, file = state["features.0.weight"], tmp_path / "vgg.pth"
    other = {"features.0.weight": first}
    for content, words in (
        (None, "No such file"),
        (b"", "empty"),
        (b"<html>", ""),
        (other, r"features\.0\.bias"),
        (state | {"features.0.weight": first * float("nan")}, "finite"),
        (state | {"features.0.weight": first.to(torch.int8)}, "finite"),
        (state | {"features.0.weight": nn.Conv2d(1, 1, 1)}, ""),
    ):
        if content is not None:
            torch.save(content, file) if isinstance(content, dict) else file.write_bytes(content)
        told = rf"vgg\.pth' cannot be read \(.*{words}.*\); download https://"
        with pytest.raises(UserError, match=told):
            PerceptualLoss("conv1_2", weights=str(file))
    with pytest.raises(UserError, match="criterion"):
        PerceptualLoss("conv2_2", criterion="huber", weights=None)
