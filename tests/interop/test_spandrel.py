"""spandrel, the real package: our files in it, and its networks in ours."""

import importlib.util

import pytest
import torch

from superres.checkpoints import load_model, save_safetensors
from superres.errors import UserError
from superres.export import export
from superres.inference.backends import best
from superres.inference.backends.pytorch import upscale_tensor
from superres.registry import MODELS

NETWORKS = {
    "EDSR": {"channels": 8, "num_blocks": 2, "res_scale": 0.1, "scale": 3},
    "MDSR": {"channels": 8, "num_blocks": 1},
    "DRLN": {"channels": 8, "scale": 2, "img_range": 255.0, "rgb_mean": [0.001, 0.002, 0.003]},
    "SRCNN": {"interpolation": "matlab"},
    "SRResNet": {"channels": 8, "num_blocks": 1},
    "MSRResNet": {"channels": 8, "num_blocks": 1},
    "RCAN": {"channels": 8, "num_groups": 1, "num_blocks": 1, "img_range": 1.0},
    "VDSR": {"in_channels": 3, "out_channels": 3, "channels": 8, "scale": 2},
}


@pytest.fixture(scope="session")
def spandrel():
    """The package; tests/conftest.py lets its torchvision be imported beside any torch."""
    if importlib.util.find_spec("spandrel") is None:
        pytest.skip("spandrel is not installed")
    return pytest.importorskip("spandrel", reason="spandrel cannot be imported", exc_type=Exception)


@pytest.fixture
def weights(tmp_path):
    def make(type):
        torch.manual_seed(0)
        config = {"type": type, **NETWORKS[type]}
        network = MODELS.build(config).eval()
        return save_safetensors(tmp_path / f"{type}.safetensors", network, config), network

    return make


@pytest.mark.parametrize("type", NETWORKS)
def test_spandrel_loads_our_exports(type, spandrel, weights, tmp_path):
    from superres.interop.spandrel import install

    registry = spandrel.MAIN_REGISTRY.copy()
    assert [s.architecture.name for s in install(registry)] == list(NETWORKS)
    assert install(registry) == []
    path, network = weights(type)
    scale = None
    if type == "MDSR":
        scale = 4
        network.set_scale(4)
    export(path, tmp_path / "out.safetensors", "spandrel", scale=scale)
    loader = spandrel.ModelLoader(registry=registry)
    descriptor = loader.load_from_file(tmp_path / "out.safetensors")
    assert descriptor.architecture.id == f"superres-{type}"
    assert (descriptor.scale, descriptor.input_channels) == (network.scale, 3)
    assert descriptor.supports_half == (type != "DRLN")  # that one works on 0..255
    x = torch.rand(1, 3, 19, 26)
    with torch.no_grad():
        wanted = network(x).clamp(0, 1)
    torch.testing.assert_close(descriptor(x).clone(), wanted, rtol=0, atol=1e-5)


def test_spandrel_is_as_it_was_for_others(spandrel):
    from spandrel.architectures.ESRGAN import ESRGAN

    from superres.interop.spandrel import install

    registry = spandrel.MAIN_REGISTRY.copy()
    install(registry)
    state = ESRGAN(num_filters=4, num_blocks=1).state_dict()
    assert spandrel.ModelLoader(registry=registry).load_from_state_dict(state).scale == 4
    torch.manual_seed(0)
    with pytest.raises(spandrel.UnsupportedModelError):
        registry.load(MODELS.build({"type": "SRCNN"}).state_dict())  # without our marker


def test_an_esrgan_plus_runs_here(spandrel, tmp_path):
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    reference = ESRGAN(num_filters=8, num_blocks=1, scale=4, plus=True).eval()
    torch.save({"params_ema": reference.state_dict()}, tmp_path / "some_esrgan.pth")
    network = load_model(tmp_path / "some_esrgan.pth", device="cpu")
    assert (network.scale, network.receptive_radius, network.in_channels) == (4, None, 3)
    x = torch.rand(1, 3, 40, 30)
    with torch.no_grad():
        wanted = reference(x).clamp(0, 1)
        torch.testing.assert_close(network(x), wanted)
    torch.testing.assert_close(best(network)(x), wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(network.upscale(x, backend="torch"), wanted, rtol=0, atol=1e-4)
    whole = upscale_tensor(network, x, tile="off")
    tiles = upscale_tensor(network, x, tile=16, overlap=16)
    assert tiles.shape == whole.shape
    with pytest.raises(UserError, match="for x4, not x2"):
        load_model(tmp_path / "some_esrgan.pth", scale=2)
    done = export(tmp_path / "some_esrgan.pth", tmp_path / "a.pt", "torchscript")
    assert done.difference <= 1e-4


def test_sizes_that_a_network_asks_for(spandrel, tmp_path):
    from spandrel.architectures.ESRGAN import ESRGAN

    state = ESRGAN(in_nc=12, num_filters=8, num_blocks=1, shuffle_factor=2).state_dict()
    torch.save(state, tmp_path / "x2.pth")
    network = load_model(tmp_path / "x2.pth", device="cpu", format="spandrel")
    assert network.scale == 2
    assert network(torch.rand(1, 3, 13, 9)).shape == (1, 3, 26, 18)
    assert best(network)(torch.rand(1, 3, 13, 9)).shape == (1, 3, 26, 18)


def test_neither_knows_it(tmp_path):
    torch.save({"strange.weight": torch.zeros(3, 3)}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"not known here.*\((spandrel|the package spandrel)"):
        load_model(tmp_path / "odd.pth")
