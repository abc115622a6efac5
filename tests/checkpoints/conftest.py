"""Small networks and weight files for the tests of this folder."""

import pytest
import torch

from superres.checkpoints.formats import edsr_pytorch as format
from superres.registry import MODELS


@pytest.fixture
def build():
    """A small network of a config, the same weights for the same seed."""

    def make(type="EDSR", seed=0, **arguments):
        small = {"EDSR": {"channels": 8, "num_blocks": 2, "scale": 2}}.get(type, {})
        config = {"type": type, **small, **arguments}
        torch.manual_seed(seed)
        network = MODELS.build(config).eval()
        for module in network.modules():  # as if trained: statistics and slopes that matter
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        return network, config

    return make


@pytest.fixture
def edsr_pytorch(build):
    """Our EDSR x2 (8 wide, 2 blocks), and its state as EDSR-PyTorch stores it."""
    network, _ = build()
    ours, state = network.state_dict(), {}
    for sign, name in ((-1, "sub_mean"), (1, "add_mean")):
        state[f"{name}.weight"] = torch.eye(3).view(3, 3, 1, 1)
        state[f"{name}.bias"] = sign * 255 * torch.tensor([0.4488, 0.4371, 0.4040])
    return network, state | {k: ours[v].clone() for k, v in format.EDSR.expected(ours).items()}


@pytest.fixture
def same():
    """Whether two networks give the same image."""

    def check(a, b, atol=1e-6, channels=3):
        x = torch.rand((1, channels, 9, 7), generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            torch.testing.assert_close(a(x), b(x), rtol=0, atol=atol)

    return check
