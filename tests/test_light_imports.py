"""Upscaling needs neither torch nor mmengine until a network of torch's is asked for."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import superres
from superres.cli.main import main
from superres.inference.backends import NotConvertible, ncnn_backend
from superres.upscaling import networks

ROOT = Path(superres.__file__).parent
LIGHT = ("superres.cli.upscale", "superres.imaging", "superres.inference", "superres.upscaling")
ADAPTERS = {  # of `superres.inference.backends`: what only a network of torch's leads to
    f"superres.inference.backends.{name}" for name in ("conversion", "pytorch")
}
LOADS = "; print(*sorted({'torch', 'mmengine'} & set(__import__('sys').modules)))"


def loaded(code: str) -> list[str]:
    """Which of torch and mmengine a program has loaded at its end; what it prints is ignored."""
    done = subprocess.run([sys.executable, "-c", code + LOADS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def test_every_module_but_the_adapters():
    names = {
        module.name
        for module in pkgutil.walk_packages([str(ROOT)], "superres.", onerror=lambda name: None)
        if module.name.startswith(LIGHT)
    }
    assert names > ADAPTERS
    names -= ADAPTERS
    assert loaded(f"import {', '.join(sorted(names))}") == []


@pytest.mark.parametrize("name", ["edsr-s", "edsr-photo"])
def test_a_network_that_comes_with_the_package(name, tmp_path):
    pytest.importorskip("ncnn")
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    command = (
        "from superres.cli.main import main; "
        f"assert not main(['upscale', {str(tmp_path / 'a.png')!r}, '--model', {name!r}, "
        "'--device', 'cpu', '--scale', '2', %s])"
    )
    assert loaded(command % "'--backend', 'auto'") == []
    call = f"import superres; superres.upscale({str(tmp_path / 'a.png')!r}, {name!r}, 2)"
    assert loaded(call) == []
    found = np.array(Image.open(tmp_path / "a_x2.png")).astype(int)
    # What was made on one back end is not made again on another.
    assert loaded(command % "'--backend', 'torch'") == ["mmengine", "torch"]
    wanted = superres.load_model(name, 2, device="cpu").upscale(image, backend="torch")
    assert np.abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 1e-3


def test_an_exported_network_on_the_command_line(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from superres.export import export

    weights = ROOT / "weights" / "edsr-s_x2.safetensors"
    export(weights, tmp_path / "net.onnx", "onnx")
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    command = (
        "from superres.cli.main import main; "
        f"assert not main(['upscale', {str(tmp_path / 'a.png')!r}, '--backend', 'onnxruntime', "
        f"'--model', {str(tmp_path / 'net.onnx')!r}, '--tile', '40', '--scale', '%s'])"
    )
    for scale in ("2", "1.5"):
        assert loaded(command % scale) == []
        found = np.array(Image.open(tmp_path / f"a_x{scale}.png")).astype(int)
        network = superres.load_model(weights, device="cpu")
        wanted = network.upscale(image, scale=float(scale), backend="torch")
        assert np.abs(found - wanted).max() <= 1
        assert (found != wanted).mean() < 1e-3


def test_onnx_files_that_are_not_such_networks(tmp_path, capsys):
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from superres.cli.main import main
    from superres.export import export

    assert ort
    weights = ROOT / "weights" / "edsr-s_x2.safetensors"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "text.onnx").write_text("no network")
    export(weights, tmp_path / "damaged.onnx", "onnx")
    data = bytearray((tmp_path / "damaged.onnx").read_bytes())
    data[len(data) // 2] ^= 1  # of a weight: the program would run
    (tmp_path / "damaged.onnx").write_bytes(data)
    export(weights, tmp_path / "uint8.onnx", "onnx", uint8="nchw")
    export(weights, tmp_path / "foreign.onnx", "onnx")
    model = onnx.load(tmp_path / "foreign.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    for name, options, words in (
        ("absent", [], "cannot be read"),
        ("text", [], "cannot be read as a network that"),
        ("damaged", [], "its checksum is wrong"),
        ("uint8", [], "export it without --uint8"),
        ("foreign", [], "superres export onnx"),
        ("foreign", ["--device", "cuda"], "runs on the CPU only"),
    ):
        file = str(tmp_path / f"{name}.onnx")
        assert main(["upscale", str(tmp_path / "a.png"), "--model", file, *options]) == 2
        assert words in capsys.readouterr().err


def test_the_list_of_models():
    assert loaded("from superres.cli.main import main; assert not main(['models', 'list'])") == []


def test_without_torch_and_without_ncnn_one_message_says_both(tmp_path, monkeypatch, capsys):
    def broken():
        raise NotConvertible("it cannot be imported (no libgomp)")

    monkeypatch.setattr(ncnn_backend, "_import_ncnn", broken)
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert main(["upscale", str(tmp_path / "a.png"), "--model", "edsr-s", "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be imported (no libgomp)); pip install torch" in line
