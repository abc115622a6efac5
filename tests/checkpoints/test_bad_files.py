"""Files that are refused with one message that says what is wrong, and odd ones that are read."""

import argparse
import os
import pickle
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from superres.checkpoints import convert, load_model, read_weights, save_safetensors
from superres.checkpoints.weight_files import open_weights
from superres.errors import UserError


class Payload:
    """A pickle of this runs a shell command when it is opened carelessly."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


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


@pytest.mark.parametrize("form", ["zip", "before 1.6", "pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, form):
    marker, file = tmp_path / "ran", tmp_path / "evil.pth"
    if form == "pickle":
        file.write_bytes(pickle.dumps(Payload(marker)))
    else:
        tree = {"state_dict": {"conv_first.weight": Payload(marker)}}
        torch.save(tree, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match=r"evil\.pth: refused.*run code.*system.*Safe are"):
        read_weights(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "web page"),
        (b"\n\n  <html lang='en'>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"", "empty"),
        (b"GIF89a whatever this is", "not a weight file"),
        (b"\x80\x02", "truncated or damaged"),
        (b"PK\x03\x04 and then nothing", "truncated or damaged"),
    ],
)
def test_not_weights(tmp_path, content, words):
    file = tmp_path / "edsr.pth"
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"edsr\.pth: .*{words}"):
        load_model(file)


@pytest.mark.parametrize("form", ["zip", "before 1.6", "safetensors"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_truncated(build, tmp_path, part, form):
    network, config = build()
    file = tmp_path / "x2.pt"
    if form == "safetensors":
        save_safetensors(file, network, config)
    else:
        torch.save(network.state_dict(), file, _use_new_zipfile_serialization=form == "zip")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UserError, match="truncated or damaged"):
        read_weights(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_changed_bit_among_the_weights_is_found_and_the_entry_named(build, tmp_path, suffix):
    """Neither torch.load nor safetensors notices one."""
    network, config = build()
    file = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        state = {f"backbone.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": state, "meta": {"model": {"backbone": config}}}, file)
        entry = r"w/data/\d+"
    else:
        save_safetensors(file, network, config)
        entry = r"conv_first\.weight"
    assert read_weights(file).config["type"] == "EDSR"
    data = bytearray(file.read_bytes())
    at = data.index(network.conv_first.weight.detach().numpy().tobytes()) + 17
    data[at] ^= 4
    file.write_bytes(bytes(data))
    with pytest.raises(UserError, match=rf"w{suffix}: damaged, the checksum of {entry} is wrong"):
        read_weights(file)


def test_a_changed_config_of_an_export_is_found(build, tmp_path):
    file = save_safetensors(tmp_path / "w.safetensors", *build(res_scale=0.1))
    data = file.read_bytes()
    file.write_bytes(data.replace(b'res_scale\\": 0.1', b'res_scale\\": 0.3'))
    with pytest.raises(UserError, match="checksum of metadata superres_config is wrong"):
        read_weights(file)
    safetensors.torch.save_file(build()[0].state_dict(), file, {"superres_config": "{"})
    with pytest.raises(UserError, match="metadata is damaged"):
        read_weights(file)


def test_names_of_nothing(tmp_path):
    for name in (tmp_path / "gone.pth", "a" * 400):
        with pytest.raises(UserError, match=r"no such weight file.*published.*edsr_baseline_x2"):
            load_model(name)
    with pytest.raises(UserError, match="weight files there: none"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update({"aux_head.weight": torch.zeros(2)}), "unexpected aux_head"),
        (lambda s: s.update({3: torch.zeros(2)}), "unexpected #"),
        (lambda s: s.pop("tail.1.weight"), "missing tail.1.weight|looks like"),
        (lambda s: [s.pop(f"tail.1.{n}") for n in ("weight", "bias")] and None, "missing tail.#"),
        (lambda s: s.pop("body.1.body.2.bias"), r"missing body\.1\.body\.2\.bias"),
        (lambda s: s.pop("body.0.body.0.weight"), "missing|looks like"),
        (lambda s: s.update({"epoch": 3}), "'epoch' is int, not a tensor"),
        *(
            (lambda s, key=key, shape=shape: s.update({key: torch.zeros(shape)}), words)
            for key, shape, words in (
                ("body.0.body.0.weight", (8, 8, 5, 5), "is 8x8x5x5, not 8x8x3x3"),
                ("tail.0.0.weight", (40, 8, 3, 3), r"stages of \[5\] times"),
                ("tail.0.0.weight", (32, 0, 3, 3), "shape"),
                ("head.0.weight", (8,), "shape"),
                ("head.0.weight", (), "shape"),
                ("head.0.weight", (0, 3, 3, 3), "shape"),
                ("sub_mean.weight", (3, 3, 1, 1), "this network cannot express"),
                ("sub_mean.weight", (3,), "is 3, not 3x3x1x1"),
                ("sub_mean.bias", (1,), "is 1, not 3"),
            )
        ),
        (lambda s: s.pop("add_mean.bias"), r"missing add_mean\.bias"),
        (lambda s: s["tail.1.bias"].fill_(float("nan")), r"tail\.1\.bias.*diverged"),
        (lambda s: s["tail.1.bias"].fill_(float("inf")), r"tail\.1\.bias.*diverged"),
        *(
            (lambda s, make=make: {k: make(v) for k, v in s.items()}, rf"is a tensor.*{words}")
            for make, words in (
                (lambda v: (v * 10).to(torch.int8), "torch.int8"),
                (lambda v: v.to(torch.complex64), "torch.complex64"),
                (lambda v: v.to_sparse(), "torch.sparse_coo"),
                (lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "torch.qint8"),
                (lambda v: v.to("meta"), "without values"),
            )
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_strict(edsr_pytorch, tmp_path, change, words):
    state = edsr_pytorch[1]
    found = change(state)
    torch.save(found if isinstance(found, dict) else state, tmp_path / "x2.pt")
    with pytest.raises(UserError, match=words):
        read_weights(tmp_path / "x2.pt", format="edsr-pytorch")


def test_a_network_that_is_not_known(tmp_path):
    """The nearest format is named where one is near; whole numbers are no fault by themselves."""
    lenet = {f"{n}.weight": torch.zeros(4) for n in ("conv1", "conv2", "fc1", "fc2")}
    near = {f"conv_{n}.weight": torch.zeros(4) for n in ("first", "body", "up1", "hr", "last")}
    near |= {f"body.{i}.dense{k}.conv1.weight": torch.zeros(4) for i in (0, 1) for k in (1, 2)}
    far = {
        f"{n}.weight": torch.zeros(9) for n in ("conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1")
    }
    far["index"] = torch.zeros(4, dtype=torch.long)
    for tree, words in (
        ({"params_ema": near}, r"nearest is RRDBNet of .*missing body.*unexpected .*dense#"),
        (lenet, r"not known here; its keys are .*: conv#.weight, fc#.weight"),
        (far, r"odd\.pth: the weights of a network that is not known here; its keys are"),
        (torch.nn.Conv2d(3, 3, 3), r"not known here; its keys are .*: bias, weight"),
    ):
        torch.save(tree, tmp_path / "odd.pth")
        with pytest.raises(UserError, match=words):
            read_weights(tmp_path / "odd.pth")
    for tree in ([1, 2], {"epoch": 3}, torch.zeros(3), {"state_dict": {}}):
        torch.save(tree, tmp_path / "odd.pth")
        with pytest.raises(UserError, match="holds no state dict"):
            read_weights(tmp_path / "odd.pth")


def test_wrong_format_says_what_it_looks_like(weights):
    with pytest.raises(UserError, match="not those of format 'basicsr'; they look like mmediting"):
        read_weights(weights(), format="basicsr")


def test_a_spandrel_that_cannot_be_imported_comes_second(tmp_path, monkeypatch):
    """What is wrong with the file is said first."""
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: the weights of a network .* \(the package span"):
        load_model(tmp_path / "a.pth")


def test_objects_beside_the_weights_are_left_out(weights, caplog):
    meta = {"psnr": np.float64(3), "epoch": np.int64(4), "curve": np.arange(3, dtype=np.float32)}
    assert read_weights(weights(meta=meta)).config["scale"] == 2
    assert not caplog.text
    found = open_weights(weights(meta=meta, args=argparse.Namespace(lr=1)))[0]
    assert found["meta"]["psnr"] == 3
    assert "objects in it are left out: argparse.Namespace (1)" in caplog.text


class Renamed(torch.nn.Module):
    """Stands for the class of a program that is not here."""


@pytest.mark.parametrize("zipped", [False, True], ids=["before 1.6", "since"])
@pytest.mark.parametrize("whole", [False, True], ids=["under model", "the module itself"])
def test_a_pickled_module_is_read_as_its_state_dict(zipped, whole, build, tmp_path, monkeypatch):
    network = build()[0]
    renamed = Renamed()
    for name, child in network.named_children():
        renamed.add_module(name, child)
    renamed.register_parameter("unused", None)
    path = tmp_path / "whole.pth"
    tree = renamed if whole else {"epoch": 3, "model": renamed}
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.delattr(sys.modules[__name__], "Renamed")
    found, wanted = read_weights(path, "mmediting").state_dict, network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[k]) for k, value in found.items())


def test_what_a_caller_says_against_a_file(weights, build, tmp_path):
    file = weights()
    for scale in ("2", True, 2.5):
        with pytest.raises(UserError, match="whole number"):
            load_model(file, scale=scale)
    assert load_model(file, scale=np.int64(2)).scale == 2
    assert read_weights(file, res_scale=0.1).config["res_scale"] == 0.1
    with pytest.raises(UserError, match=r"x2\.pth: its network, EDSR, has no depth"):
        read_weights(file, depth=3)
    with pytest.raises(UserError, match="asked for channels = 64, but the file says 8"):
        read_weights(file, channels=64)
    own = save_safetensors(tmp_path / "own.safetensors", *build())
    with pytest.raises(UserError, match=r"asked for res_scale = 0\.1, but the file says 1"):
        convert(own, tmp_path / "out.pth", to="basicsr", res_scale=0.1)
    for factor in (0, -1, float("nan"), "x"):
        with pytest.raises(UserError, match="res_scale must be a positive number"):
            read_weights(file, res_scale=factor)
    for device in ("mtia", "toaster"):
        with pytest.raises(UserError, match=rf"device '{device}'.*pass device='cpu'"):
            load_model(file, device=device)


def test_the_line_about_a_file_is_one_line(weights):
    odd = weights().rename(weights().parent / "a\nb\té.pth")
    assert read_weights(odd).summary.startswith(r"a\nb\té.pth: mmediting weights")
