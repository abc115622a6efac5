"""Files that are nearly right, and what a caller says against them."""

import argparse
import json
import os
import sys

import numpy as np
import pytest
import torch

from superres.checkpoints import convert, load_model, read_weights, save_safetensors
from superres.errors import UserError


@pytest.fixture
def weights(build, tmp_path):
    """MMEditing's EDSR x2, saved after a change."""

    def save(change=lambda state: None, **beside):
        network, _ = build()
        state = {f"generator.{k}": v for k, v in network.state_dict().items()}
        state = change(state) or state
        torch.save({"state_dict": state, **beside}, tmp_path / "x2.pth")
        return tmp_path / "x2.pth"

    return save


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda v: (v * 10).to(torch.int8), "torch.int8"),
        (lambda v: v.to(torch.complex64), "torch.complex64"),
        (lambda v: v.to_sparse(), "torch.sparse_coo"),
        (lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "torch.qint8"),
        (lambda v: v.to("meta"), "without values"),
    ],
)
def test_tensors_that_are_no_weights(weights, make, words):
    file = weights(lambda state: {key: make(value) for key, value in state.items()})
    with pytest.raises(UserError, match=rf"x2\.pth: 'conv_first\.weight' is a tensor.*{words}"):
        read_weights(file)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_points_are_read(weights, dtype):
    state = read_weights(
        weights(lambda state: {key: value.to(dtype) for key, value in state.items()})
    ).state_dict
    assert {value.dtype for value in state.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("conv_first.weight", (8,)),
        ("conv_first.weight", ()),
        ("conv_first.weight", (0, 3, 3, 3)),
        ("upsample.0.upsample_conv.weight", (32, 0, 3, 3)),
    ],
)
def test_impossible_shapes(weights, key, shape):
    file = weights(lambda state: state.update({f"generator.{key}": torch.zeros(shape)}))
    with pytest.raises(UserError, match=r"x2\.pth: .*(shape|[45] times)"):
        read_weights(file)


def test_a_number_for_a_key(weights):
    with pytest.raises(UserError, match="unexpected 3"):
        read_weights(weights(lambda state: state.update({3: torch.zeros(2)})))


def test_numpy_numbers_beside_the_weights_are_harmless(weights):
    meta = {"psnr": np.float64(3), "epoch": np.int64(4), "curve": np.arange(3, dtype=np.float32)}
    assert read_weights(weights(meta=meta)).config["scale"] == 2


def test_objects_beside_the_weights_are_left_out(weights, caplog):
    from mmengine.logging import HistoryBuffer

    hub = {"log_scalars": {"loss": HistoryBuffer([1.0], [1])}}
    psnr = np.float64(3)
    found = read_weights(weights(args=argparse.Namespace(lr=1), message_hub=hub, psnr=psnr))
    assert found.config["scale"] == 2
    assert "objects in it are left out: argparse.Namespace (1), mmengine.logging" in caplog.text


class Renamed(torch.nn.Module):
    """Stands for the class of a program that is not here."""


@pytest.mark.parametrize("zipped", [False, True], ids=["before 1.6", "since"])
@pytest.mark.parametrize("whole", [False, True], ids=["under model", "the module itself"])
def test_a_pickled_module_is_read_as_its_state_dict(zipped, whole, build, tmp_path, monkeypatch):
    network = build()[0]
    convention = "mmediting"
    renamed = Renamed()
    for name, child in network.named_children():
        renamed.add_module(name, child)
    renamed.register_parameter("unused", None)
    path = tmp_path / "whole.pth"
    tree = renamed if whole else {"epoch": 3, "model": renamed}
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.delattr(sys.modules[__name__], "Renamed")
    found = read_weights(path, convention)
    torch.save(network.state_dict(), tmp_path / "plain.pth")
    plain = read_weights(tmp_path / "plain.pth", convention)
    assert found.config == plain.config
    assert found.state_dict.keys() == plain.state_dict.keys()
    assert all(torch.equal(value, plain.state_dict[k]) for k, value in found.state_dict.items())


def test_what_a_pickled_object_asks_to_call_is_not_called(weights, tmp_path):
    class Caller:
        def __reduce__(self):
            return open, (str(tmp_path / "made"), "w")

    with pytest.raises(UserError, match=r"would run code: the pickle calls (io|_io)\.open"):
        read_weights(weights(hook=Caller()))
    assert not (tmp_path / "made").exists()


def test_meta_that_is_no_dict(build, tmp_path):
    state = {f"backbone.{key}": value for key, value in build()[0].state_dict().items()}
    torch.save({"state_dict": state, "meta": "none"}, tmp_path / "own.pth")
    with pytest.raises(UserError, match="without its model's config"):
        read_weights(tmp_path / "own.pth")


@pytest.mark.parametrize("scale", ["2", True, 2.5])
def test_a_scale_that_is_no_whole_number(weights, scale):
    with pytest.raises(UserError, match="whole number"):
        load_model(weights(), scale=scale)
    assert load_model(weights(), scale=np.int64(2)).scale == 2


def test_hints_that_the_file_contradicts(weights, build, tmp_path):
    assert read_weights(weights(), res_scale=0.1).config["res_scale"] == 0.1
    with pytest.raises(UserError, match=r"x2\.pth: its network, EDSR, has no depth"):
        read_weights(weights(), depth=3)
    with pytest.raises(UserError, match="asked for channels = 64, but the file says 8"):
        read_weights(weights(), channels=64)
    own = save_safetensors(tmp_path / "own.safetensors", *build())
    with pytest.raises(UserError, match=r"asked for res_scale = 0\.1, but the file says 1"):
        convert(own, tmp_path / "out.pth", to="basicsr", res_scale=0.1)
    for factor in (0, -1, float("nan"), "x"):
        with pytest.raises(UserError, match="res_scale must be a positive number"):
            read_weights(weights(), res_scale=factor)


@pytest.mark.parametrize("value", ["big", None, True, float("inf")])
def test_config_json_with_a_residual_scale_that_is_none(edsr_pytorch, tmp_path, value):
    torch.save(edsr_pytorch[1], tmp_path / "pytorch_model_2x.pt")
    (tmp_path / "config.json").write_text(json.dumps({"n_feats": 8, "res_scale": value}))
    with pytest.raises(UserError, match=r"config\.json: res_scale is .*not a number"):
        load_model(tmp_path)


def test_config_json_with_an_unknown_format(edsr_pytorch, tmp_path):
    torch.save(edsr_pytorch[1], tmp_path / "pytorch_model_2x.pt")
    (tmp_path / "config.json").write_text('{"format": "bogus"}')
    with pytest.raises(UserError, match=r"config\.json beside it, format 'bogus' is not known"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update({"sub_mean.weight": torch.zeros(3, 3, 1, 1)}), "loses one"),
        (lambda s: s.update({"sub_mean.weight": torch.zeros(3)}), "3 colour channels"),
        (lambda s: s.update({"sub_mean.bias": torch.zeros(1)}), "3 colour channels"),
        (lambda s: s.pop("add_mean.bias"), r"missing add_mean\.bias"),
    ],
)
def test_mean_shifts_that_cannot_be(edsr_pytorch, tmp_path, change, words):
    state = edsr_pytorch[1]
    change(state)
    torch.save(state, tmp_path / "x2.pt")
    with pytest.raises(UserError, match=words):
        read_weights(tmp_path / "x2.pt", format="edsr-pytorch")


@pytest.mark.parametrize("shared", [True, False])
def test_slopes_of_the_ablation_study_are_all_kept(build, same, tmp_path, shared):
    """One PReLU for all blocks, as the study's code has it, or one for each."""
    network, _ = build("SRCNNAblation", channels=8, num_blocks=3, act="prelu", share_act=shared)
    for number, block in enumerate(network.body):
        torch.nn.init.constant_(block.act.weight, 0.3 if shared else 0.1 * (number + 1))
    names = {"conv_first": "head.0", "conv_last": "tail.1", "upsample.0.upsample_conv": "tail.0.0"}
    names |= {f"body.{i}.conv": f"body.{i}.0" for i in range(3)}
    names |= {f"body.{i}.act": f"body.{i}.1" for i in range(3)}
    state = {}
    for key, value in network.state_dict().items():
        module, _, suffix = key.rpartition(".")
        state[f"{names[module]}.{suffix}"] = value.clone()
    torch.save(state, tmp_path / "model_best.pt")
    assert read_weights(tmp_path / "model_best.pt").config["share_act"] is shared
    same(load_model(tmp_path / "model_best.pt"), network)
    done = convert(tmp_path / "model_best.pt", tmp_path / "own.safetensors")
    same(load_model(done.path), network)


def test_the_line_about_a_file_is_one_line(weights):
    odd = weights().rename(weights().parent / "a\nb\té.pth")
    assert read_weights(odd).summary.startswith(r"a\nb\té.pth: mmediting weights")


def test_a_name_that_no_file_can_have():
    with pytest.raises(UserError, match="no such weight file"):
        load_model("a" * 400)


def test_a_device_that_is_not_there(weights):
    with pytest.raises(UserError, match=r"device 'mtia'.*pass device='cpu'"):
        load_model(weights(), device="mtia")


class TestConvertDamagesNothing:
    def test_a_pickle_is_no_safetensors(self, weights, tmp_path):
        out = tmp_path / "old.safetensors"
        out.write_bytes(b"precious")
        with pytest.raises(UserError, match=r"old\.safetensors: .*name it \.pth"):
            convert(weights(), out, to="basicsr")
        assert out.read_bytes() == b"precious"

    @pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
    def test_what_is_there_stays_until_the_new_file_was_checked(
        self, weights, tmp_path, monkeypatch, fault
    ):
        out = tmp_path / "old.pth"
        out.write_bytes(b"precious")
        source = weights()

        def fail(*_):
            raise fault

        monkeypatch.setattr(sys.modules[convert.__module__], "_compare", fail)
        for target in ("basicsr", "safetensors"):
            with pytest.raises(fault):
                convert(source, out, to=target)
        assert out.read_bytes() == b"precious"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["old.pth", "x2.pth"]

    def test_a_difference_is_noticed(self, weights, tmp_path, monkeypatch):
        monkeypatch.setattr(sys.modules[convert.__module__], "_compare", lambda *_: float("nan"))
        with pytest.raises(RuntimeError, match="differs"):
            convert(weights(), tmp_path / "out.pth", to="basicsr")
        assert not (tmp_path / "out.pth").exists()

    def test_only_files_are_replaced(self, weights, tmp_path):
        os.mkfifo(tmp_path / "pipe.pth")
        (tmp_path / "folder.pth").mkdir()
        for name in ("pipe.pth", "folder.pth"):
            with pytest.raises(UserError, match="is no file that could be replaced"):
                convert(weights(), tmp_path / name, to="basicsr")
        assert (tmp_path / "pipe.pth").is_fifo()

    def test_a_file_onto_itself(self, weights, same):
        file = weights()
        before = load_model(file)
        convert(file, file, to="basicsr")
        assert read_weights(file).format == "basicsr"
        same(load_model(file), before)

    def test_not_beside_a_config_json_that_misleads(self, build, tmp_path):
        own = save_safetensors(tmp_path / "own.safetensors", *build())
        hub = tmp_path / "hub"
        hub.mkdir()
        (hub / "config.json").write_text('{"model_type": "EDSR", "n_feats": 8}')
        with pytest.raises(UserError, match=r"config\.json: makes weights.*super-image"):
            convert(own, hub / "x2.pt", to="edsr-pytorch")
        assert [p.name for p in hub.iterdir()] == ["config.json"]


def test_whole_numbers_in_a_network_that_is_not_known(tmp_path):
    """They are no fault by themselves: the message is about the network."""
    table = {"relative_position_index": torch.zeros(4, dtype=torch.long), "w": torch.zeros(2)}
    torch.save(table, tmp_path / "swin.pth")
    with pytest.raises(UserError, match="network that is not known"):
        read_weights(tmp_path / "swin.pth")
