"""Each family learns one batch by heart: L1 falls below a tenth of its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superres.imaging.resize import imresize
from superres.registry import MODELS
from tests.engine.conftest import picture
from tests.models import ablation_rows


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all tests here."""


def batch(scale: int, patch: int, count: int) -> dict[str, torch.Tensor]:
    """``inputs`` and ``gt`` as the loader gives them."""
    gts = [picture(seed)[: patch * scale, : patch * scale] for seed in range(count)]
    lqs = [imresize(gt, scale=1 / scale) for gt in gts]
    return {"inputs": torch.from_numpy(np.stack(lqs)), "gt": torch.from_numpy(np.stack(gts))}


SMALL = {
    "edsr": {"type": "EDSR", "scale": 2, "channels": 16, "num_blocks": 4},
    "edsr_full": {"type": "EDSR", "scale": 3, "channels": 32, "num_blocks": 8, "res_scale": 0.1},
    "mdsr": {"type": "MDSR", "scales": (2, 3), "channels": 16, "num_blocks": 4},
    **{
        f"srcnn_{row}": {"type": "SRCNNAblation", "scale": 2, **preset, "channels": 16}
        for row, preset in ablation_rows().items()
        if row in ("task1", "task5", "task6", "task7-prelu", "clean-after")
    },
}


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_learn_a_batch_by_heart(name):
    backbone = SMALL[name]
    kind = "MultiScaleRestorer" if backbone["type"] == "MDSR" else "Restorer"
    torch.manual_seed(0)
    restorer = MODELS.build({"type": kind, "backbone": backbone}).train()
    optimizer = torch.optim.Adam(restorer.parameters(), lr=2e-3)
    data = restorer.data_preprocessor(batch(backbone.get("scale", 3), 12, 2), True)
    first = None
    for _ in range(400):
        loss = restorer(**data, mode="loss")["loss"]
        first = loss.item() if first is None else first
        if loss < first / 10:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"from {first} to {loss} only")
