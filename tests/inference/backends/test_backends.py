"""Back ends: the numbers of the network, what is kept, falling back, memory."""

import gc
import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from superres.errors import UserError
from superres.inference.backends import best, conversion, installed, open_vino, pytorch
from tests.inference import build

NETWORKS = [
    {"type": "EDSR", "res_scale": 0.1, "scale": 3},
    {"type": "EDSR", "img_range": 1.0, "rgb_std": [0.5, 0.6, 0.7]},
    {"type": "EDSR", "rgb_mean": None, "attention": "bam"},
    {"type": "EDSR", "in_channels": 1, "out_channels": 1, "scale": 8},
    {"type": "RCAN"},
    {"type": "SRResNet"},
    {"type": "MSRResNet", "scale": 2},
    {"type": "MSRResNet", "upsample_act": True, "rgb_mean": [0.4, 0.5, 0.6], "img_range": 255.0},
    {"type": "MDSR", "res_scale": 0.1, "attention": "bam", "attention_in_pre": True},
    {"type": "RDN", "scale": 3},
    {"type": "RDN", "up_channels": 4},
    {"type": "RRDBNet"},
    {"type": "RRDBNet", "scale": 2, "unshuffle": 1},
    {"type": "SRVGGNetCompact"},
    {"type": "SRVGGNetCompact", "act": "leakyrelu", "scale": 1},
]
NOT_WRITTEN = [
    {"type": "DRLN", "img_range": 255.0},
    {"type": "SRCNN"},
    {"type": "SRCNN", "interpolation": "matlab", "scale": 3},
    {"type": "SRCNN", "interpolation": "matlab-mirror"},
    {"type": "VDSR"},
]
"""For ncnn."""
TOLERANCE = 1e-5


def need(name):
    if name not in installed():
        pytest.skip(f"back end {name} is not installed")


def difference(backend, network, size, batch=1):
    x = torch.rand(batch, conversion.in_channels(network), *size)
    kept = x.clone()
    with torch.no_grad():
        wanted = network(x)
    found = backend(x).cpu()
    assert torch.equal(x, kept)
    assert (found.shape, found.dtype) == (wanted.shape, torch.float32)
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "openvino", "ncnn"])
@pytest.mark.parametrize(
    "config", [*NETWORKS, *NOT_WRITTEN], ids=lambda c: "-".join(map(str, c.values()))
)
def test_numbers_of_the_network_at_any_size(name, config):
    need(name)
    if name == "ncnn" and config in NOT_WRITTEN:
        pytest.skip("not written for ncnn")
    network = build(**config)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    backend = best(network, "cpu", name)
    assert (backend.name, backend.scale) == (name, network.scale)
    assert backend.receptive_radius == network.receptive_radius
    for size, batch in (((17, 23), 1), ((40, 9), 2), ((1, 1), 1)):
        assert difference(backend, network, size, batch) <= TOLERANCE
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), f"{key} of the given network was changed"


@pytest.mark.parametrize("kind", ["EDSR", "RCAN", "SRResNet"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_upsampling_without_activations_is_one_convolution(scale, kind):
    """Also at the edges, where the padding of each of the network's own counts."""
    network = build(kind, scale=scale)
    backend = best(network, "cpu", "ncnn")
    assert backend._written.straight == (kind != "SRResNet")
    assert difference(backend, network, (41, 29)) <= TOLERANCE


class OfOneSize(nn.Module):
    """A recording fixes the size of an operation within to the one it was made with."""

    scale, receptive_radius = 1, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.reshape(-1, 3, int(x.shape[2]), int(x.shape[3])).mean()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_operation_that_fails_is_told_and_the_next_network_runs(name, monkeypatch):
    need(name)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # the back ends ask it
    for _ in range(3):
        with pytest.raises(UserError, match="it fails on 31x13 px"):
            best(OfOneSize(), backend=name)
        gc.collect()
        # With one thread OpenVINO's own infer() says nothing, and then runs what is gone.
        assert difference(best(build(), backend=name), build(), (17, 23)) <= TOLERANCE


def test_mdsr_keeps_the_scale_that_was_selected():
    network = build("MDSR")
    network.set_scale(3)
    backend = best(network, "cpu", "torch")
    network.set_scale(2)
    assert backend.scale == 3
    assert backend(torch.rand(1, 3, 5, 6)).shape == (1, 3, 15, 18)


def test_results_are_not_overwritten_by_the_next_call():
    backend = best(build())
    first = backend(torch.zeros(1, 3, 8, 8))
    kept = first.clone()
    backend(torch.ones(1, 3, 8, 8))
    assert torch.equal(first, kept)


def test_automatic_is_the_fastest_that_is_installed():
    assert best(build()).name == installed()[0]


class SizeBecomesConstant(nn.Module):
    """What a tracer gets wrong: a number of the example's size."""

    scale, receptive_radius = 2, 0

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 1)

    def forward(self, x):
        return torch.pixel_shuffle(self.conv(x) * float(x.shape[-1]), 2)


class NoSuchOperation(SizeBecomesConstant):
    """An operation that neither ONNX nor OpenVINO has."""

    def forward(self, x):
        y = torch.pixel_shuffle(self.conv(x), 2)
        return y + torch.linalg.svdvals(y).sum() * 1e-6


@pytest.mark.parametrize("network", [SizeBecomesConstant, NoSuchOperation])
def test_falls_back_to_pytorch_and_says_why(network, monkeypatch):
    told = []
    monkeypatch.setattr("superres.inference.backends.logger.warning", lambda *a: told.append(a))
    backend = best(network().eval())
    assert backend.name == "torch"
    assert len(backend.notes) == len(set(installed()) - {"torch", "ncnn"})
    assert all("\n" not in note for note in backend.notes)
    assert len(told) == len(backend.notes)
    if "openvino" in installed():
        with pytest.raises(UserError, match="cannot run on back end 'openvino'"):
            best(network().eval(), backend="openvino")


@pytest.mark.parametrize("name", [name for name in installed() if name != "torch"])
def test_a_package_that_is_broken_is_passed_over(name, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text("raise ImportError('libtbb.so.12: cannot open it')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    open_vino.core.cache_clear()
    network = build()
    monkeypatch.setattr("superres.inference.backends.installed", lambda: [name, "torch"])
    found = best(network)
    assert found.name == "torch"
    assert found.notes[0].startswith(f"not {name}: it cannot be")
    assert "libtbb.so.12: cannot open it" in found.notes[0]
    with pytest.raises(UserError, match=f"cannot run on back end '{name}': it cannot be"):
        best(network, backend=name)


def test_memory_is_counted_for_every_back_end():
    network = build(channels=32)
    x = torch.rand(1, 3, 200, 300)
    each = {name: best(network, backend=name).bytes_per_pixel for name in installed()}
    assert each.pop("ncnn", 0) < each["torch"]  # whose large maps exist in small tiles only
    assert len(set(each.values())) == 1
    # At x4 the last convolution's input alone is 32 floats at 16 pixels.
    assert each["torch"] > 32 * 16 * 4
    y = pytorch.upscale_tensor(best(network), x, memory_budget=30_000_000)
    assert y.shape == (1, 3, 800, 1200)


def test_requests_that_cannot_be(monkeypatch):
    monkeypatch.setattr(pytorch, "has_bfloat16", lambda: False)
    for options, words in (
        ({"backend": "tensorrt"}, "not known; choose auto"),
        ({"dtype": "bf16"}, "makes nothing faster on this cpu"),
        ({"dtype": "int8"}, "dtype 'int8' is not known"),
        ({"backend": "openvino", "dtype": "fp16"}, "'openvino' has no dtype"),
    ):
        with pytest.raises(UserError, match=words):
            best(build(), **options)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert installed() == ["torch"]
    assert best(build()).name == "torch"
    with pytest.raises(UserError, match=r"needs openvino and onnx: pip install 'superres\[openv"):
        best(build(), backend="openvino")


@pytest.mark.parametrize(
    ("device", "dtype", "bound"),
    [
        ("cpu", "bf16", 4 / 255),
        pytest.param("cuda", "fp32", 1e-3, marks=pytest.mark.gpu),
        pytest.param("cuda", "fp16", 1 / 255, marks=pytest.mark.gpu),
        pytest.param("cuda", "bf16", 4 / 255, marks=pytest.mark.gpu),
    ],
)
def test_lower_precision_keeps_its_bound(device, dtype, bound):
    if not (torch.cuda.is_available() if device == "cuda" else pytorch.has_bfloat16()):
        pytest.skip(f"no {dtype} here on {device}")
    network = build(channels=64, num_blocks=16, img_range=255.0)
    backend = best(network, device, dtype=dtype)
    assert (backend.name, backend._dtype) == ("torch", pytorch.DTYPES[dtype])
    assert 0 < difference(backend, network, (60, 50)) <= bound


GIVEN_UP_ELSEWHERE = """
import os, signal, threading
from superres.inference.backends import best
from superres.registry import MODELS
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
network = MODELS.build({"type": "EDSR", "channels": 4, "num_blocks": 1}).eval()
kept = [best(network, "cpu", "openvino")]
thread = threading.Thread(target=kept.clear)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix")
def test_signals_arrive_after_another_thread_gave_openvino_up():
    need("openvino")
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_UP_ELSEWHERE], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done
    assert done.stdout == "handled\n"
