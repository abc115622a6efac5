"""Hugging Face layouts, from folders and from a hub on 127.0.0.1 through huggingface_hub."""

import io
import json
import os
import subprocess
import sys

import numpy as np
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


PROGRAM = """
import sys, numpy as np, torch, superres
network = superres.from_pretrained("eugenesiow/edsr-base", scale=2, device="cpu")
with torch.no_grad():
    np.save(sys.argv[2], network(torch.from_numpy(np.load(sys.argv[1]))).numpy())
"""


@pytest.mark.reference
@pytest.mark.slow
def test_golden_output_of_super_image(reference_dir, tmp_path):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not here")
    golden = reference_dir / "golden"
    sys.path.insert(0, str(golden))
    try:
        import fill
    finally:
        sys.path.remove(str(golden))
    name = golden / "nets/super_image/edsr_r16f64_rs1_x2"
    meta = json.loads(name.with_suffix(".json").read_text())
    state = fill.state(meta, "hash")
    state = {f"module.{k}": torch.from_numpy(np.asarray(v)) for k, v in state.items()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    config = {**CONFIG, "n_resblocks": 16, "n_feats": 64}
    files = {"pytorch_model_2x.pt": buffer.getvalue(), "config.json": json.dumps(config).encode()}
    vectors = np.load(name.with_suffix(".npz"))
    np.save(tmp_path / "x.npy", vectors["x0"])
    with hub({"eugenesiow/edsr-base": files}) as server:
        env = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-c", PROGRAM, tmp_path / "x.npy", tmp_path / "y.npy"]
        done = subprocess.run(
            command, env={**env, "NO_PROXY": "127.0.0.1"}, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    wanted = vectors["hash_y0"]
    difference = np.abs(np.load(tmp_path / "y.npy") - wanted).max()
    assert difference <= 1e-5 * np.abs(wanted).max()
