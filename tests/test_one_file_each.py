"""A backbone, weight format, transform, loss, hook, metric, protocol and command: a file each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from superres.models.backbones.srcnn import SRCNN

from .engine.conftest import ROOT, make_world, tiny_options

NEW = {
    "models/backbones/new_net.py": '''
from torch import nn
from superres.models.layers import Backbone
from superres.registry import MODELS

@MODELS.register_module()
class NewNet(Backbone):
    """One convolution."""

    def __init__(self, channels: int = 4, num_blocks: int = 1, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.receptive_radius = scale, 1
        self.body = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.shuffle(self.body(x))
''',
    "checkpoints/formats/new_format.py": """
from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import Format, Layout

NAMES = {"conv1": "first", "conv2": "second", "conv3": "third.0"}
LAYOUT = Layout("SRCNN", arguments.srcnn, NAMES, enlarges_first=True)
FORMAT = Format("new-format", "the new format", "0..1", (LAYOUT,))
""",
    "datasets/transforms/new_transform.py": """
from superres.registry import TRANSFORMS

@TRANSFORMS.register_module()
class NewTransform:
    def __call__(self, sample):
        print("transformed", sample["gt"].shape)
        return sample
""",
    "models/losses/new_loss.py": """
from torch import nn
from superres.registry import MODELS

@MODELS.register_module()
class NewLoss(nn.Module):
    def forward(self, pred, target):
        print("lost")
        return (pred - target).abs().mean()
""",
    "engine/hooks/new_hook.py": """
from mmengine.hooks import Hook
from superres.registry import HOOKS

@HOOKS.register_module()
class NewHook(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        print("hooked", runner.iter)
""",
    "evaluation/metrics/new_metric.py": """
from superres.registry import METRICS

@METRICS.register_module("new-metric")
class NewMetric:
    title, better, text = "NEW", "higher", "the number of samples, and more"

    def __init__(self, more: float = 0.0) -> None:
        self.more = more

    def __call__(self, sr, hr, protocol):
        return sr.size + self.more if protocol.name == "new-protocol" else float("nan")
""",
    "evaluation/protocols/new_protocol.py": """
from ._rules import Protocol, register_protocol

register_protocol(Protocol(name="new-protocol", channel="rgb", border_extra=1))
""",
    "cli/new_command.py": '''"""A new command."""

def add_arguments(parser):
    parser.add_argument("word")

def run(args):
    print("commanded", args.word)
    return 0
''',
}

CONFIG = """
_base_ = [f"{root}/configs/_base_/{{name}}.py" for name in (
    "datasets/div2k", "schedules/adam_300k", "default_runtime")]
scale = 2
model = dict(type="Restorer", backbone=dict(type="NewNet"), loss=dict(type="NewLoss"))
train_pipeline = [dict(type="PairedRandomCrop"), dict(type="NewTransform"), dict(type="PackInputs")]
custom_hooks = [dict(type="NewHook")]
metrics = ["psnr", dict(type="new-metric", more=0.5)]
protocols = dict(valid=["edsr-y", "new-protocol"], testset="new-protocol")
"""


def test_one_file_each(tmp_path):
    """Training, test and score use them all, from the command line of a copied package."""
    package = tmp_path / "copy/superres"
    shutil.copytree(ROOT / "superres", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package.parent / "configs").symlink_to(ROOT / "configs")
    for name, text in NEW.items():
        assert not (package / name).exists()
        (package / name).write_text(text)
    (tmp_path / "world").mkdir()
    world = make_world(tmp_path / "world")
    config = tmp_path / "own.py"
    config.write_text(CONFIG.format(root=ROOT))

    def superres(*arguments: str | Path, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "superres", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    assert superres("new-command", "there") == "commanded there\n"
    assert "A new command." in superres("--help")
    changes = ["--cfg-options", *tiny_options(world), "max_iters=2", "val_interval=2"]
    work = tmp_path / "work"
    said = superres("train", config, "--work-dir", work, *changes)
    assert "transformed (24, 24, 3)" in said
    assert said.count("lost") == 2
    assert "hooked 1" in said
    size = (64 - 6) * (72 - 6) * 3 + 0.5
    assert f"new-metric {size:.4f} (new-protocol)" in said
    wrong = "2 of 2 images have no new-metric: p10, p11 (new-metric of 68x60 failed: "
    assert f"warning: valid by edsr-y: {wrong}it gave nan instead of a finite number)" in said
    log = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    results = next(line["results"] for line in log if line["mode"] == "val")
    assert [entry["new-metric"] for entry in results] == [None, size, size]

    out = tmp_path / "out"
    superres(
        *("test", config, work / "best.pth", "--out", out, "--save-images", "--sets", "testset"),
        *changes,
    )
    record = json.loads((out / "results.json").read_text())
    assert record["network"]["type"] == "NewNet"
    tested = record["results"][0]
    assert (tested["protocol"], tested["new-metric"]) == ("new-protocol", size)
    assert "NEW, higher is better: the number of samples" in (out / "results.md").read_text()

    pictures = out / "images/testset/x2"
    superres(
        *("score", pictures, world / "testset", "--scale", "2", "--out", tmp_path / "scored"),
        *("--protocol", "new-protocol", "--metrics", "new-metric"),
    )
    scored = json.loads((tmp_path / "scored/results.json").read_text())["results"][0]
    assert (scored["psnr"], scored["new-metric"]) == (tested["psnr"], size - 0.5)

    torch.save(SRCNN(scale=2).state_dict(), tmp_path / "ours.pth")
    superres("convert", "ours.pth", "theirs.pth", "--to", "new-format", "--scale", "2")
    assert "third.0.bias" in torch.load(tmp_path / "theirs.pth", weights_only=True)
    assert "new-format weights, SRCNN x2" in superres(
        "convert", "theirs.pth", "back.safetensors", "--scale", "2"
    )
