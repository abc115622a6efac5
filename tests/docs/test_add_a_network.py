"""The network of "Add a network in 30 lines" is as long as promised, and reaches as far."""

from __future__ import annotations

import sys

import torch

from superres.registry import MODELS
from tests.docs.blocks import ROOT, blocks


def test_the_example(tmp_path, monkeypatch):
    """That it registers, trains and upscales is tested with the other blocks of the page."""
    files = {block.title: block.code for block in blocks(ROOT / "docs/add_a_network.md")}
    assert {"largest_error.py", "plain_net.py", "plain_x2.py"} <= files.keys()
    code = files["plain_net.py"]
    assert len(code.splitlines()) <= 30
    again = code.replace("@MODELS.register_module()", "@MODELS.register_module(force=True)")
    (tmp_path / "plain_net_2.py").write_text(again)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    import plain_net_2

    del MODELS.module_dict["PlainNet"]  # the page's blocks register it, too
    torch.manual_seed(0)
    network = plain_net_2.PlainNet(channels=8, num_blocks=2, scale=2).double()
    x = torch.rand(1, 3, 1, 41, dtype=torch.float64).expand(1, 3, 41, 41).clone()
    changed = x.clone()
    changed[..., 20, 20] += 1
    with torch.inference_mode():
        difference = (network(changed) - network(x)).abs().amax((0, 1, 2))
    reached, radius = difference.nonzero().flatten() // 2, network.receptive_radius
    assert 20 - radius <= int(reached.min()) <= 20 - radius + 2
    assert int(reached.max()) <= 20 + radius
