"""Less memory for the same training, and what is said when there is too little."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from superres.errors import UserError
from superres.inference.backends.pytorch import LiveBytes
from superres.models.backbones.drln import DRLN
from superres.models.backbones.edsr import EDSR
from superres.models.backbones.srresnet import SRResNet
from superres.models.recompute import block_lists, recompute

from .conftest import ROOT, command

NETWORKS = {
    "edsr": (lambda: EDSR(channels=16, num_blocks=8, scale=2, res_scale=0.1), "body.*", 8),
    "drln": (lambda: DRLN(channels=16, scale=2), "blocks.*", 20),
}


def gradients(net: torch.nn.Module, patterns: list[str], amp: bool) -> tuple[list, int, list[str]]:
    net = copy.deepcopy(net)
    names = recompute(net, patterns)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with LiveBytes() as live:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = net(x).float().square().mean()
        # What is kept for the backward pass. Its peak is not looked at: under checkpointing,
        # LiveBytes counts what a second pass computes beyond its life.
        kept = live.now
        loss.backward()
    return [p.grad for p in net.parameters() if p.requires_grad], kept, names


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_recomputed_blocks_give_the_same_gradients_in_less_memory(name, amp):
    make, pattern, count = NETWORKS[name]
    torch.manual_seed(0)
    net = make()
    plain, most, _ = gradients(net, [], amp)
    again, less, names = gradients(net, [pattern], amp)
    assert len(names) == count
    assert all(torch.equal(a, b) for a, b in zip(plain, again))
    assert less < 0.7 * most
    assert pattern in block_lists(net)


def test_recomputing_changes_nothing_else():
    net = EDSR(channels=8, num_blocks=4, scale=2)
    keys, x = list(net.state_dict()), torch.rand(1, 3, 8, 8)
    before = net(x)
    recompute(net, ["body.1", "body.3"])
    twin = copy.deepcopy(net)
    assert list(net.state_dict()) == keys
    assert torch.equal(net(x), before)
    # A copy computes with its own weights, as averaged ones must.
    torch.nn.init.zeros_(net.body[1].conv2.weight)
    assert torch.equal(twin(x), before)
    with torch.no_grad():
        assert not torch.equal(net(x), before)


def test_blocks_that_cannot_be_recomputed():
    with pytest.raises(UserError, match=r"no module 'blocks\.\*'.*body\.\*"):
        recompute(EDSR(channels=8, num_blocks=4, scale=2), ["blocks.*"])
    with pytest.raises(UserError, match="batch normalisation"):
        recompute(SRResNet(channels=8, num_blocks=2, scale=2), ["*"])
    with pytest.raises(UserError, match=r"blocks is a list of blocks; write 'blocks\.\*'"):
        recompute(DRLN(channels=16, scale=2), ["blocks"])


LIMITED = """
import resource, runpy, sys
import torch, superres.engine.train.trainer
torch.set_num_threads(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {more}, used + {more}))
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_too_little_memory_says_what_to_lower(options, tmp_path):
    large = ["lq_patch_size=32", "global_batch_size=12", "model.backbone.channels=128",
             "model.backbone.num_blocks=16", "checkpoint_interval=100"]  # fmt: skip
    arguments = command(options, tmp_path / "work", *large)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(more=160 << 20), *arguments[1:]],
        capture_output=True, text=True, cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    message = done.stderr
    assert "out of memory on cpu in iteration 1" in message
    for setting in ("accumulate=2", "recompute=['body.*']", "amp=True", "lq_patch_size (now 32)",
                    "global_batch_size (now 12"):  # fmt: skip
        assert setting in message


def test_an_allocation_that_fails_in_validation(train, capsys, monkeypatch):
    from superres.engine.test.evaluate import Evaluation

    def score(*_, **__):
        torch.empty(1 << 60, dtype=torch.uint8)  # more than any machine has

    monkeypatch.setattr(Evaluation, "score", score)
    assert train("max_iters=3", "val_interval=3") == 2
    message = capsys.readouterr().err
    assert "validation at iteration 3" in message
    assert "model.inference=dict(tile=128)" in message
    assert "iter_3.pth is whole" in message
