"""Self-ensemble and chop against the published code's own outputs."""

from __future__ import annotations

import json
import re
import runpy

import numpy as np
import pytest
import torch

from superres.inference import SelfEnsemble
from superres.inference.tiled import chop

CASES = [
    f"{what}_x{scale}{rest}"
    for scale in (2, 3)
    for what, rest in (
        ("x8_13x17", ""),
        ("chop_40x50", "_min1200_shave10"),
        ("x8chop_40x50", "_min1200_shave10"),
        ("chop_120x150", "_min4000_shave10"),
        ("chop_40x50", "_min1200_shave3"),
        ("chop_41x61", "_min700_shave3"),
    )
]


@pytest.fixture(scope="module")
def golden(reference_dir):
    folder = reference_dir / "golden"
    return {
        "arrays": np.load(folder / "inference" / "edsr_tiny_x8_chop.npz"),
        "fill": runpy.run_path(str(folder / "fill.py")),
        "nets": folder / "nets" / "edsr_pytorch",
    }


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES)
def test_equals_the_published_code(golden, make_edsr, case):
    size, scale = re.search(r"_(\d+x\d+)_x(\d)", case).groups()
    net = make_edsr(int(scale))
    meta = json.loads((golden["nets"] / f"edsr_tiny_r2f8_rs0.1_x{scale}.json").read_text())
    state = golden["fill"]["state"](meta, "hash")
    net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=True)

    def forward(x):
        return net(x)

    if "chop" in case:
        min_size, shave = map(int, re.search(r"_min(\d+)_shave(\d+)", case).groups())

        def forward(x):
            return chop(net, x, net.scale, shave, min_size)

    ensemble = SelfEnsemble(net, forward) if case.startswith("x8") else forward
    with torch.no_grad():
        y = ensemble(torch.from_numpy(golden["arrays"][f"x_{size}"]))
    expected = golden["arrays"][case]
    assert np.abs(y.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()
