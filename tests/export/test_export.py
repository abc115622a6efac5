"""Exported files: run by other packages, compared with the original; bad requests."""

import json

import numpy as np
import pytest
import torch

from superres.checkpoints import load_model, read_weights, save_safetensors
from superres.cli.main import main
from superres.errors import UserError
from superres.export import export
from superres.export.programs import BytesInBytesOut
from superres.inference.backends import open_vino
from tests.inference import build

ENDING = {"onnx": "onnx", "torchscript": "pt", "openvino": "xml"}


@pytest.fixture
def weights(tmp_path):
    """A weight file of a small network, and the network."""

    def make(type="EDSR", **arguments):
        network = build(type, **arguments)
        file = tmp_path / f"{type}.safetensors"
        return save_safetensors(file, network, network.superres_config), network

    return make


def run(path, to, x):
    """The file's result in the program that it is for."""
    if to == "onnx":
        runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {"lq": x})[0]
    if to == "openvino":
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        return open_vino.core().compile_model(str(path), "CPU", settings)([x])[0]
    return torch.jit.load(str(path))(torch.from_numpy(x)).numpy()


def need(to):
    for package in {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}.get(to, ()):
        pytest.importorskip(package, reason=f"{package} is not installed")


@pytest.mark.parametrize("to", ENDING)
@pytest.mark.parametrize(
    "config",
    [
        {"type": "EDSR", "res_scale": 0.1, "scale": 3},
        {"type": "MDSR"},
        {"type": "SRCNN", "interpolation": "matlab"},
        {"type": "SRResNet", "img_range": 255.0},
    ],
    ids=lambda c: c["type"],
)
def test_programs_of_any_size(to, config, weights, tmp_path):
    need(to)
    path, network = weights(**config)
    scale = 4 if config["type"] == "MDSR" else None
    if scale:
        network.set_scale(scale)
    done = export(path, tmp_path / f"out.{ENDING[to]}", to, scale=scale)
    assert (done.to, done.scale) == (to, network.scale)
    assert done.difference <= 1e-5
    for size in ((30, 21), (7, 40)):
        x = torch.rand(2, 3, *size)
        with torch.no_grad():
            wanted = network(x).numpy()
        np.testing.assert_allclose(run(done.path, to, x.numpy()), wanted, rtol=0, atol=1e-5)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("to", ENDING)
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_programs_on_bytes(to, layout, weights, tmp_path):
    need(to)
    path, network = weights()
    done = export(path, tmp_path / f"out.{ENDING[to]}", to, uint8=layout)
    size = (1, 18, 25, 3) if layout == "nhwc" else (1, 3, 18, 25)
    x = torch.randint(256, size, dtype=torch.uint8)
    with torch.no_grad():
        wanted = BytesInBytesOut(network, layout)(x)
    found = run(done.path, to, x.numpy())
    assert found.dtype == np.uint8
    unequal = found != wanted.numpy()
    assert unequal.mean() < 1e-3
    assert np.abs(found.astype(int) - wanted.numpy())[unequal].max(initial=0) <= 1


def test_bytes_are_rounded_half_up_and_clamped():
    values = torch.tensor([-0.2, 0.0, 0.5, 1.49, 1.5, 2.5, 254.5, 255.0, 300.0]) / 255

    class Constant(torch.nn.Module):
        def forward(self, x):
            return values.view(1, 1, 1, -1)

    y = BytesInBytesOut(Constant(), "nchw")(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))
    assert y.flatten().tolist() == [0, 0, 1, 1, 2, 3, 255, 255, 255]


@pytest.mark.parametrize("to", ENDING)
def test_a_program_says_what_it_is(to, weights, tmp_path):
    need(to)
    path, network = weights(scale=2)
    file = str(export(path, tmp_path / f"a.{ENDING[to]}", to, uint8="nhwc").path)
    if to == "onnx":
        import onnx

        facts = {p.key: p.value for p in onnx.load(file).metadata_props}
    elif to == "torchscript":
        extra = {"superres.json": ""}
        torch.jit.load(file, _extra_files=extra)
        facts = json.loads(extra["superres.json"])
    else:
        told = open_vino.core().read_model(file).get_rt_info
        keys = ("scale", "network", "range", "layout", "colour", "config", "receptive_radius")
        facts = {key: told(["superres", key]).astype(str) for key in keys}
    assert (facts["scale"], facts["network"], facts["range"]) == ("2", "EDSR", "0..255")
    assert (facts["layout"], facts["colour"]) == ("nhwc", "RGB")
    assert json.loads(facts["config"])["channels"] == 8
    assert facts["receptive_radius"] == str(network.receptive_radius)


@pytest.mark.parametrize("to", ["safetensors", "spandrel"])
def test_weights_are_folded(to, weights, tmp_path):
    path, network = weights(res_scale=0.1)
    done = export(path, tmp_path / "out.safetensors", to)
    config = read_weights(done.path).config
    assert (config["res_scale"], config["img_range"]) == (1.0, 1.0)
    assert config["rgb_mean"] == pytest.approx([0.4488, 0.4371, 0.4040])
    x = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        torch.testing.assert_close(load_model(done.path)(x), network(x), rtol=0, atol=1e-5)


def test_all_scales_or_one_of_mdsr(weights, tmp_path):
    path, network = weights("MDSR")
    export(path, tmp_path / "all.safetensors", "safetensors")
    assert load_model(tmp_path / "all.safetensors").scales == (2, 3, 4)
    export(path, tmp_path / "one.safetensors", "spandrel", scale=3)
    one = load_model(tmp_path / "one.safetensors")
    assert one.scales == (3,)
    network.set_scale(3)
    x = torch.rand(1, 3, 12, 14)
    with torch.no_grad():
        torch.testing.assert_close(one(x), network(x), rtol=0, atol=1e-5)
    with pytest.raises(UserError, match=r"several scales; pass scale= \(--scale\) 2, 3, 4"):
        export(path, tmp_path / "one.pt", "torchscript")


def test_what_does_not_agree_is_not_kept(weights, tmp_path, monkeypatch):
    path, _ = weights()
    out = tmp_path / "out.pt"
    out.write_text("what was there")
    monkeypatch.setattr(
        "superres.inference.backends.conversion.ready",
        lambda model: build("SRCNN"),
    )
    with pytest.raises(UserError, match="cannot be exported to torchscript: its result differs"):
        export(path, out, "torchscript")
    assert out.read_text() == "what was there"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["EDSR.safetensors", "out.pt"]


def test_requests_that_cannot_be(weights, tmp_path, monkeypatch):
    path, _ = weights()
    for to, out, options, words in (
        ("coreml", "a.x", {}, "no target 'coreml'; choose one of onnx"),
        ("onnx", "a.pt", {}, r"must end in \.onnx, not '\.pt'"),
        ("torchscript", "no/a.pt", {}, "cannot be written"),
        ("safetensors", "a.safetensors", {"uint8": "nchw"}, "of a program"),
        ("onnx", "a.onnx", {"uint8": "hwcn"}, "nchw or nhwc, of a program"),
        ("torchscript", "a.pt", {"scale": 2}, "not x2"),
    ):
        with pytest.raises(UserError, match=words):
            export(path, tmp_path / out, to, **options)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnxruntime and onnx: pip install 'superres\["):
        export(path, tmp_path / "a.onnx", "onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["EDSR.safetensors"]


def test_command(weights, tmp_path, capsys):
    path, _ = weights()
    out = tmp_path / "out.pt"
    assert main(["export", "torchscript", str(path), str(out), "--uint8"]) == 0
    assert "run on two images" in capsys.readouterr().out
    assert main(["export", "torchscript", str(path), str(out)]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["export", "torchscript", str(path), str(out), "--overwrite"]) == 0
    assert main(["export", "onnx", str(path), str(out), "--overwrite"]) == 2
    assert "must end in .onnx" in capsys.readouterr().err
