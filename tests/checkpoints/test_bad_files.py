"""Files that must be refused with one message that says what is wrong."""

import os
import pickle

import pytest
import torch

from superres.checkpoints import load_model, read_weights, save_safetensors
from superres.errors import UserError


class Payload:
    """A pickle of this runs a shell command when it is opened carelessly."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, zipped):
    marker = tmp_path / "ran"
    file = tmp_path / "evil.pth"
    torch.save(
        {"state_dict": {"conv_first.weight": Payload(marker)}},
        file,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match=r"refused.*run code.*system.*Safe are"):
        read_weights(file)
    assert not marker.exists()


def test_plain_pickle_of_code(tmp_path):
    marker = tmp_path / "ran"
    file = tmp_path / "evil.pt"
    file.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(UserError, match=r"evil\.pt"):
        read_weights(file)
    assert not marker.exists()


def test_a_whole_module_of_no_network(tmp_path):
    file = tmp_path / "module.pt"
    torch.save(torch.nn.Conv2d(3, 3, 3), file)
    with pytest.raises(UserError, match=r"not known here; its keys are .*: bias, weight"):
        read_weights(file)


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


def test_programs_are_no_weights(tmp_path):
    for name, content in (
        ("edsr.onnx", b"\x08\x08\x12\x08superres"),
        ("edsr.xml", b'<?xml version="1.0"?>\n<net name="Model0" version="11">'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: this is a program.*weight file that it was"):
            load_model(tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_truncated(edsr_pytorch, tmp_path, part, zipped):
    file = tmp_path / "x2.pt"
    torch.save(edsr_pytorch[1], file, _use_new_zipfile_serialization=zipped)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UserError, match="truncated or damaged"):
        read_weights(file, format="edsr-pytorch")


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_truncated_safetensors(build, tmp_path, part):
    from superres.checkpoints import save_safetensors

    network, config = build()
    file = save_safetensors(tmp_path / "x2.safetensors", network, config)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UserError, match="truncated or damaged"):
        read_weights(file)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"gone\.pth: no such weight file"):
        load_model(tmp_path / "gone.pth")
    with pytest.raises(UserError, match="weight files there: none"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_diverged(edsr_pytorch, tmp_path, value):
    state = edsr_pytorch[1]
    state["body.1.body.2.weight"][0, 0, 0, 0] = value
    file = tmp_path / "nan.pt"
    torch.save(state, file)
    with pytest.raises(UserError, match=r"body\.1\.body\.2\.weight.*diverged"):
        read_weights(file, format="edsr-pytorch")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update({"aux_head.weight": torch.zeros(2)}), r"unexpected aux_head\.weight"),
        (lambda s: s.pop("body.1.body.2.bias"), r"missing body\.1\.body\.2\.bias"),
        (
            lambda s: s.update({"body.0.body.0.weight": torch.zeros(8, 8, 5, 5)}),
            r"body\.0\.body\.0\.weight is 8x8x5x5, not 8x8x3x3",
        ),
        (lambda s: s.pop("body.0.body.0.weight"), "missing|looks like"),
        (lambda s: s.pop("tail.1.weight"), "tail.1.weight"),
        (lambda s: s.update({"epoch": 3}), "'epoch' is int, not a tensor"),
        (
            lambda s: s.update({"tail.0.0.weight": torch.zeros(40, 8, 3, 3)}),
            r"stages of \[5\] times",
        ),
    ],
)
def test_strict(edsr_pytorch, tmp_path, change, words):
    state = edsr_pytorch[1]
    change(state)
    file = tmp_path / "x2.pt"
    torch.save(state, file)
    with pytest.raises(UserError, match=words):
        read_weights(file, format="edsr-pytorch")


def test_another_network_names_the_nearest_format_and_the_difference(tmp_path):
    other = {}
    for i in range(2):
        for k in (1, 2, 3):
            for c in (1, 2, 3, 4, 5):
                other[f"body.{i}.dense{k}.conv{c}.weight"] = torch.zeros(4, 4, 3, 3)
    for name in ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"):
        other[f"{name}.weight"] = other[f"{name}.bias"] = torch.zeros(4)
    file = tmp_path / "esrgan.pth"
    torch.save({"params_ema": other}, file)
    with pytest.raises(UserError, match=r"Nearest is \w+ as .*missing .*conv.*unexpected .*dense#"):
        read_weights(file)
    resnet = {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(64)}
    resnet |= {"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3), "fc.weight": torch.zeros(9, 9)}
    torch.save(resnet, file)
    with pytest.raises(UserError, match=r"esrgan\.pth: the weights of a network that is not known"):
        read_weights(file)


@pytest.mark.parametrize("tree", [[1, 2], {"epoch": 3}, torch.zeros(3), {"state_dict": {}}])
def test_no_state_dict_inside(tmp_path, tree):
    file = tmp_path / "odd.pth"
    torch.save(tree, file)
    with pytest.raises(UserError, match="holds no state dict"):
        read_weights(file)


def test_wrong_format_says_what_it_looks_like(build, tmp_path):
    network, _ = build()
    file = tmp_path / "x2.pth"
    torch.save(network.state_dict(), file)
    with pytest.raises(UserError, match="not those of format 'basicsr'; they look like mmediting"):
        read_weights(file, format="basicsr")


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
    file = tmp_path / "w.safetensors"
    save_safetensors(file, *build(res_scale=0.1))
    data = file.read_bytes()
    file.write_bytes(data.replace(b'res_scale\\": 0.1', b'res_scale\\": 0.3'))
    assert file.read_bytes() != data
    with pytest.raises(UserError, match="checksum of metadata superres_config is wrong"):
        read_weights(file)


def test_a_spandrel_that_cannot_be_imported_comes_second(tmp_path, monkeypatch):
    """What is wrong with the file is said first."""
    from superres.checkpoints import spandrel_networks as spandrel

    def broken():
        raise spandrel.Broken("spandrel is installed, but cannot be imported (odd)")

    monkeypatch.setattr(spandrel, "package", broken)
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"a\.pth: the weights of a network .* \(spandrel is inst"):
        load_model(path)
