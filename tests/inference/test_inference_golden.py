"""Self-ensemble and chop against the published code's own outputs."""

from __future__ import annotations

import json
import re
import runpy
from functools import partial

import numpy as np
import pytest
import torch

from superres.inference.backends import as_network
from superres.inference.ensemble import self_ensemble
from superres.inference.windows import chop

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

    run = as_network(net).run
    if "chop" in case:
        min_size, shave = map(int, re.search(r"_min(\d+)_shave(\d+)", case).groups())
        run = partial(chop, run, scale=net.scale, shave=shave, min_size=min_size)
    x = golden["arrays"][f"x_{size}"]
    y = self_ensemble(run, x) if case.startswith("x8") else run(x)
    expected = golden["arrays"][case]
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()
