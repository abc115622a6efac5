"""Hugging Face layouts, from folders and from a hub on 127.0.0.1 through huggingface_hub."""

import io
import json
import sys

import pytest
import torch

import superres
from superres.checkpoints import save_safetensors
from superres.checkpoints.pretrained import choose
from superres.errors import UserError
from superres.registry import MODELS
from tests.checkpoints.loopback import hub

CONFIG = {"n_resblocks": 2, "n_feats": 8, "res_scale": 1, "data_parallel": True, "bam": False}
CONFIG["model_type"] = "EDSR"


def point_to(constants, monkeypatch, url, cache):
    """Let huggingface_hub, which reads its environment on import, use another hub and cache."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


def as_super_image(edsr_pytorch) -> bytes:
    """A state dict as super-image stores it where data_parallel is on."""
    buffer = io.BytesIO()
    torch.save({f"module.{k}": v for k, v in edsr_pytorch[1].items()}, buffer)
    return buffer.getvalue()


@pytest.fixture
def server(edsr_pytorch, tmp_path, monkeypatch):
    """A hub with one super-image repository, which huggingface_hub takes for the real one."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="no huggingface_hub here")
    files = {
        "pytorch_model_2x.pt": as_super_image(edsr_pytorch),
        "config.json": json.dumps(CONFIG).encode(),
        "README.md": b"# edsr",
    }
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub({"someone/edsr-base": files}) as server:
        point_to(constants, monkeypatch, server.url, tmp_path / "hub")
        yield server


def test_super_image_repository(server, edsr_pytorch, same):
    network = superres.from_pretrained("someone/edsr-base", scale=2)
    # super-image works on 0..1 and applies no mean: not the numbers of the same keys elsewhere.
    config = dict(network.superres_config)
    assert config["img_range"] == 1
    assert config["rgb_mean"] is None
    plain = MODELS.build(config).eval()
    plain.load_state_dict(edsr_pytorch[0].state_dict())
    same(network, plain)


def test_without_the_hub_what_was_downloaded_is_used(server, same):
    first = superres.from_pretrained("someone/edsr-base", scale=2)
    server.files.clear()
    same(superres.from_pretrained("someone/edsr-base", scale=2), first)


def test_wrong_scale_and_wrong_name(server):
    with pytest.raises(UserError, match=r"needs weights for x3.*pytorch_model_2x.pt"):
        superres.from_pretrained("someone/edsr-base", scale=3)
    with pytest.raises(UserError, match=r"nobody/nothing: the hub.*Check the name"):
        superres.from_pretrained("nobody/nothing", scale=2)
    with pytest.raises(UserError, match="owner/name"):
        superres.from_pretrained("no such folder", scale=2)


@pytest.mark.slow  # huggingface_hub tries several times
def test_no_hub_at_all(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants", reason="no huggingface_hub here")
    point_to(constants, monkeypatch, "http://127.0.0.1:9", tmp_path)
    with pytest.raises(UserError, match=r"someone/edsr: the hub.*pass its folder"):
        superres.from_pretrained("someone/edsr", scale=2)


def test_package_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"superres\[hub\]"):
        superres.from_pretrained("someone/edsr", scale=2)


def test_saved_and_back(build, same, tmp_path):
    network, config = build()
    save_safetensors(tmp_path / "own.safetensors", network, config)
    network = superres.load_model(tmp_path / "own.safetensors")
    folder = tmp_path / "saved"
    assert superres.save_pretrained(network, folder).name == "model_x2.safetensors"
    assert json.loads((folder / "config.json").read_text())["model_type"] == "EDSR"
    assert "from_pretrained('OWNER/NAME', scale=2)" in (folder / "README.md").read_text()
    (folder / "README.md").write_text("my words")
    same(superres.from_pretrained(folder, scale=2), network)
    third, third_config = build(scale=3)
    superres.save_pretrained(third, folder, third_config)
    same(superres.from_pretrained(folder, scale=3), third)
    assert (folder / "README.md").read_text() == "my words"
    with pytest.raises(UserError, match="a scale to choose by"):
        superres.from_pretrained(folder)
    with pytest.raises(UserError, match="pass config="):
        superres.save_pretrained(third, tmp_path / "other")


@pytest.mark.parametrize("name", ["", "../edsr", "./edsr", "-a/b", "a/b/c"])
def test_names_that_no_repository_has(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="neither a folder here nor a repository"):
        superres.from_pretrained(name, scale=2)


@pytest.mark.parametrize(
    "config", [{}, {"scale": 2}, {"type": "Nothing"}, {"type": "EDSR", "scale": 4}]
)
def test_a_config_that_is_not_the_networks(config, build, tmp_path):
    network, _ = build()
    with pytest.raises(UserError, match=r"pass config=|not a network|not those of"):
        superres.save_pretrained(network, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


def test_choose():
    both = ["pytorch_model_2x.pt", "pytorch_model_4x.pt", "config.json"]
    assert choose(both, 4, "here") == "pytorch_model_4x.pt"
    assert choose(["model.safetensors", "pytorch_model.bin"], None, "here") == "model.safetensors"
    assert choose(["net_x12.pt", "net_x2.pt"], 2, "here") == "net_x2.pt"
    assert choose(["weights.pth"], 8, "here") == "weights.pth"
    for names, scale in ((both, None), (both, 3), (["a.txt"], None)):
        with pytest.raises(UserError, match="weight files there"):
            choose(names, scale, "here")
