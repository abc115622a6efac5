"""One contract for every registered backbone, and the published parameter counts."""

import pytest
import torch
from torch import nn

from superres.errors import UserError
from superres.models.layers import Backbone
from superres.registry import MODELS
from tests.models import ablation_rows

ROWS = ablation_rows()

RGB = {"in_channels": 3, "out_channels": 3}
# Small variants, at least one of every backbone: type, arguments, scales.
TINY = {
    "edsr": ("EDSR", {"channels": 8, "num_blocks": 2, "res_scale": 0.1}, (2, 3, 4, 8)),
    "edsr_bam": ("EDSR", {"channels": 16, "num_blocks": 1, "attention": "bam"}, (2,)),
    "edsr_channel": ("EDSR", {"channels": 16, "num_blocks": 1, "attention": "channel"}, (2,)),
    "mdsr_x2": ("MDSR", {"channels": 8, "num_blocks": 1, "scales": (2,)}, (2,)),
    "mdsr_x8": ("MDSR", {"channels": 8, "num_blocks": 1, "scales": (8,)}, (8,)),
    "mdsr_si": (
        "MDSR",
        {"channels": 16, "num_blocks": 1, "scales": (4,), "pre_kernel_size": 3, "res_scale": 0.1}
        | {"attention": "bam", "attention_in_pre": True, "rgb_mean": None, "img_range": 1.0},
        (4,),
    ),
    "drln": ("DRLN", {"channels": 4}, (3,)),
    "drln_bam": ("DRLN", {"channels": 4, "attention": "bam"}, (2,)),
    "rcan": ("RCAN", {"channels": 16, "num_groups": 1, "num_blocks": 1}, (2, 3, 4, 8)),
    "srresnet": ("SRResNet", {"channels": 8, "num_blocks": 1}, (2, 3, 4)),
    "msrresnet": ("MSRResNet", {"channels": 8, "num_blocks": 1}, (2, 3, 4)),
    "msrresnet_act": ("MSRResNet", {"channels": 8, "num_blocks": 1, "upsample_act": True}, (4,)),
    "rdn": ("RDN", {"channels": 8, "num_blocks": 2, "num_layers": 2, "growth": 4}, (2, 3, 4, 8)),
    "rdn-a": (
        "RDN",
        {"channels": 8, "num_blocks": 2, "num_layers": 2, "growth": 4, "up_channels": 4},
        (2, 3, 4, 8),
    ),
    "rrdbnet": ("RRDBNet", {"channels": 8, "num_blocks": 1, "growth": 4}, (1, 2, 8, 4)),
    "rrdbnet_old": ("RRDBNet", {"channels": 8, "num_blocks": 1, "unshuffle": 1}, (1, 2)),
    "srvgg": ("SRVGGNetCompact", {"channels": 8, "num_convs": 2}, (1, 2, 4)),
    "srvgg_relu": ("SRVGGNetCompact", {"channels": 8, "num_convs": 1, "act": "relu"}, (3,)),
    "srcnn": ("SRCNN", {"channels": (8, 4)}, (1, 2, 3, 4)),
    "srcnn_955": ("SRCNN", {"channels": (8, 4), "kernel_sizes": (9, 5, 5)}, (3,)),
    "srcnn_matlab": ("SRCNN", {"channels": (8, 4), "interpolation": "matlab"}, (2, 3)),
    "vdsr_y": ("VDSR", {"num_layers": 4, "channels": 8}, (1, 2, 3)),
    "vdsr_rgb": ("VDSR", {"num_layers": 3, "channels": 8, "bias": True, **RGB}, (1, 4)),
    **{
        f"ablation_{row}": ("SRCNNAblation", {**preset, "channels": 8, "num_blocks": 2}, (2, 3))
        for row, preset in ROWS.items()
        if row.startswith("clean") or row == "task7-prelu"
    },
}


def config_of(name, scale):
    kind, arguments, _ = TINY[name]
    return {"type": kind, **arguments} | ({} if kind == "MDSR" else {"scale": scale})


CASES = [pytest.param(config_of(n, s), s, id=f"{n}-x{s}") for n in TINY for s in TINY[n][2]]
EACH = [pytest.param(config_of(n, s), s, id=n) for n in TINY for s in TINY[n][2][-1:]]
NO_X5 = ("EDSR", "DRLN", "RCAN", "SRResNet", "MSRResNet", "RDN", "RRDBNet")


def build(config, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(dict(config))


def channels_of(config):
    return config.get("in_channels", 1 if config["type"] == "VDSR" else 3)


def test_every_registered_backbone_is_tested_here():
    kinds = [kind for kind in MODELS.module_dict.values() if issubclass(kind, Backbone)]
    found = {kind.__name__ for kind in kinds if kind.__module__.startswith("superres.")}
    assert found == {kind for kind, _, _ in TINY.values()}


@pytest.mark.parametrize(("config", "scale"), CASES)
def test_forward_gives_scaled_size_for_odd_sizes(config, scale):
    network = build(config).eval()
    assert network.scale == scale
    x = torch.rand(2, channels_of(config), 7, 9)
    with torch.no_grad():
        y = network(x)
    assert y.shape == (2, channels_of(config), 7 * scale, 9 * scale)
    assert y.dtype is torch.float32
    assert torch.isfinite(y).all()
    assert y.std() > 0
    with torch.no_grad():  # each sample by itself, and input not written to
        torch.testing.assert_close(network(x[1:]), y[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("config", "scale"), EACH)
def test_every_live_parameter_gets_a_gradient(config, scale):
    network = build(config).train()
    torch.manual_seed(1)
    x = torch.rand(2, channels_of(config), 6, 5)
    network(x).square().sum().backward()
    dead = {n for n, p in network.named_parameters() if p.requires_grad and p.grad is None}
    assert not dead
    frozen = {n for n, p in network.named_parameters() if not p.requires_grad}
    expected = {"fusions.3.weight", "fusions.3.bias"} if config["type"] == "DRLN" else set()
    assert frozen == expected


@pytest.mark.parametrize(("config", "scale"), EACH)
def test_bf16_is_near_and_a_state_dict_is_the_whole_network(config, scale):
    first, second = build(config, 0).eval(), build(config, 1).eval()
    x = torch.rand(1, channels_of(config), 12, 12)
    with torch.no_grad():
        exact = first(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = first(x)
        assert not torch.equal(exact, second(x))
        second.load_state_dict(first.state_dict(), strict=True)
        assert torch.equal(exact, second(x))
    assert (rough.float() - exact).abs().max() < 0.05 * (exact.max() - exact.min()) + 0.02
    # The numeric convention is a constructor argument and must not travel with the weights.
    assert not [key for key in first.state_dict() if "normalise" in key]


def open_all_paths(network):
    """Positive weights, so that no ReLU hides a path."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.1, 1.0)
            if module.bias is not None:
                nn.init.uniform_(module.bias, 0.1, 1.0)


@pytest.mark.parametrize(
    ("config", "scale"), [c for c in CASES if build(c.values[0]).receptive_radius is not None]
)
def test_receptive_radius(config, scale):
    """The input pixels that can change the output cell of one input pixel, in float64."""
    network = build(config).eval().double()
    open_all_paths(network)
    middle = network.receptive_radius + 2
    size = 2 * middle + 1
    x = torch.rand(1, channels_of(config), size, size, dtype=torch.float64, requires_grad=True)
    cell = slice(middle * scale, (middle + 1) * scale)
    y = network(x)[..., cell, cell]
    (y * torch.rand_like(y)).sum().backward()
    reach = ((x.grad[0] != 0).any(0).nonzero() - middle).abs().max()
    assert int(reach) == network.receptive_radius


@pytest.mark.parametrize(
    ("config", "scale"), [c for c in EACH if build(c.values[0]).receptive_radius is None]
)
def test_no_receptive_radius_means_the_whole_image(config, scale):
    far = []
    for seed in range(6):  # a gate of one hidden unit can be shut by chance
        network = build(config, seed).eval().double()
        x = torch.rand(1, 3, 41, 41, dtype=torch.float64, requires_grad=True)
        network(x)[0, :, :scale, :scale].sum().backward()
        far.append(bool(x.grad[..., -1, -1].abs().max() > 0))
    assert any(far)


@pytest.mark.parametrize(("config", "scale"), EACH)
def test_one_channel(config, scale):
    network = build({**config, "in_channels": 1, "out_channels": 1}).eval()
    assert network(torch.rand(1, 1, 6, 6)).shape == (1, 1, 6 * scale, 6 * scale)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        *(({"type": kind, "scale": 5}, r"scale .*must be .*4.* 8") for kind in NO_X5),
        ({"type": "MDSR", "scales": (2, 5)}, "scale must be one of 2, 3, 4, 8, not 5"),
        ({"type": "MDSR", "pre_kernel_size": 4}, "must be odd"),
        ({"type": "EDSR", "rgb_mean": (0.5, 0.5)}, "rgb_mean has 2 values"),
        ({"type": "EDSR", "img_range": 0}, "positive"),
        ({"type": "EDSR", "attention": "cbam"}, "attention='cbam'"),
        ({"type": "EDSR", "init": "xavier"}, "init='xavier'"),
        ({"type": "VDSR", "in_channels": 3, "out_channels": 1}, "must be equal"),
        ({"type": "VDSR", "num_layers": 1}, "at least 2"),
        ({"type": "MSRResNet", "out_channels": 1}, "must be equal"),
        ({"type": "SRCNNAblation", "upsample": "before", "out_channels": 1}, "must be equal"),
    ],
)
def test_wrong_arguments_are_user_errors(config, words):
    with pytest.raises(UserError, match=words), torch.device("meta"):
        build(config)


@pytest.mark.parametrize("kind", ["EDSR", "MDSR"])
def test_folding_the_residual_scale_changes_nothing(kind):
    network = build({"type": kind, "channels": 16, "num_blocks": 4, "res_scale": 0.1}).eval()
    x = torch.rand(1, 3, 10, 10)
    with torch.no_grad():
        before = network(x)
        network.fold_res_scale()
        after = network(x)
    assert {b.res_scale for b in network.body} == {1.0}
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_mmediting_initialisation_has_its_measured_spread():
    def spread(network):
        return float(torch.stack([b.conv1.weight.detach() for b in network.body]).std())

    network = build({"type": "EDSR", "init": "mmediting"})
    assert spread(network) == pytest.approx(0.0059, abs=1e-4)
    upsampler = float(network.upsample[0].upsample_conv.weight.detach().std())
    assert upsampler == pytest.approx(0.0591, rel=0.02)
    assert network.body[0].conv2.bias.abs().max() == 0
    assert spread(build({"type": "EDSR"})) == pytest.approx(0.0240, rel=0.01)


def test_mdsr_takes_its_scale_by_argument_and_by_attribute():
    network = build({"type": "MDSR", "channels": 8, "num_blocks": 1}).eval()
    x = torch.rand(1, 3, 5, 6)
    assert (network.scales, network.scale) == ((2, 3, 4), 2)
    for scale in (2, 3, 4):
        by_argument = network(x, scale)
        network.set_scale(scale)
        assert by_argument.shape[-2:] == (5 * scale, 6 * scale)
        assert torch.equal(network(x), by_argument)
    for choose in (network.set_scale, lambda scale: network(x, scale)):
        with pytest.raises(UserError, match="no x8"):
            choose(8)


def count(**config):
    return sum(p.numel() for p in build(config).parameters())


BASELINE = (1369859, 1554499, 1517571)  # of EDSR and, by coincidence, of MSRResNet
# Published totals; those that count the two mean shifts as 24 parameters are given without.
COUNTS = [
    *[({"type": "EDSR", "scale": s}, n) for s, n in zip((2, 3, 4), BASELINE, strict=True)],
    ({"type": "EDSR", "scale": 8}, 1665283),
    *[
        ({"type": "EDSR", "channels": 256, "num_blocks": 32, "scale": s}, n)
        for s, n in ((2, 40729603), (3, 43680003), (4, 43089923), (8, 45450243))
    ],
    ({"type": "MDSR"}, 3227227 - 24),
    ({"type": "MDSR", "num_blocks": 80}, 7954011 - 24),
    ({"type": "MDSR", "scales": (2, 3, 4, 8)}, 4080219 - 24),
    ({"type": "MDSR", "scales": (2, 3, 4, 8), "num_blocks": 80}, 8807003 - 24),
    *[
        ({"type": "MDSR", "num_blocks": 32, "scales": (s,), "pre_kernel_size": 3, **bam}, n - 24)
        for bam, counts in (
            ({}, (2699291, 2883931, 2847003)),
            ({"attention": "bam", "attention_in_pre": True}, (2718501, 2903141, 2866213)),
        )
        for s, n in zip((2, 3, 4), counts, strict=True)
    ],
    *[
        ({"type": "DRLN", "scale": s, "attention": attention}, n - 24)
        for attention, counts in (
            ("laplacian", (34430155, 34614795, 34577867, 34725579)),
            ("bam", (34163455, 34348095, 34311167, 34458879)),
        )
        for s, n in zip((2, 3, 4, 8), counts, strict=True)
    ],
    ({"type": "SRResNet"}, 1547350),
    ({"type": "SRResNet", "bias_before_norm": True}, 1549462),
    *[({"type": "MSRResNet", "scale": s}, n) for s, n in zip((2, 3, 4), BASELINE, strict=True)],
    ({"type": "RCAN", "scale": 2}, 15444667 - 24),
    ({"type": "RCAN", "scale": 2, "num_blocks": 4}, 3534883),
    *[({"type": "RDN", "scale": s}, n) for s, n in ((2, 22123395), (3, 22308035), (4, 22271107))],
    ({"type": "RRDBNet"}, 16697987),
    ({"type": "RRDBNet", "scale": 2}, 16703171),
    ({"type": "RRDBNet", "num_blocks": 6}, 4467779),
    ({"type": "SRVGGNetCompact", "num_convs": 32}, 1213296),
    ({"type": "SRVGGNetCompact"}, 621424),
    ({"type": "SRCNN"}, 20099),
    ({"type": "VDSR"}, 664704),
    ({"type": "VDSR", "bias": True, **RGB}, 668251 - 24),
    *[
        ({"type": "SRCNNAblation", **ROWS[row]}, n)
        for row, n in {
            "task1": 40320,
            "task2": 40320,
            "task3": 224640,
            "task4": 94051,
            "task5": 410179,
            "task6": 594371,
            "task7-lrelu": 372419,
            "task7-prelu": 372483,
            "task8-depth16": 704195,
            "task8-depth32": 1294019,
            "task8-width96": 918051,
            "task8-width128": 1629571,
            "task9": 409283,
        }.items()
    ],
]


@pytest.mark.parametrize(("config", "total"), COUNTS)
def test_published_parameter_count(config, total):
    with torch.device("meta"):
        assert count(**config) == total
