"""Networks against what the published code outputs for formula-made weights (rule 'hash').

Each vector is read through its format's reader, strictly, and run in float32 on the CPU.
"""

import importlib.util
import json
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from superres.checkpoints import build_network, read_weights
from superres.errors import UserError
from superres.inference.windows import chop, self_ensemble

TOLERANCE = 1e-5
NOT_OURS = "twtygqyy/srresnet_instancenorm_x4"
ROOT = Path(os.environ.get("SUPERRES_REFERENCE_DIR", "/nonexistent")) / "golden"
NETS = sorted(
    p.relative_to(ROOT / "nets").with_suffix("").as_posix() for p in ROOT.glob("nets/*/*.json")
)
BIG = ("full_r32f256", "rcan_g10b20", "drln")

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def golden(reference_dir):
    spec = importlib.util.spec_from_file_location("golden_fill", reference_dir / "golden/fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)

    def load(net):
        meta = json.loads((ROOT / "nets" / f"{net}.json").read_text())
        state = {k: torch.from_numpy(v) for k, v in fill.state(meta, "hash").items()}
        with np.load(ROOT / "nets" / f"{net}.npz") as vectors:
            return meta, state, dict(vectors)

    return load


def how_to_read(net, meta):
    """The format, and what the file cannot say: as published for the big ones, given for others."""
    name = net.rpartition("/")[2]
    format = net.partition("/")[0]
    if "task1_" in name or "task2_" in name:
        format = "authierj-" + name[:5]
    published = meta["args"].get("res_scale", 1) == (0.1 if "full" in name else 1)
    stored = format in ("mmagic", "basicsr", "edsr_pytorch", "super_image") and "/edsr" in net
    hints = {"res_scale": meta["args"]["res_scale"]} if stored and not published else {}
    return format, hints


def test_all_vectors_are_here(reference_dir):
    assert len(NETS) >= 60


@pytest.mark.parametrize(
    "net",
    [pytest.param(n, marks=[pytest.mark.slow] if any(b in n for b in BIG) else []) for n in NETS],
)
def test_golden(net, golden, tmp_path):
    meta, state, vectors = golden(net)
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    scale = meta["scale"] if isinstance(meta["scale"], int) else None
    format, hints = how_to_read(net, meta)
    if net == NOT_OURS:
        with pytest.raises(UserError, match="not those of format"):
            read_weights(file, format, scale)
        return
    loaded = read_weights(file, format, scale, **hints)
    network = build_network(loaded).eval()
    counted = sum(p.numel() for p in network.parameters())
    assert counted == meta["param_count"] - (24 if any("sub_mean" in k for k in state) else 0)
    span = meta["input_range"][1]
    outputs = [key for key in vectors if key.startswith("hash_y")]
    assert len(outputs) >= 2
    for key in outputs:
        _, _, position = key.partition("_k")  # MDSR: hash_y0_k1 is its second scale
        if position:
            network.set_scale(meta["scale"][int(position)])
        x = torch.from_numpy(vectors["x" + key[6]]) / span
        with torch.no_grad():
            y = network(x).numpy() * span
        expected = vectors[key]
        assert y.shape == expected.shape
        assert np.abs(y - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
    "case",
    [
        "x8_13x17_x{}",
        "chop_40x50_x{}_min1200_shave10",
        "x8chop_40x50_x{}_min1200_shave10",
        "chop_120x150_x{}_min4000_shave10",
        "chop_40x50_x{}_min1200_shave3",
        "chop_41x61_x{}_min700_shave3",
    ],
)
def test_self_ensemble_and_chop(case, scale, golden, tmp_path):
    _, state, _ = golden(f"edsr_pytorch/edsr_tiny_r2f8_rs0.1_x{scale}")
    torch.save(state, tmp_path / "weights.pth")
    loaded = read_weights(tmp_path / "weights.pth", "edsr_pytorch", scale, res_scale=0.1)
    network = build_network(loaded).eval()

    @torch.no_grad()
    def run(x):
        return network(torch.from_numpy(x.copy()) / 255).numpy() * 255

    arrays = np.load(ROOT / "inference" / "edsr_tiny_x8_chop.npz")
    name, size = case.format(scale), re.search(r"\d+x\d+", case)[0]
    if "chop" in case:
        min_size, shave = map(int, re.search(r"min(\d+)_shave(\d+)", case).groups())
        run = partial(chop, run, scale=scale, shave=shave, min_size=min_size)
    x = arrays[f"x_{size}"]
    y = self_ensemble(run, x) if case.startswith("x8") else run(x)
    assert np.abs(y - arrays[name]).max() <= TOLERANCE * np.abs(arrays[name]).max()
