"""Every format: there and back with identical outputs, what it cannot hold, and `convert`."""

import inspect
import json

import pytest
import torch

from superres.checkpoints import (
    build_network,
    convert,
    load_model,
    read_weights,
    save_safetensors,
)
from superres.checkpoints import conversion as module
from superres.checkpoints.formats import FORMATS
from superres.errors import UserError

MEAN = (0.4488, 0.4371, 0.4040)
UNIT = {"rgb_mean": None, "img_range": 1.0}
RGB = {"in_channels": 3, "out_channels": 3}
RCAN = {"channels": 16, "num_groups": 2, "num_blocks": 2}
MDSR = {"channels": 16, "num_blocks": 2, "scales": (3,), "res_scale": 0.1, **UNIT}
VDSR = {"channels": 8, "num_layers": 4}
GREY = {"in_channels": 1, "out_channels": 1}
BEFORE = {"upsample": "before"}

# Format, network, its arguments, hints to read it back with.
NETWORKS = [
    *(("edsr-pytorch", "EDSR", {"scale": scale}) for scale in (2, 3, 4, 8)),
    *(("mmediting", "EDSR", {"scale": scale, "img_range": 1.0}) for scale in (2, 3, 4, 8)),
    *(("basicsr", "EDSR", {"scale": scale}) for scale in (2, 3, 4, 8)),
    *(("super-image", "EDSR", {"scale": scale, **UNIT}) for scale in (2, 3, 4, 8)),
    ("bam", "EDSR", {"channels": 16, "attention": "bam", **UNIT}),
    ("basicsr", "EDSR", GREY),
    ("edsr-pytorch", "MDSR", {"channels": 8, "num_blocks": 2}),
    ("edsr-pytorch", "MDSR", {"channels": 8, "num_blocks": 1, "scales": (2, 3, 4, 8)}),
    ("super-image", "MDSR", {**MDSR, "pre_kernel_size": 3}),
    ("super-image", "MDSR", {**MDSR, "attention": "bam"}),
    ("super-image", "MDSR", {**MDSR, "attention": "bam", "attention_in_pre": True}),
    ("super-image", "DRLN", {"channels": 4, "scale": 2, "img_range": 1.0}),
    ("super-image", "DRLN", {"channels": 4, "scale": 3, "attention": "bam"}),
    ("bam", "DRLN", {"channels": 4, "scale": 4, "attention": "bam"}),
    ("bam", "DRLN", {"channels": 4, "scale": 2, "rgb_mean": None}),
    (
        "drln",
        "DRLN",
        {"channels": 4, "scale": 8, "img_range": 255.0, "rgb_mean": [m / 255 for m in MEAN]},
    ),
    ("rcan", "RCAN", {**RCAN, "scale": 3}),
    ("edsr-pytorch", "RCAN", {**RCAN, "scale": 4}),
    ("basicsr", "RCAN", {**RCAN, "scale": 2}),
    ("lornatang", "SRResNet", {"channels": 8, "num_blocks": 2, "scale": 4}),
    ("lornatang", "SRResNet", {"channels": 8, "num_blocks": 1, "bias_before_norm": True}),
    *(("mmediting", "MSRResNet", {"channels": 8, "scale": scale}) for scale in (2, 3, 4)),
    ("basicsr", "MSRResNet", {"channels": 8, "num_blocks": 2, "upsample_act": True}),
    ("mmediting", "SRCNN", {"channels": (8, 4), "kernel_sizes": (9, 5, 5), "scale": 3}, 3),
    ("twtygqyy", "VDSR", VDSR, 1),
    ("yjn870", "SRCNN", {**GREY, "interpolation": "matlab-mirror", "scale": 3}, 3),
    ("edsr-pytorch", "VDSR", {**VDSR, **RGB, "bias": True, "rgb_mean": MEAN, "img_range": 255}, 1),
    ("authierj-task1", "SRCNNAblation", {"num_blocks": 1, **BEFORE, "global_skip": False}, 2),
    ("authierj-task2", "SRCNNAblation", {"num_blocks": 1, **BEFORE}, 2),
    ("authierj", "SRCNNAblation", {**BEFORE}, 2),
    ("authierj", "SRCNNAblation", {"num_blocks": 3}),
    ("authierj", "SRCNNAblation", {"num_blocks": 3, "batch_norm": True}),
    ("authierj", "SRCNNAblation", {"num_blocks": 3, "block": "residual"}),
    ("authierj-lrelu", "SRCNNAblation", {"num_blocks": 3, "act": "lrelu"}),
    ("authierj", "SRCNNAblation", {"num_blocks": 3, "act": "prelu", "share_act": True}),
    ("authierj", "SRCNNAblation", {"num_blocks": 3, "act": "prelu", "batch_norm": True}),
    ("rdn", "RDN", {"channels": 8, "num_blocks": 2, "num_layers": 3, "growth": 4, "scale": 3}),
    (
        "rdn",
        "RDN",
        {
            "channels": 8,
            "num_blocks": 2,
            "num_layers": 3,
            "growth": 4,
            "scale": 2,
            "up_channels": 4,
        },
    ),
    ("real-esrgan", "RRDBNet", {"channels": 8, "num_blocks": 2, "growth": 4, "scale": 2}),
    ("real-esrgan", "SRVGGNetCompact", {"channels": 8, "num_convs": 3}),
]


@pytest.fixture
def own(build, tmp_path):
    """A function that makes a network, and a file of ours with it."""

    def make(type="EDSR", **arguments):
        network, config = build(type, **arguments)
        return network, save_safetensors(tmp_path / "own.safetensors", network, config)

    return make


def test_every_format_is_here():
    assert {f.name for f in FORMATS} - {row[0] for row in NETWORKS} == {"liif"}  # a part only
    for layout in (layout for f in FORMATS for layout in f.layouts):
        assert inspect.getmodule(layout.arguments).__name__.startswith("superres.checkpoints.")


@pytest.mark.parametrize("row", NETWORKS, ids=lambda row: f"{row[0]} {row[1]} {row[2]}")
def test_there_and_back(own, same, tmp_path, row):
    format, kind, arguments, *scale = row
    network, path = own(kind, **arguments)
    done = convert(path, tmp_path / "foreign.pth", to=format)
    assert done.difference < 1e-6
    foreign = load_model(done.path, *scale, format=format)
    back = convert(done.path, tmp_path / "back.safetensors", None, format, *scale)
    assert back.difference == 0
    back = load_model(back.path)
    for each in arguments.get("scales") or getattr(network, "scales", [None]):
        for other in (network, foreign, back) if each else ():
            other.set_scale(each)
        channels = arguments.get("in_channels", 1 if kind == "VDSR" else 3)
        same(network, foreign, channels=channels)
        same(network, back, channels=channels)


@pytest.mark.parametrize("target", ["mmediting", "basicsr", "edsr-pytorch", "super-image"])
def test_residual_scale_and_range_are_folded(own, same, tmp_path, target):
    span = 1.0 if target in ("basicsr", "edsr-pytorch") else 255.0
    mean = {"rgb_mean": None} if target == "super-image" else {}
    network, path = own(res_scale=0.3, img_range=span, **mean)
    done = convert(path, tmp_path / "foreign.pth", to=target)
    assert [note.split(" folded")[0] for note in done.notes[:2]] == [
        "residual scale 0.3",
        f"range 0..{span:g}",
    ]
    loaded = read_weights(done.path, format=target)
    assert (loaded.config["res_scale"], loaded.config["img_range"]) == (1, 256 - span)
    same(build_network(loaded).eval(), network, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "arguments", "target", "words"),
    [
        ("EDSR", {}, "super-image", r"rgb_mean .0\.4488.* here, None there"),
        ("EDSR", UNIT, "mmediting", r"rgb_mean None here, .0\.4488"),
        ("EDSR", {"rgb_std": (0.5, 0.5, 0.5)}, "basicsr", "rgb_std"),
        ("DRLN", {"channels": 4, "img_range": 255.0}, "super-image", "img_range 255.0 here, 1.0"),
        ("RCAN", RCAN, "mmediting", "it has no RCAN"),
        ("MSRResNet", {"channels": 8, "upsample_act": True}, "mmediting", "upsample_act"),
        ("SRCNNAblation", {"act": "prelu"}, "liif", "no SRCNNAblation"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(own, tmp_path, kind, arguments, target, words):
    _, path = own(kind, **arguments)
    with pytest.raises(UserError, match=words):
        convert(path, tmp_path / "sub.pth", to=target)
    assert not (tmp_path / "sub.pth").exists()


def test_super_image_has_a_config_json(own, tmp_path):
    _, path = own(**UNIT)
    folder = tmp_path / "hub"
    folder.mkdir()
    convert(path, folder / "pytorch_model_2x.pt", to="super-image")
    said = json.loads((folder / "config.json").read_text())
    assert (said["n_feats"], said["n_resblocks"], said["res_scale"]) == (8, 2, 1)
    assert load_model(folder, scale=2).scale == 2  # no format needed
    (folder / "config.json").write_text(json.dumps({"model_type": "DRLN"}))
    for target in ("super-image", "bam"):  # beside it, either would be read as DRLN's
        with pytest.raises(UserError, match="describes another network"):
            convert(path, folder / "again.pt", to=target)
    assert not (folder / "again.pt").exists()


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, "differs"])
def test_what_is_there_stays_until_the_new_file_was_checked(own, tmp_path, monkeypatch, fault):
    def fail(*_):
        if fault == "differs":
            return float("nan")
        raise fault

    out = tmp_path / "old.pth"
    out.write_bytes(b"precious")
    _, path = own()
    monkeypatch.setattr(module, "_compare", fail)
    for target in ("basicsr", "safetensors"):
        with pytest.raises(RuntimeError if fault == "differs" else fault):
            convert(path, out, to=target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.pth", path.name]
    assert out.read_bytes() == b"precious"


def test_targets(own, tmp_path, same):
    network, path = own()
    with pytest.raises(UserError, match=r"--to.*safetensors, edsr-pytorch"):
        convert(path, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"old\.safetensors: .*name it \.pth"):
        convert(path, tmp_path / "old.safetensors", to="basicsr")
    file = convert(path, tmp_path / "x.pth", to="basicsr").path
    convert(file, file, to="edsr-pytorch")  # onto itself
    same(load_model(file, format="edsr-pytorch"), network)


def test_slopes_of_the_ablation_study_are_all_kept(own, same, tmp_path):
    """The study's code has one PReLU for all blocks, this file one for each."""
    network, _ = own("SRCNNAblation", num_blocks=3, act="prelu")
    for number, block in enumerate(network.body):
        torch.nn.init.constant_(block.act.weight, 0.1 * (number + 1))
    config = {"type": "SRCNNAblation", "num_blocks": 3, "act": "prelu"}
    path = save_safetensors(tmp_path / "slopes.safetensors", network, config)
    done = convert(path, tmp_path / "model_best.pt", to="authierj")
    assert read_weights(done.path).config["share_act"] is False
    same(load_model(done.path), network)
