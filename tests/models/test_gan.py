"""GAN training: both updates, exact resume, equal ranks."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper

from superres.cli.main import main
from superres.engine.train.checkpoint import read_checkpoint
from superres.errors import UserError
from superres.models.losses.adversarial import RelativisticGAN, VanillaGAN
from superres.models.losses.perceptual import PerceptualLoss
from superres.registry import MODELS
from tests.engine.conftest import ROOT, differences, finish, make_world, start, tiny_options

SMALL = {"type": "EDSR", "channels": 4, "num_blocks": 1, "scale": 2}
CONFIG = """
_base_ = {base!r}
model = dict(
    type='GANRestorer',
    loss=dict(_delete_=True, pixel=dict(type='L1Loss'), perceptual=dict(
        type='PerceptualLoss', layer='conv2_2', weights=None, loss_weight=0.1)),
    discriminator=dict(type='UNetDiscriminator', channels=4),
    adversarial=dict(type='VanillaGAN', loss_weight=0.05))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(discriminator=dict(lr_mult=0.5))))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "gan.py"
    path.write_text(CONFIG.format(base=str(ROOT / "configs/edsr/edsr_x2c64b16_g1_300k_div2k.py")))
    return str(path)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return [
        *tiny_options(make_world(tmp_path_factory.mktemp("world"))),
        "max_iters=60",
        "checkpoint_interval=20",
        "val_interval=60",
    ]


DISCRIMINATORS = [
    {"type": "UNetDiscriminator", "channels": 4},
    {"type": "SRGANDiscriminator", "channels": 4, "patch": 32},
]


@pytest.mark.parametrize("discriminator", DISCRIMINATORS, ids=lambda d: d["type"])
def test_each_network_is_moved_by_its_own_loss_only(discriminator, monkeypatch):
    torch.manual_seed(0)
    lq, gt = (torch.rand(2, n, n, 3) for n in (16, 32))
    config = {"type": "GANRestorer", "backbone": SMALL, "discriminator": discriminator}
    model = MODELS.build(config)
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-2))
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    moved: list[set[str]] = []
    step = wrapper.step

    def watched(**options) -> None:
        step(**options)
        moved.append({k for k, v in model.named_parameters() if not torch.equal(v, before[k])})
        before.update({k: v.detach().clone() for k, v in model.named_parameters()})

    monkeypatch.setattr(wrapper, "step", watched)
    told = model.train_step({"inputs": lq, "gt": gt, "meta": [{}, {}]}, wrapper)
    assert [{name.split(".")[0] for name in names} for names in moved] == [
        {"backbone"},
        {"discriminator"},
    ]
    assert {"loss", "loss_adversarial", "loss_discriminator", "fake", "real"} == told.keys()


def test_losses_are_the_papers():
    fake, real = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 1.0])

    def entropy(probability: torch.Tensor) -> torch.Tensor:
        return -torch.log(probability).mean()

    s = torch.sigmoid
    vanilla, relative = VanillaGAN(0.1), RelativisticGAN(0.1)
    torch.testing.assert_close(vanilla.generator(fake, real), 0.1 * entropy(s(fake)))
    torch.testing.assert_close(
        vanilla.discriminator(fake, real), entropy(s(real)) + entropy(1 - s(fake))
    )
    more, less = s(real - fake.mean()), s(fake - real.mean())
    torch.testing.assert_close(
        relative.discriminator(fake, real), (entropy(more) + entropy(1 - less)) / 2
    )
    torch.testing.assert_close(
        relative.generator(fake, real), 0.1 * (entropy(1 - more) + entropy(less)) / 2
    )


def test_several_layers_of_the_perceptual_loss_are_summed():
    def loss(layer: str | dict) -> PerceptualLoss:
        torch.manual_seed(0)  # the same random VGG as far as it goes
        return PerceptualLoss(layer=layer, weights=None, criterion="l1")

    x, y = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    each = [weight * loss(name)(x, y) for name, weight in (("conv1_2", 0.5), ("conv2_2", 2.0))]
    torch.testing.assert_close(loss({"conv1_2": 0.5, "conv2_2": 2.0})(x, y), sum(each))


@pytest.mark.parametrize("discriminator", DISCRIMINATORS, ids=lambda d: d["type"])
def test_a_patch_that_does_not_fit_is_one_message(discriminator):
    with pytest.raises(UserError, match="lq_patch_size"):
        MODELS.build(discriminator)(torch.zeros(1, 3, 36, 36))


def test_killed_and_resumed_it_is_bit_equal(config, options, tmp_path):
    def command(work: Path, *flags: str) -> list[str]:
        train = [sys.executable, str(ROOT / "tools/train.py"), config, "--work-dir", str(work)]
        return [*train, *flags, "--cfg-options", *options]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(command(whole)))
    process = start(command(killed))
    while not (killed / "iter_20.pth").is_file():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.kill()
    process.communicate()
    finish(start(command(killed, "--resume")))
    assert differences(whole / "iter_60.pth", killed / "iter_60.pth") == []
    groups = read_checkpoint(whole / "iter_60.pth")["optimizer"]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {1e-3, 5e-4}


def test_two_ranks_are_as_one(config, options, tmp_path):
    options = [*options, "max_iters=20", "val_sets=[]", "test_sets=[]"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["train", config, "--work-dir", str(one), "--cfg-options", *options]) == 0
    script = ["bash", str(ROOT / "tools/dist_train.sh"), config, "2", "--work-dir", str(two)]
    finish(start([*script, "--cfg-options", *options], PYTHON=sys.executable))
    states = [read_checkpoint(work / "iter_20.pth")["state_dict"] for work in (one, two)]
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-5, atol=1e-5, msg=key)
