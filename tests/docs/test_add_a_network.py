"""The network of "Add a network in 30 lines" is one of the registry's, and as long as promised."""

from __future__ import annotations

import sys

import torch

from tests.docs.blocks import ROOT, blocks
from tests.docs.program import run

PAGE = ROOT / "docs/add_a_network.md"


def test_the_example_registers_trains_and_upscales(world, monkeypatch):
    place = world()
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    files = {block.title: block.code for block in blocks(PAGE) if block.title}
    assert sorted(files) == ["largest_error.py", "plain_net.py", "plain_x2.py"]
    assert len(files["plain_net.py"].splitlines()) <= 30
    for name, code in files.items():
        (place / name).write_text(code.replace('["plain_net"]', '["plain_net", "largest_error"]'))
    assert run(["train", "plain_x2.py"]) == 0
    test = ["test", "plain_x2.py", "work_dirs/plain_x2/best.pth", "--sets", "Set5", "--out", "out"]
    assert run([*test, "--metrics", "LargestError"]) == 0
    assert "LargestError: The largest difference" in (place / "out/results.md").read_text()

    import superres
    from superres.registry import MODELS

    assert MODELS.get("PlainNet").__module__ == "plain_net"
    model = superres.load_model("work_dirs/plain_x2/best.pth", device="cpu")
    assert type(model).__name__ == "PlainNet"
    picture = torch.rand(3, 9, 14)
    larger = model.upscale(picture, backend="torch")
    assert larger.shape == (3, 18, 28)
    # After two iterations it is still near its skip, the repetition of each pixel.
    repeated = picture.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert float((larger - repeated).abs().mean()) < 0.2


def test_its_receptive_radius_is_what_it_says(world, monkeypatch):
    place = world()
    (place / "plain_net_2.py").write_text(
        blocks(PAGE)[0].code.replace(
            "@MODELS.register_module()", "@MODELS.register_module(force=True)"
        )
    )
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    import plain_net_2

    torch.manual_seed(0)
    model = plain_net_2.PlainNet(channels=8, num_blocks=2, scale=2).double()
    x = torch.rand(1, 3, 1, 41, dtype=torch.float64).expand(1, 3, 41, 41).clone()
    changed = x.clone()
    changed[..., 20, 20] += 1
    with torch.inference_mode():
        difference = (model(changed) - model(x)).abs().amax((0, 1, 2))
    reached = difference.nonzero().flatten()
    assert int(reached.min()) // 2 >= 20 - model.receptive_radius
    assert int(reached.max()) // 2 <= 20 + model.receptive_radius
    assert int(reached.min()) // 2 <= 20 - model.receptive_radius + 2
