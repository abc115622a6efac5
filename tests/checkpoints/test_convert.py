"""Writing, and round trips through every format with identical outputs."""

import json

import pytest
import torch

from superres.checkpoints import (
    build_network,
    convert,
    load_model,
    read_weights,
    save_safetensors,
    warm_start,
)
from superres.errors import UserError

MEAN = (0.4488, 0.4371, 0.4040)
UNIT = {"rgb_mean": None, "img_range": 1.0}

# network, arguments, format, hints to read it back with
ROUND_TRIPS = [
    *[
        ("EDSR", {"scale": s, **numbers}, format, {})
        for s in (2, 3, 4, 8)
        for format, numbers in (
            ("edsr-pytorch", {}),
            ("mmediting", {"img_range": 1.0}),
            ("basicsr", {}),
            ("super-image", UNIT),
        )
    ],
    ("EDSR", {"channels": 16, "attention": "bam", **UNIT}, "bam", {}),
    ("EDSR", {"in_channels": 1, "out_channels": 1}, "basicsr", {}),
    ("MDSR", {"channels": 8, "num_blocks": 2}, "edsr-pytorch", {}),
    ("MDSR", {"channels": 8, "num_blocks": 1, "scales": (2, 3, 4, 8)}, "edsr-pytorch", {}),
    *[
        (
            "MDSR",
            {"channels": 16, "num_blocks": 2, "scales": (3,), "res_scale": 0.1, **UNIT, **more},
            "super-image",
            {},
        )
        for more in (
            {"pre_kernel_size": 3},
            {"attention": "bam"},
            {"attention": "bam", "attention_in_pre": True},
        )
    ],
    ("DRLN", {"channels": 4, "scale": 2, "img_range": 1.0}, "super-image", {}),
    ("DRLN", {"channels": 4, "scale": 3, "attention": "bam"}, "super-image", {}),
    ("DRLN", {"channels": 4, "scale": 4, "attention": "bam"}, "bam", {}),
    ("DRLN", {"channels": 4, "scale": 2, "rgb_mean": None}, "bam", {}),
    (
        "DRLN",
        {"channels": 4, "scale": 8, "img_range": 255.0, "rgb_mean": [m / 255 for m in MEAN]},
        "drln",
        {},
    ),
    ("RCAN", {"channels": 16, "num_groups": 2, "num_blocks": 2, "scale": 3}, "rcan", {}),
    ("RCAN", {"channels": 16, "num_groups": 2, "num_blocks": 2, "scale": 4}, "edsr-pytorch", {}),
    ("SRResNet", {"channels": 8, "num_blocks": 2, "scale": 4}, "lornatang", {}),
    ("SRResNet", {"channels": 8, "num_blocks": 1, "bias_before_norm": True}, "lornatang", {}),
    *[
        ("MSRResNet", {"channels": 8, "num_blocks": 2, "scale": s}, "mmediting", {})
        for s in (2, 3, 4)
    ],
    ("MSRResNet", {"channels": 8, "num_blocks": 2, "upsample_act": True}, "basicsr", {}),
    (
        "SRCNN",
        {"channels": (8, 4), "kernel_sizes": (9, 5, 5), "scale": 3},
        "mmediting",
        {"scale": 3},
    ),
    ("VDSR", {"channels": 8, "num_layers": 4}, "twtygqyy", {"scale": 1}),
    (
        "VDSR",
        {"channels": 8, "num_layers": 4, "in_channels": 3, "out_channels": 3, "bias": True}
        | {"rgb_mean": MEAN, "img_range": 255.0},
        "edsr-pytorch",
        {"scale": 1},
    ),
    *[
        ("SRCNNAblation", {"channels": 8, **more}, format, hints)
        for more, format, hints in (
            (
                {"num_blocks": 1, "upsample": "before", "global_skip": False},
                "authierj-task1",
                {"scale": 2},
            ),
            ({"num_blocks": 1, "upsample": "before"}, "authierj-task2", {"scale": 2}),
            ({"num_blocks": 6, "upsample": "before"}, "authierj", {"scale": 2}),
            ({"num_blocks": 3}, "authierj", {}),
            ({"num_blocks": 3, "batch_norm": True}, "authierj", {}),
            ({"num_blocks": 3, "block": "residual"}, "authierj", {}),
            ({"num_blocks": 3, "act": "lrelu"}, "authierj-lrelu", {}),
            ({"num_blocks": 3, "act": "prelu", "share_act": True}, "authierj", {}),
        )
    ],
]


def both(network, other, same, config):
    for scale in config.get("scales") or [None]:
        if scale:
            network.set_scale(scale)
            other.set_scale(scale)
        same(
            network,
            other,
            channels=network.conv_first.in_channels if hasattr(network, "conv_first") else 3,
        )


@pytest.mark.parametrize(("kind", "arguments", "format", "hints"), ROUND_TRIPS)
def test_round_trip(build, same, tmp_path, kind, arguments, format, hints):
    network, config = build(kind, **arguments)
    own = save_safetensors(tmp_path / "own.safetensors", network, config)
    done = convert(own, tmp_path / "foreign.pth", to=format)
    assert done.difference < 1e-6
    foreign = load_model(done.path, format=format, **hints)
    both(network, foreign, same, config)
    # and back, from the foreign file
    back = convert(done.path, tmp_path / "back.safetensors", format=format, **hints)
    assert back.difference == 0
    both(network, load_model(back.path), same, config)


@pytest.mark.parametrize("target", ["mmediting", "basicsr", "edsr-pytorch", "super-image"])
def test_residual_scale_and_range_are_folded(build, same, tmp_path, target):
    arguments = {
        "res_scale": 0.3,
        "img_range": 1.0 if target in ("basicsr", "edsr-pytorch") else 255.0,
    }
    if target == "super-image":
        arguments["rgb_mean"] = None
    network, config = build(**arguments)
    own = save_safetensors(tmp_path / "own.safetensors", network, config)
    done = convert(own, tmp_path / "foreign.pth", to=target)
    assert [note.split(" folded")[0] for note in done.notes[:2]] == [
        "residual scale 0.3",
        f"range 0..{arguments['img_range']:g}",
    ]
    loaded = read_weights(done.path, format=target)
    assert loaded.config["res_scale"] == 1
    assert loaded.config["img_range"] == 256 - arguments["img_range"]
    same(build_network(loaded).eval(), network, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "arguments", "target", "words"),
    [
        ("EDSR", {}, "super-image", "those of the format no mean"),
        ("EDSR", UNIT, "mmediting", "it subtracts no mean, those of the format the mean"),
        ("EDSR", {"rgb_std": (0.5, 0.5, 0.5)}, "basicsr", "no rgb_std"),
        ("DRLN", {"channels": 4, "img_range": 255.0}, "super-image", "cannot be rescaled exactly"),
        ("RCAN", {"channels": 16, "num_groups": 1, "num_blocks": 1}, "mmediting", "it has no RCAN"),
        (
            "MSRResNet",
            {"channels": 8, "num_blocks": 1, "upsample_act": True},
            "mmediting",
            "upsample_act",
        ),
        (
            "SRCNNAblation",
            {"channels": 8, "num_blocks": 3, "act": "prelu"},
            "liif",
            "no SRCNNAblation",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_refused(build, tmp_path, kind, arguments, target, words):
    network, config = build(kind, **arguments)
    own = save_safetensors(tmp_path / "own.safetensors", network, config)
    out = tmp_path / "sub.pth"
    with pytest.raises(UserError, match=words):
        convert(own, out, to=target)
    assert not out.exists()


def test_convert_needs_a_target_format(build, tmp_path):
    network, config = build()
    own = save_safetensors(tmp_path / "own.safetensors", network, config)
    with pytest.raises(UserError, match=r"--to.*safetensors, edsr-pytorch"):
        convert(own, tmp_path / "x.pth")


def test_super_image_gets_its_config_json(build, tmp_path):
    network, config = build(**UNIT)
    own = save_safetensors(tmp_path / "own.safetensors", network, config)
    folder = tmp_path / "hub"
    folder.mkdir()
    convert(own, folder / "pytorch_model_2x.pt", to="super-image")
    said = json.loads((folder / "config.json").read_text())
    assert (said["n_feats"], said["n_resblocks"], said["res_scale"]) == (8, 2, 1)
    assert load_model(folder, scale=2).scale == 2  # no format needed
    (folder / "config.json").write_text(json.dumps({"model_type": "DRLN"}))
    with pytest.raises(UserError, match="describes another network"):
        convert(own, folder / "again.pt", to="super-image")


class TestSafetensors:
    def test_state_of_a_restorer(self, build, same, tmp_path):
        network, config = build()
        state = {f"backbone.{k}": v for k, v in network.state_dict().items()}
        state["pixel_loss.weight"] = torch.zeros(1)
        file = save_safetensors(tmp_path / "a.safetensors", state, config)
        same(load_model(file), network)

    def test_config_is_complete_and_plain(self, build, tmp_path):
        network, config = build()
        loaded = read_weights(save_safetensors(tmp_path / "a.safetensors", network, config))
        assert loaded.config["img_range"] == 255
        assert loaded.config["rgb_mean"] == list(MEAN)

    def test_wrong_config_is_a_fault(self, build, tmp_path):
        network, config = build()
        with pytest.raises(ValueError, match="not those of"):
            save_safetensors(tmp_path / "a.safetensors", network, {**config, "num_blocks": 3})

    def test_unwritable_leaves_nothing(self, build, tmp_path):
        network, config = build()
        with pytest.raises(UserError, match="cannot be written"):
            save_safetensors(tmp_path / "none" / "a.safetensors", network, config)
        old = save_safetensors(tmp_path / "a.safetensors", network, config)
        before = old.read_bytes()
        with pytest.raises(ValueError, match="not those of"):
            save_safetensors(old, network, {**config, "channels": 4})
        assert old.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]

    def test_damaged_metadata(self, build, tmp_path):
        import safetensors.torch

        network, _ = build()
        file = tmp_path / "a.safetensors"
        safetensors.torch.save_file(network.state_dict(), file, {"superres_config": "{"})
        with pytest.raises(UserError, match="metadata is damaged"):
            read_weights(file)

    def test_foreign_safetensors_are_recognised_by_keys(self, build, tmp_path):
        import safetensors.torch

        network, _ = build()
        file = tmp_path / "edsr.safetensors"
        safetensors.torch.save_file(network.state_dict(), file)
        assert read_weights(file).format == "mmediting"


class TestWarmStart:
    def test_x2_to_x4_copies_the_first_stage(self, build):
        source, _ = build(seed=1, scale=2)
        target, _ = build(seed=2, scale=4)
        second = target.upsample[1].upsample_conv.weight.detach().clone()
        report = warm_start(target, source.state_dict())
        assert set(report.kept) == {f"upsample.1.upsample_conv.{s}" for s in ("weight", "bias")}
        assert not report.unused
        for key in report.copied:
            assert torch.equal(target.state_dict()[key], source.state_dict()[key])
        assert torch.equal(target.upsample[1].upsample_conv.weight, second)
        assert "conv_last.weight" in report.copied
        assert "left as initialised: upsample.1" in report.summary

    def test_x2_to_x3_leaves_the_upsampler(self, build):
        report = warm_start(build(seed=2, scale=3)[0], build(seed=1, scale=2)[0].state_dict())
        assert set(report.kept) == {f"upsample.0.upsample_conv.{s}" for s in ("weight", "bias")}
        assert "conv_last.bias" in report.copied

    def test_another_network(self, build):
        with pytest.raises(UserError, match=r"body\.2\.conv1\.weight"):
            warm_start(build(num_blocks=3)[0], build()[0].state_dict())
