"""Recognising formats, what decides between equal keys, and wrappers around state dicts."""

import hashlib
import json

import pytest
import torch

from superres.checkpoints import build_network, detect, load_model, read_weights
from superres.errors import UserError


def save(path, state):
    torch.save(state, path)
    return path


class TestAmbiguous:
    def test_asks(self, edsr_pytorch, tmp_path):
        file = save(tmp_path / "x2.pt", edsr_pytorch[1])
        with pytest.raises(UserError, match=r"x2\.pt.*--format.*'edsr-pytorch'.*'super-image'"):
            read_weights(file)

    def test_format_decides(self, edsr_pytorch, tmp_path, same):
        network, state = edsr_pytorch
        file = save(tmp_path / "x2.pt", state)
        loaded = read_weights(file, format="edsr-pytorch")
        assert loaded.config["img_range"] == 255
        assert "EDSR x2" in loaded.summary
        assert "0..255" in loaded.summary
        same(load_model(file, format="edsr_pytorch"), network)
        other = read_weights(file, format="super-image")
        assert (other.config["rgb_mean"], other.config["img_range"]) == (None, 1.0)

    def test_config_json_decides(self, edsr_pytorch, tmp_path):
        file = save(tmp_path / "pytorch_model_2x.pt", edsr_pytorch[1])
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"n_resblocks": 2, "n_feats": 8, "res_scale": 0.1}))
        loaded = read_weights(tmp_path, scale=2)  # the folder, as super-image has it
        assert (loaded.format, loaded.config["res_scale"]) == ("super-image", 0.1)
        config.write_text(json.dumps({"format": "edsr-pytorch"}))
        assert read_weights(file).config["img_range"] == 255
        config.write_text(json.dumps({"n_resblocks": 16, "n_feats": 8, "res_scale": 1}))
        with pytest.raises(UserError, match=r"n_resblocks = 16.*2.*another file"):
            read_weights(file)
        config.write_text(json.dumps({"colour": "blue"}))
        with pytest.raises(UserError, match="format="):
            read_weights(file)
        config.write_text("{")
        with pytest.raises(UserError, match=r"config\.json: not readable as JSON"):
            read_weights(file)

    @pytest.mark.parametrize("digits", [64, 8])
    def test_known_hash_decides(self, edsr_pytorch, tmp_path, monkeypatch, digits):
        file = save(tmp_path / "official.pt", edsr_pytorch[1])
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:digits]
        monkeypatch.setitem(detect.KNOWN_FILES, digest, "edsr-pytorch")
        assert read_weights(file).format == "edsr-pytorch"

    def test_a_hub_config_says_nothing_about_another_format(self, edsr_pytorch, tmp_path):
        file = save(tmp_path / "x2.pt", edsr_pytorch[1])
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "EDSR", "n_feats": 256, "res_scale": 0.5})
        )
        assert read_weights(file, format="edsr-pytorch").config["res_scale"] == 1

    def test_full_edsr_has_residual_scale_a_tenth(self):
        from superres.checkpoints.formats.edsr_pytorch import published_res_scale

        assert published_res_scale(256, 32) == 0.1
        assert published_res_scale(64, 16) == 1.0


def test_hints_reach_the_network(edsr_pytorch, tmp_path):
    file = save(tmp_path / "x2.pt", edsr_pytorch[1])
    loaded = read_weights(file, format="edsr-pytorch", res_scale=0.1)
    assert build_network(loaded).body[0].res_scale == 0.1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"params": s},
        lambda s: {"params": {}, "params_ema": s},
        lambda s: {"state_dict": {f"generator.{k}": v for k, v in s.items()}, "meta": {"epoch": 3}},
        lambda s: (
            {"state_dict": {f"generator.{k}": v for k, v in s.items()}}
            | {"optimizer": {"state": {}, "param_groups": []}}
        ),
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "epoch": 9},
        lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
        lambda s: {k: v.half() for k, v in s.items()},
    ],
)
def test_wrappers_and_prefixes(build, tmp_path, same, wrap):
    network, _ = build(rgb_mean=(0.4488, 0.4371, 0.4040), img_range=1.0)
    file = save(tmp_path / "w.pth", wrap(network.state_dict()))
    loaded = read_weights(file)
    assert loaded.format == "mmediting"
    assert {v.dtype for v in loaded.state_dict.values()} == {torch.float32}
    same(build_network(loaded).eval(), network, atol=1e-3)


def test_generator_wins_over_its_companions(build, tmp_path):
    network, _ = build()
    state = {f"generator.{k}": v for k, v in network.state_dict().items()}
    extra = {"discriminator.conv.weight": torch.zeros(1), "step_counter": torch.tensor(3)}
    loaded = read_weights(save(tmp_path / "gan.pth", {"state_dict": {**state, **extra}}))
    assert "2 entries beside the generator ignored" in loaded.summary


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


class TestScale:
    def test_wrong(self, edsr_pytorch, tmp_path):
        file = save(tmp_path / "x2.pt", edsr_pytorch[1])
        with pytest.raises(UserError, match="for x2, not x4"):
            load_model(file, scale=4, format="edsr-pytorch")

    def test_needed_where_the_file_cannot_say(self, build, tmp_path):
        network, _ = build("SRCNN", channels=(8, 4))
        file = save(tmp_path / "srcnn.pth", network.state_dict())
        with pytest.raises(UserError, match="pass scale="):
            read_weights(file)
        assert load_model(file, scale=3).scale == 3

    def test_selects_in_mdsr(self, build, tmp_path):
        from superres.checkpoints import save_safetensors

        network, config = build("MDSR", channels=8, num_blocks=1)
        file = save_safetensors(tmp_path / "mdsr.safetensors", network, config)
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


class TestLiif:
    def file(self, edsr_pytorch, tmp_path):
        trunk = {f"encoder.{k}": v for k, v in edsr_pytorch[1].items() if "tail" not in k}
        spec = {"name": "liif", "args": {}, "sd": {**trunk, "imnet.layers.0.bias": torch.zeros(3)}}
        return save(tmp_path / "liif.pth", {"model": spec, "epoch": 1000})

    def test_trunk_only(self, edsr_pytorch, tmp_path):
        file = self.file(edsr_pytorch, tmp_path)
        loaded = read_weights(file)
        assert loaded.partial
        assert loaded.format == "liif"
        assert loaded.config["rgb_std"] == [0.5] * 3
        assert not [k for k in loaded.state_dict if k.startswith(("upsample", "conv_last"))]
        with pytest.raises(UserError, match="cannot enlarge"):
            load_model(file)


class TestOwnCheckpoint:
    def tree(self, network, config):
        state = {f"backbone.{k}": v for k, v in network.state_dict().items()}
        model = {"type": "Restorer", "backbone": config, "pixel_loss": {"type": "L1Loss"}}
        return {"state_dict": state, "meta": {"iter": 7, "model": model, "scale": 2}}

    def test_weights_and_config(self, build, tmp_path, same):
        network, config = build(img_range=1.0, rgb_mean=None)
        file = save(tmp_path / "iter_7.pth", self.tree(network, config))
        loaded = read_weights(file)
        assert (loaded.format, loaded.config["type"]) == ("superres", "EDSR")
        same(load_model(file, scale=2), network)

    def test_ema_is_preferred(self, build, tmp_path, same):
        network, config = build()
        averaged, _ = build(seed=1)
        tree = self.tree(network, config)
        tree["ema_state_dict"] = self.tree(averaged, config)["state_dict"]
        file = save(tmp_path / "iter_7.pth", tree)
        assert "EMA" in read_weights(file).summary
        same(load_model(file), averaged)

    def test_without_config(self, build, tmp_path):
        network, config = build()
        tree = self.tree(network, config)
        del tree["meta"]["model"]
        with pytest.raises(UserError, match="without its model's config"):
            read_weights(save(tmp_path / "iter_7.pth", tree))

    def test_config_of_another_network(self, build, tmp_path):
        network, config = build()
        tree = self.tree(network, {**config, "num_blocks": 3})
        with pytest.raises(UserError, match=r"missing body\.2\.conv1\.weight"):
            read_weights(save(tmp_path / "iter_7.pth", tree))
        tree = self.tree(network, {**config, "widths": 3})
        with pytest.raises(UserError, match=r"cannot be built.*widths"):
            read_weights(save(tmp_path / "iter_7.pth", tree))


def test_load_model_is_ready_to_use(edsr_pytorch, tmp_path):
    file = save(tmp_path / "x2.pt", edsr_pytorch[1])
    network = load_model(file, format="edsr-pytorch", device="cpu")
    assert not network.training
    assert (network.scale, network.receptive_radius) == (2, 8)
    assert not any(t.is_meta for t in (*network.parameters(), *network.buffers()))
    with pytest.raises(UserError, match="not known"):
        load_model(file, format="edsr-pytorch", device="toaster")
    with pytest.raises(UserError, match="not known; choose one of superres, edsr-pytorch"):
        load_model(file, format="caffe")
