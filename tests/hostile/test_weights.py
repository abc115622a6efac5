"""Weight files that want to be more than data: nothing in them runs, by whatever road they come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import superres
from superres.checkpoints import load_model, read_weights
from superres.cli.main import main
from superres.errors import UserError
from superres.imaging.io import write_image

CONFIG = "edsr_x2c64b16_g1_300k_div2k"


class Payload:
    """A pickle of this makes a file when it is opened carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def evil(tmp_path: Path, marker: Path) -> Path:
    """A training checkpoint that makes ``marker`` when it is opened carelessly."""
    path = tmp_path / "iter_3.pth"
    state = {"state_dict": {"backbone.a": torch.zeros(1)}, "optimizer": {}, "x": Payload(marker)}
    torch.save(state, path)
    return path


def with_config(path: Path, config: object) -> Path:
    """A safetensors file with this network config, JSON or text, in its metadata."""
    text = config if isinstance(config, str) else json.dumps(config)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"superres_config": text})
    return path


def picture_in(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_image(folder / "p.png", np.zeros((16, 16, 3), np.uint8))
    return folder


def training(tmp: Path, *flags: str, option: str = "max_iters=1") -> list[str]:
    """The arguments of a training of one step."""
    return [
        *("train", CONFIG, "--work-dir", str(tmp / "w"), *flags),
        *("--cfg-options", option, f"data_root={picture_in(tmp / 'in').parent}"),
        *("train_set=in", "val_sets=[in]", "test_sets=[]", "lq_patch_size=4", "num_workers=0"),
        *("global_batch_size=1", "tensorboard=False"),
    ]


COMMANDS = {
    "upscale": lambda file, tmp: ["upscale", str(picture_in(tmp / "in")), "--model", str(file)],
    "test": lambda file, tmp: ["test", CONFIG, str(file)],
    "convert": lambda file, tmp: ["convert", str(file), str(tmp / "o.pth"), "--to", "basicsr"],
    "export": lambda file, tmp: ["export", "onnx", str(file), str(tmp / "o.onnx")],
    "models info": lambda file, tmp: ["models", "info", str(file)],
    "serve": lambda file, tmp: ["serve", "--model", str(file), "--port", "0"],
    "resume": lambda file, tmp: training(tmp, "--resume", str(file)),
    "load_from": lambda file, tmp: training(tmp, option=f"load_from={file}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_checkpoint_that_runs_code(
    command, evil, marker, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main([str(word) for word in COMMANDS[command](evil, tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "would run code" in said
    assert "weights_only" not in said, "no advice to open it all the same"
    assert not marker.exists()
    assert not list(tmp_path.glob("o.*"))
    with open(evil, "rb") as file:
        assert b"touch" in file.read(), "the payload is there"


# Names that mmengine's look-up would import, or call with the rest as arguments.
@pytest.mark.parametrize(
    "config",
    [
        {"type": "os.mkdir", "path": "MARKER"},
        {"type": "pathlib.Path.touch", "self": "MARKER"},
        {"type": "Restorer", "backbone": {"type": "os.mkdir", "path": "MARKER"}},
        {"type": "EDSR", "scale": 2, "_scope_": "os"},
        {"type": "PerceptualLoss", "weights": "/etc/passwd"},
        {"type": "superres.models.backbones.edsr.EDSR", "scale": 2},
        {"type": ["EDSR"]},
        {"type": 5},
    ],
    ids=lambda config: str(config["type"]),
)
@pytest.mark.parametrize("kind", ["safetensors", "checkpoint"])
def test_a_config_in_a_weight_file_is_data(config, kind, marker, tmp_path):
    config = json.loads(json.dumps(config).replace("MARKER", str(marker)))
    if kind == "safetensors":
        path = with_config(tmp_path / "a.safetensors", config)
    else:
        path = tmp_path / "a.pth"
        tree = {"state_dict": {"backbone.a": torch.zeros(1)}, "meta": {"model": config}}
        if config["type"] == "Restorer":
            config.pop("type")
        torch.save(tree, path)
    with pytest.raises(UserError, match=r"is the name of no network|takes no argument|state_dict"):
        load_model(path)
    assert not marker.exists()


def nested(depth: int) -> list:
    value: list = ["x"]
    for _ in range(depth):
        value = [value] * 10
    return value


def test_configs_that_unfold_without_end(tmp_path):
    itself: list = []
    itself.append(itself)
    path = tmp_path / "a.pth"
    for value in (nested(40), itself):
        config = {"type": "EDSR", "scale": 2, "rgb_mean": value}
        tree = {"state_dict": {"backbone.a": torch.zeros(1)}, "meta": {"model": config}}
        torch.save(tree, path)
        with pytest.raises(UserError, match="nested too deeply"):
            read_weights(path)
    with pytest.raises(UserError, match="metadata is damaged"):
        load_model(with_config(tmp_path / "b.safetensors", "[" * 100_000))
    many = {"type": "EDSR", "scale": 2, "num_blocks": 10**9}
    with pytest.raises(UserError, match="more blocks than the file has tensors"):
        load_model(with_config(tmp_path / "c.safetensors", many))
    own: dict = {}
    own["model"] = own["sd"] = own
    torch.save(own, path)
    with pytest.raises(UserError, match="holds no state dict"):
        read_weights(path)


def test_weights_that_unfold_without_end(tmp_path):
    import zipfile

    path = tmp_path / "a.pth"
    torch.save({"a.weight": torch.zeros(1).as_strided((10**6, 10**6), (0, 0))}, path)
    with pytest.raises(UserError, match="one number repeated"):
        read_weights(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data/0", bytes(65 << 20))
    with pytest.raises(UserError, match="decompression bomb"):
        read_weights(path)


def test_an_enormous_safetensors_header(tmp_path):
    path = tmp_path / "a.safetensors"
    for size in (2**63, 2**40, 101 << 20):
        path.write_bytes(size.to_bytes(8, "little") + b'{"a":1}')
        with pytest.raises(UserError, match="truncated or damaged safetensors"):
            load_model(path)


SHIPPED = Path(superres.__file__).parent / "weights" / "edsr-s_x2.safetensors"


def changed(path: Path, change: dict | None = None, factor: float = 1.0) -> Path:
    """The weights of edsr-s_x2, multiplied, with this in the config of their metadata."""
    with safetensors.safe_open(SHIPPED, framework="pt") as file:
        config = json.loads(file.metadata()["superres_config"]) | (change or {})
        keys = [key for key in file.keys() if key != "superres_config"]  # noqa: SIM118
        state = {key: file.get_tensor(key) * factor for key in keys}
    safetensors.torch.save_file(state, path, {"superres_config": json.dumps(config)})
    return path


@pytest.mark.parametrize(
    "change",
    [
        *({"res_scale": value} for value in (float("nan"), 1e400, "exit()", True, [1])),
        *({"img_range": value} for value in (float("nan"), float("inf"), "255", 0)),
        *({key: [float("nan")] * 3} for key in ("rgb_mean", "rgb_std")),
    ],
    ids=str,
)
def test_numbers_of_a_config_that_are_none(change, tmp_path):
    """They would build a network, and its images would be of any colour."""
    with pytest.raises(UserError, match=r"residual scale|cannot be built here"):
        load_model(changed(tmp_path / "a.safetensors", change))


def test_weights_that_overflow_make_no_picture(tmp_path, capsys):
    weights = str(changed(tmp_path / "a.safetensors", factor=1e30))
    out = tmp_path / "large.png"
    picture = str(picture_in(tmp_path / "in") / "p.png")
    arguments = ["upscale", picture, "-o", str(out), "--model", weights, "--backend", "torch"]
    assert main(arguments) == 1
    assert f"{picture}: the network's output has NaN or infinite" in capsys.readouterr().err
    assert not out.exists()


def test_tensors_of_four_bits(tmp_path):
    path = tmp_path / "a.safetensors"
    head = b'{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}'
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(UserError, match="weights are dense floating-point numbers"):
        read_weights(path)
