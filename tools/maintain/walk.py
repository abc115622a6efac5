"""How far a sample, a weight file, a config, a training and a photo walk through the code.

    python tools/maintain/walk.py [TREE]

Counts the files of superres that each goes through and the calls of their functions, by
``sys.setprofile`` in all threads of this process. What Python does on import is not counted. TREE
is another checkout, such as ``git worktree add --detach TREE COMMIT`` makes; default: this one.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAIN = """--seed 0 --cfg-options train_set=set val_sets=[] test_sets=[] max_iters=2
    checkpoint_interval=2 global_batch_size=2 lq_patch_size=16 num_workers=0 tensorboard=False
    fast=off model.backbone.channels=8 model.backbone.num_blocks=1""".split()  # noqa: SIM905


def subjects(tree: Path) -> dict[str, Callable[[int], Any]]:
    """What walks, by name: functions of a number, so that each can be called twice."""
    import cv2
    import numpy as np

    from superres.cli.main import main
    from superres.datasets.paired import PairedDataset
    from superres.datasets.sampler import SampleKey

    os.mkdir("set")
    for name in ("a", "b"):
        cv2.imwrite(f"set/{name}.png", np.random.default_rng(0).integers(0, 256, (96, 96, 3), "u1"))
    cv2.imwrite("photo.png", np.zeros((24, 32, 3), "u1"))
    pipeline = [{"type": "PairedRandomCrop", "lq_patch_size": 16}, {"type": "PackInputs"}]
    pipeline[1:1] = [{"type": "RandomFlip", "direction": "horizontal"}, {"type": "RandomTranspose"}]
    dataset = PairedDataset("set", scale=2, pipeline=pipeline)
    config = f"{tree}/configs/edsr/edsr_x2c64b16_g1_300k_div2k.py"
    upscale = ["upscale", "photo.png", "--model", "edsr-s", "--scale", "2", "-o"]
    return {
        "sample": lambda _: dataset[SampleKey(0, 5, 2)],
        "weight file": lambda _: main(
            ["models", "info", f"{tree}/superres/weights/edsr-s_x2.safetensors"]
        ),
        "config": lambda _: main(["print-config", config]),
        "training": lambda turn: main(["train", config, "--work-dir", f"work{turn}", *TRAIN]),
        "photo": lambda turn: main([*upscale, f"out{turn}"]),
    }


def calls_of(walk: Callable[[int], Any], own: str) -> Counter[str]:
    """The calls of one walk, by file below ``own``; a first one, which imports, is not counted."""
    calls: Counter[str] = Counter()

    def profile(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name[0] != "<" and code.co_filename.startswith(own):
            calls[code.co_filename] += 1

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        failed = walk(1)
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            failed = walk(2) or failed
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    if isinstance(failed, int) and failed:
        sys.exit("a command failed; run it by hand")
    return calls


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    sys.path[:1] = [str(root)]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, walk in subjects(root).items():
            found = calls_of(walk, f"{root}/superres/")
            print(f"{name:<12} {len(found):>4} files {sum(found.values()):>7} calls")
