"""Each family learns one batch by heart: L1 falls below a tenth of its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain
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


def overfit(model: dict, data: dict[str, torch.Tensor], steps: int, lr: float) -> list[float]:
    """The losses, until one is below a tenth of the first, or ``steps`` of them."""
    torch.manual_seed(0)
    restorer = MODELS.build(model).train()
    optimizer = torch.optim.Adam([p for p in restorer.parameters() if p.requires_grad], lr=lr)
    data = restorer.data_preprocessor(data, True)
    losses: list[float] = []
    while len(losses) < steps and not (losses and losses[-1] < losses[0] / 10):
        loss = restorer(**data, mode="loss")["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def small(backbone: dict) -> dict:
    kind = "MultiScaleRestorer" if backbone["type"] == "MDSR" else "Restorer"
    return {"type": kind, "backbone": backbone, "loss": {"type": "L1Loss"}}


SMALL = {
    "edsr": {"type": "EDSR", "scale": 2, "channels": 16, "num_blocks": 4},
    "edsr_full": {"type": "EDSR", "scale": 3, "channels": 32, "num_blocks": 8, "res_scale": 0.1},
    "mdsr": {"type": "MDSR", "scales": (2, 3), "channels": 16, "num_blocks": 4},
    "drln_bam": {"type": "DRLN", "scale": 2, "channels": 4, "attention": "bam"},
    **{
        f"srcnn_{row}": {"type": "SRCNNAblation", "scale": 2, **preset, "channels": 16}
        for row, preset in ablation_rows().items()
        if row in ("task1", "task5", "task6", "task7-prelu", "clean-after")
    },
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if "drln" in n else []) for n in SMALL]
)
def test_small_networks_learn_a_batch_by_heart(name):
    backbone = SMALL[name]
    scale = backbone.get("scale", 3)
    losses = overfit(small(backbone), batch(scale, 12, 2), steps=400, lr=2e-3)
    assert losses[-1] < losses[0] / 10, (losses[0], losses[-1], len(losses))


FULL = [
    "edsr_x2c64b16_g1_300k_div2k",
    "edsr_x2c256b32_g1_300k_div2k",
    "mdsr_x2x3x4c64b16_g1_650k_div2k",
    "drln-bam_x2c64b20_g1_250k_div2k",
    "srcnn_x2k915_g1_1000k_div2k",
    *(
        f"ablation-{name}"
        for name in ("task1_x2c64b1_g1_604k_div2k", "task3_x2c64b6_g1_604k_div2k")
    ),
    *(
        f"ablation-{name}"
        for name in ("task4_x2c32b6_g1_302k_div2k", "task5_x2c64b7_g1_302k_div2k")
    ),
    "ablation-task6_x2c64b6_g1_604k_div2k",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_networks_of_the_configs_learn_a_batch_by_heart(name):
    config = load_config(name)
    # A network of plain convolutions around a bicubic skip starts near the goal and is slow.
    small_one = name.startswith(("ablation", "srcnn"))
    patch, lr = (16, 1e-3) if small_one else (8, 1e-4 if "c256" in name else 3e-4)
    losses = overfit(to_plain(config.model), batch(2, patch, 2), steps=600, lr=lr)
    assert losses[-1] < losses[0] / 10, (losses[0], losses[-1], len(losses))
