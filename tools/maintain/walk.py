"""How far a sample, a weight file, a config, a training and a photo walk through the code.

    python tools/maintain/walk.py [TREE]

Counts the files of superres that each goes through and the calls of their functions, by
``sys.setprofile`` in all threads; the first walk, which imports, is not counted. TREE is another
checkout, such as ``git worktree add --detach TREE COMMIT`` makes; default: this one.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAIN = """--work-dir work --seed 0 --cfg-options train_set=set val_sets=[] test_sets=[] max_iters=2
    checkpoint_interval=2 global_batch_size=2 lq_patch_size=16 num_workers=0 tensorboard=False
    fast=off model.backbone.channels=8 model.backbone.num_blocks=1""".split()  # noqa: SIM905


def sample() -> None:
    """One of a folder of images, as the EDSR configs have it."""
    from superres.datasets.paired import PairedDataset
    from superres.datasets.sampler import SampleKey

    pipeline = [{"type": "PairedRandomCrop", "lq_patch_size": 16}, {"type": "PackInputs"}]
    pipeline[1:1] = [{"type": "RandomFlip", "direction": "horizontal"}, {"type": "RandomTranspose"}]
    PairedDataset("set", scale=2, pipeline=pipeline)[SampleKey(0, 5, 2)]


def calls_of(walk: Callable[[], Any], own: str) -> Counter[str]:
    """The calls of one walk, by file below ``own``."""
    calls: Counter[str] = Counter()

    def profile(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name[0] != "<" and code.co_filename.startswith(own):
            calls[code.co_filename] += 1

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        walk()  # what is imported, and done once
        threading.setprofile(profile)
        sys.setprofile(profile)
        assert not walk(), "a command failed; run it by hand"
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    sys.path[:1] = [str(root)]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        import cv2
        import numpy as np

        from superres.cli.main import main

        Path("set").mkdir()
        for name in ("set/a.png", "set/b.png"):
            cv2.imwrite(name, np.random.default_rng(0).integers(0, 256, (96, 96, 3), "u1"))
        config = f"{root}/configs/edsr/edsr_x2c64b16_g1_300k_div2k.py"
        commands = {
            "weight file": ["models", "info", f"{root}/superres/weights/edsr-s_x2.safetensors"],
            "config": ["print-config", config],
            "training": ["train", config, *TRAIN],
            "photo": ["upscale", "set/a.png", "--model", "edsr-s_x2", "-o", "b.png", "--overwrite"],
        }
        walks = {"sample": sample} | {n: lambda c=c: main(c) for n, c in commands.items()}
        for name, walk in walks.items():
            found = calls_of(walk, f"{root}/superres/")
            print(f"{name:<12} {len(found):>4} files {sum(found.values()):>7} calls")
