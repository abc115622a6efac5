"""Recognising formats, what decides between equal keys, and what is around state dicts."""

import hashlib
import json

import pytest
import safetensors.torch
import torch

from superres.checkpoints import (
    build_network,
    load_model,
    read_weights,
    save_safetensors,
    warm_start,
    zoo,
)
from superres.errors import UserError


def save(path, state):
    torch.save(state, path)
    return path


class TestAmbiguous:
    @pytest.fixture
    def file(self, edsr_pytorch, tmp_path):
        return save(tmp_path / "pytorch_model_2x.pt", edsr_pytorch[1])

    def test_format_decides(self, file, edsr_pytorch, same):
        with pytest.raises(UserError, match=r"2x\.pt.*--format.*'edsr-pytorch'.*'super-image'"):
            read_weights(file)
        loaded = read_weights(file, format="edsr-pytorch", res_scale=0.1)
        assert (loaded.config["img_range"], loaded.config["res_scale"]) == (255, 0.1)
        assert build_network(loaded).body[0].res_scale == 0.1
        assert "EDSR x2; channels 8; num_blocks 2; range 0..255" in loaded.summary
        network = load_model(file, format="edsr_pytorch", device="cpu")
        same(network, edsr_pytorch[0])
        assert (network.training, network.scale, network.receptive_radius) == (False, 2, 8)
        other = read_weights(file, format="super-image")
        assert (other.config["rgb_mean"], other.config["img_range"]) == (None, 1.0)
        with pytest.raises(UserError, match="not known; choose one of superres, edsr-pytorch"):
            load_model(file, format="caffe")

    def test_config_json_decides(self, file, tmp_path):
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"n_resblocks": 2, "n_feats": 8, "res_scale": 0.1}))
        loaded = read_weights(tmp_path, scale=2)  # the folder, as super-image has it
        assert (loaded.format, loaded.config["res_scale"]) == ("super-image", 0.1)
        # It says nothing of a file of another format.
        assert read_weights(file, format="edsr-pytorch").config["res_scale"] == 1

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ('{"n_resblocks": 16, "n_feats": 8}', r"n_resblocks = 16.*2.*another file"),
            ('{"colour": "blue"}', "format="),
            ("{", r"config\.json: not readable as a JSON object"),
            *(
                (f'{{"n_feats": 8, "res_scale": {value}}}', r"config\.json: .* positive number")
                for value in ('"big"', "null", "true", "Infinity", "NaN", "-1")
            ),
        ],
    )
    def test_a_config_json_that_does_not_help(self, file, tmp_path, content, words):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UserError, match=words):
            read_weights(file)

    def test_known_hash_decides(self, file, monkeypatch):
        digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        published = zoo.Published(f"https://example.org/x2-{digits}.pt", "edsr-pytorch")
        monkeypatch.setitem(zoo.PUBLISHED, "x2", published)
        assert read_weights(file).format == "edsr-pytorch"


def generator(state):
    return {f"generator.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"params": s},
        lambda s: {"params": {}, "params_ema": s},
        lambda s: {"state_dict": generator(s), "meta": {"epoch": 3}},
        lambda s: {"state_dict": generator(s), "optimizer": {"state": {}, "param_groups": []}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "epoch": 9},
        lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
        lambda s: {"final_model_state_dict": s, "epoch": 3},
        *(
            lambda s, dtype=dtype: {k: v.to(dtype) for k, v in s.items()}
            for dtype in (torch.float16, torch.bfloat16, torch.float64)
        ),
    ],
)
def test_wrappers_prefixes_and_types(build, tmp_path, same, wrap):
    network, _ = build(rgb_mean=(0.4488, 0.4371, 0.4040), img_range=1.0)
    loaded = read_weights(save(tmp_path / "w.pth", wrap(network.state_dict())))
    assert loaded.format == "mmediting"
    assert {v.dtype for v in loaded.state_dict.values()} == {torch.float32}
    same(build_network(loaded).eval(), network, atol=1e-2)


def test_generator_wins_over_its_companions(build, tmp_path):
    state = generator(build()[0].state_dict())
    extra = {"discriminator.conv.weight": torch.zeros(1), "step_counter": torch.tensor(3)}
    loaded = read_weights(save(tmp_path / "gan.pth", {"state_dict": {**state, **extra}}))
    assert "2 entries beside the generator ignored" in loaded.summary
    # Keys, not suffixes, tell what a file is.
    safetensors.torch.save_file(build()[0].state_dict(), tmp_path / "edsr.safetensors")
    assert read_weights(tmp_path / "edsr.safetensors").format == "mmediting"


class TestMeanShift:
    def test_trained_away_from_the_constants(self, edsr_pytorch, tmp_path):
        """Older releases trained the shift by accident; the result must be that network."""
        network, state = edsr_pytorch
        torch.manual_seed(4)
        for name in ("sub_mean", "add_mean"):
            state[f"{name}.weight"] = state[f"{name}.weight"] + 0.05 * torch.randn(3, 3, 1, 1)
            state[f"{name}.bias"] = state[f"{name}.bias"] + torch.randn(3)
        loaded = read_weights(save(tmp_path / "t.pt", state), format="edsr-pytorch")
        assert "differs from the published constants" in loaded.summary
        ours = build_network(loaded).eval()
        x = torch.rand(1, 3, 9, 8)
        conv = torch.nn.functional.conv2d
        with torch.no_grad():
            y = network.conv_first(conv(x * 255, state["sub_mean.weight"], state["sub_mean.bias"]))
            y = network.conv_last(network.upsample(y + network.conv_after_body(network.body(y))))
            y = conv(y, state["add_mean.weight"], state["add_mean.bias"]) / 255
            torch.testing.assert_close(ours(x), y, rtol=0, atol=2e-6)

    def test_absent_is_the_published_mean(self, edsr_pytorch, tmp_path, same):
        network, state = edsr_pytorch
        bare = {k: v for k, v in state.items() if "mean" not in k}
        loaded = read_weights(save(tmp_path / "b.pt", bare), format="edsr-pytorch")
        assert "published mean" in loaded.summary
        same(build_network(loaded).eval(), network)


def test_scales(build, edsr_pytorch, tmp_path):
    file = save(tmp_path / "x2.pt", edsr_pytorch[1])
    with pytest.raises(UserError, match="for x2, not x4"):
        load_model(file, scale=4, format="edsr-pytorch")
    file = save(tmp_path / "srcnn.pth", build("SRCNN", channels=(8, 4))[0].state_dict())
    with pytest.raises(UserError, match="pass scale="):
        read_weights(file)
    assert load_model(file, scale=3).scale == 3
    mdsr = build("MDSR", channels=8, num_blocks=1)
    file = save_safetensors(tmp_path / "mdsr.safetensors", *mdsr)
    assert load_model(file, scale=3).scale == 3
    with pytest.raises(UserError, match="x2 and x3 and x4, not x8"):
        load_model(file, scale=8)


def test_ablation_rows_that_share_keys(build, tmp_path):
    network, _ = build("SRCNNAblation", num_blocks=1, upsample="before", channels=8)
    table = {"conv_first": "body.0.0", "body.0.conv": "body.1.0", "conv_last": "body.2.0"}
    state = {f"{table[k.rpartition('.')[0]]}.weight": v for k, v in network.state_dict().items()}
    file = save(tmp_path / "model_best.pt", state)
    with pytest.raises(UserError, match="authierj-task1"):
        read_weights(file, scale=2)
    assert read_weights(file, "authierj-task1", 2).config["global_skip"] is False
    assert read_weights(file, "authierj-task2", 2).config["global_skip"] is True


def test_liif_holds_the_trunk_only(edsr_pytorch, tmp_path):
    trunk = {f"encoder.{k}": v for k, v in edsr_pytorch[1].items() if "tail" not in k}
    spec = {"name": "liif", "args": {}, "sd": {**trunk, "imnet.layers.0.bias": torch.zeros(3)}}
    file = save(tmp_path / "liif.pth", {"model": spec, "epoch": 1000})
    loaded = read_weights(file)
    assert (loaded.partial, loaded.format, loaded.config["rgb_std"]) == (True, "liif", [0.5] * 3)
    assert not [k for k in loaded.state_dict if k.startswith(("upsample", "conv_last"))]
    with pytest.raises(UserError, match="cannot upscale"):
        load_model(file)


class TestOwn:
    @pytest.fixture
    def tree(self, build):
        def make(seed=0, **changes):
            network, config = build(seed=seed)
            state = {f"backbone.{k}": v for k, v in network.state_dict().items()}
            model = {"type": "Restorer", "backbone": {**config, **changes}}
            return {"state_dict": state, "meta": {"iter": 7, "model": model}}

        return make

    def test_checkpoint(self, build, tree, tmp_path, same):
        file = save(tmp_path / "iter_7.pth", tree())
        loaded = read_weights(file)
        told = loaded.format, loaded.config["type"], loaded.meta["iter"]
        assert told == ("superres", "EDSR", 7)
        same(load_model(file, scale=2), build()[0])
        averaged = {"ema_state_dict": tree(seed=1)["state_dict"]}
        save(file, tree() | averaged)
        assert "EMA" in read_weights(file).summary
        same(load_model(file), build(seed=1)[0])

    def test_a_config_that_is_not_the_networks(self, tree, tmp_path):
        file = tmp_path / "iter_7.pth"
        for content, words in (
            (tree() | {"meta": {"iter": 7}}, "without its model's config"),
            (tree() | {"meta": "none"}, "without its model's config"),
            (tree(num_blocks=3), r"missing body\.2\.conv1\.weight"),
            (tree(widths=3), r"cannot be built.*widths"),
        ):
            with pytest.raises(UserError, match=words):
                read_weights(save(file, content))

    def test_export(self, build, tmp_path, same):
        network, config = build()
        state = {f"backbone.{k}": v for k, v in network.state_dict().items()}
        state["pixel_loss.weight"] = torch.zeros(1)
        file = save_safetensors(tmp_path / "a.safetensors", state, config)
        same(load_model(file), network)
        loaded = read_weights(file)  # complete and plain
        assert loaded.config["img_range"] == 255
        assert loaded.config["rgb_mean"] == [0.4488, 0.4371, 0.4040]
        before = file.read_bytes()
        with pytest.raises(UserError, match="not those of"):
            save_safetensors(file, network, {**config, "channels": 4})
        with pytest.raises(UserError, match="cannot be written"):
            save_safetensors(tmp_path / "none" / "a.safetensors", network, config)
        assert file.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


class TestWarmStart:
    @pytest.mark.parametrize(("scale", "stage"), [(4, 1), (3, 0)])
    def test_the_upsampler_stays_random(self, build, scale, stage):
        """To x4 its first stage is copied, too."""
        source, target = build(seed=1, scale=2)[0], build(seed=2, scale=scale)[0]
        drawn = target.upsample[stage].upsample_conv.weight.detach().clone()
        report = warm_start(target, source.state_dict())
        assert set(report.kept) == {
            f"upsample.{stage}.upsample_conv.{s}" for s in ("weight", "bias")
        }
        for key in report.copied:
            assert torch.equal(target.state_dict()[key], source.state_dict()[key])
        assert torch.equal(target.upsample[stage].upsample_conv.weight, drawn)
        assert "conv_last.weight" in report.copied
        assert f"left as initialised: upsample.{stage}" in report.summary

    def test_another_network(self, build):
        with pytest.raises(UserError, match=r"body\.2\.conv1\.weight"):
            warm_start(build(num_blocks=3)[0], build()[0].state_dict())
