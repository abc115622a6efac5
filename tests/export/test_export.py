"""Exported files: run by other packages, compared with the original; bad requests."""

import json

import numpy as np
import pytest
import torch

from superres.checkpoints import load_model, read_weights, save_safetensors
from superres.cli.main import main
from superres.errors import UserError
from superres.export import TARGETS, export
from superres.export.programs import BytesInBytesOut
from superres.inference.backends import open_vino
from superres.registry import MODELS

ENDING = {"onnx": "onnx", "torchscript": "pt", "openvino": "xml"}


@pytest.fixture
def weights(tmp_path):
    """A weight file of a small network, and the network."""

    def make(type="EDSR", **arguments):
        torch.manual_seed(0)
        small = {"channels": 8, "num_blocks": 1} if type != "SRCNN" else {}
        config = {"type": type, **small, **arguments}
        network = MODELS.build(config).eval()
        return save_safetensors(tmp_path / f"{type}.safetensors", network, config), network

    return make


def run(path, to, x):
    """The file's result in the program that it is for."""
    if to == "onnx":
        runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {"lq": x})[0]
    if to == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
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
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 18, 25), dtype=np.uint8)
    with torch.no_grad():
        y = network(torch.from_numpy(x).float() / 255).numpy()
    wanted = np.floor(np.clip(y, 0, 1) * 255 + 0.5).astype(np.uint8)
    found = run(done.path, to, x if layout == "nchw" else x.transpose(0, 2, 3, 1).copy())
    found = found if layout == "nchw" else found.transpose(0, 3, 1, 2)
    assert found.dtype == np.uint8
    unequal = found != wanted
    assert unequal.mean() < 1e-3
    assert np.abs(found.astype(int) - wanted)[unequal].max(initial=0) <= 1


def test_bytes_are_rounded_half_up_and_clamped():
    values = torch.tensor([-0.2, 0.0, 0.5, 1.49, 1.5, 2.5, 254.5, 255.0, 300.0]) / 255

    class Constant(torch.nn.Module):
        def forward(self, x):
            return values.view(1, 1, 1, -1)

    y = BytesInBytesOut(Constant(), "nchw")(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))
    assert y.flatten().tolist() == [0, 0, 1, 1, 2, 3, 255, 255, 255]


def test_onnx_says_what_it_is(weights, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    path, network = weights(scale=2)
    export(path, tmp_path / "a.onnx", "onnx", uint8="nhwc")
    facts = {p.key: p.value for p in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert (facts["scale"], facts["network"], facts["range"]) == ("2", "EDSR", "0..255")
    assert (facts["layout"], facts["colour"]) == ("nhwc", "RGB")
    assert json.loads(facts["config"])["channels"] == 8
    assert facts["receptive_radius"] == str(network.receptive_radius)


def test_openvino_and_torchscript_say_what_they_are(weights, tmp_path):
    path, _ = weights()
    export(path, tmp_path / "a.pt", "torchscript")
    extra = {"superres.json": ""}
    torch.jit.load(str(tmp_path / "a.pt"), _extra_files=extra)
    assert json.loads(extra["superres.json"])["scale"] == "4"
    pytest.importorskip("openvino", reason="openvino is not installed")
    export(path, tmp_path / "a.xml", "openvino")
    model = open_vino.core().read_model(str(tmp_path / "a.xml"))
    assert model.get_rt_info(["superres", "network"]).astype(str) == "EDSR"


@pytest.mark.parametrize("to", ["safetensors", "spandrel"])
def test_weights_are_folded(to, weights, tmp_path):
    path, network = weights(res_scale=0.1, num_blocks=2)
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
        "superres.inference.backends.conversion.portable",
        lambda model: MODELS.build({"type": "SRCNN"}).eval(),
    )
    with pytest.raises(UserError, match="cannot be exported to torchscript: its result differs"):
        export(path, out, "torchscript")
    assert out.read_text() == "what was there"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["EDSR.safetensors", "out.pt"]


def test_requests_that_cannot_be(weights, tmp_path, monkeypatch):
    path, _ = weights()
    for to, out, words in (
        ("coreml", "a.x", "no target 'coreml'; choose one of onnx"),
        ("onnx", "a.pt", r"must end in \.onnx, not '\.pt'"),
        ("torchscript", "no/a.pt", "choose a folder that exists"),
    ):
        with pytest.raises(UserError, match=words):
            export(path, tmp_path / out, to)
    with pytest.raises(UserError, match="holds weights only"):
        export(path, tmp_path / "a.safetensors", "safetensors", uint8="nchw")
    with pytest.raises(UserError, match="layout must be nchw or nhwc"):
        export(path, tmp_path / "a.onnx", "onnx", uint8="hwcn")
    with pytest.raises(UserError, match="not x2"):
        export(path, tmp_path / "a.pt", "torchscript", scale=2)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx and onnxruntime: pip install 'superres\["):
        export(path, tmp_path / "a.onnx", "onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["EDSR.safetensors"]
    assert set(TARGETS) == {"onnx", "torchscript", "openvino", "safetensors", "spandrel"}


def test_command(weights, tmp_path, capsys):
    path, _ = weights()
    out = tmp_path / "out.pt"
    assert main(["export", "torchscript", str(path), str(out), "--uint8"]) == 0
    assert "run on two pictures" in capsys.readouterr().out
    assert main(["export", "torchscript", str(path), str(out)]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["export", "torchscript", str(path), str(out), "--overwrite"]) == 0
    assert main(["export", "onnx", str(path), str(out), "--overwrite"]) == 2
    assert "must end in .onnx" in capsys.readouterr().err
