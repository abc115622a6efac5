"""How far a sample, a weight file, a config, a training and a photo walk through the code.

    python tools/maintain/walk.py [COMMIT ...] [--json FILE]

Counts, for each commit (this checkout's files by default), the files of superres that a subject
goes through and the calls of their functions, by ``sys.setprofile`` in all threads of one process.
What Python does on import is not counted. Of several commits the ratios to the first are shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SUBJECTS = {
    "sample": "dataset[key]",
    "weight file": "main(['models', 'info', weights])",
    "config": "main(['print-config', config])",
    "training": "main(['train', config, '--work-dir', f'work{turn}', '--seed', '0', *options])",
    "photo": "main(['upscale', 'photo.png', '--model', 'edsr-s', '--scale', '2', '-o', f'out{turn}'])",  # noqa: E501
}

PROGRAM = """
import contextlib, io, json, os, sys, threading
from pathlib import Path
subject, tree = sys.argv[1], sys.argv[2]
import cv2, numpy
for name in ("a", "b"):
    os.makedirs("set", exist_ok=True)
    cv2.imwrite(f"set/{name}.png", numpy.random.default_rng(0).integers(0, 256, (96, 96, 3), "u1"))
cv2.imwrite("photo.png", numpy.zeros((24, 32, 3), "u1"))
from superres.cli.main import main
from superres.datasets.paired import PairedDataset
from superres.datasets.sampler import SampleKey
import superres
assert superres.__file__.startswith(tree), superres.__file__
weights = tree + "/superres/weights/edsr-s_x2.safetensors"
config = tree + "/configs/edsr/edsr_x2c64b16_g1_300k_div2k.py"
options = ["--cfg-options", "train_set=set", "val_sets=[]", "test_sets=[]", "max_iters=2",
    "checkpoint_interval=2", "global_batch_size=2", "lq_patch_size=16", "num_workers=0",
    "tensorboard=False", "fast=off", "model.backbone.channels=8", "model.backbone.num_blocks=1"]
pipeline = [dict(type="PairedRandomCrop", lq_patch_size=16),
    dict(type="RandomFlip", direction="horizontal"), dict(type="RandomTranspose"),
    dict(type="PackInputs")]
dataset = PairedDataset("set", scale=2, pipeline=pipeline)
key = SampleKey(0, 5, 2)
files, calls = {}, 0
def profile(frame, event, _):
    global calls
    name = frame.f_code.co_filename
    own = name.startswith(tree + "/superres/") and frame.f_code.co_name[0] != "<"
    if event == "call" and own:
        calls += 1
        files[name[len(tree) + 1:]] = files.get(name[len(tree) + 1:], 0) + 1
said = io.StringIO()
for turn in (1, 2):  # the first one imports
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if turn == 2:
            threading.setprofile(profile)
            sys.setprofile(profile)
        try:
            result = RUN
        finally:
            sys.setprofile(None)
    assert subject == "sample" or not result, said.getvalue()
print(json.dumps({"files": len(files), "calls": calls, "where": files}))
"""


def walk(tree: Path, subject: str) -> dict[str, int]:
    """Files and calls of one subject in a checkout.

    Raises:
        SystemExit: it cannot be walked there; the end of what it said is shown.
    """
    program = PROGRAM.replace("RUN", SUBJECTS[subject])
    with tempfile.TemporaryDirectory(prefix="walk-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, subject, str(tree)],
            cwd=folder,
            env={"PYTHONPATH": str(tree), "HOME": folder, "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise SystemExit(f"{tree}: {subject}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: list[str] | None = None) -> int:
    """Count, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commits", nargs="*", metavar="COMMIT")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for commit in args.commits or ["."]:
        with tempfile.TemporaryDirectory(prefix="walk-") as folder:
            tree = ROOT
            git = ["git", "-C", str(ROOT), "worktree"]
            if args.commits:
                tree = Path(folder).resolve() / "tree"
                subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
            try:
                found[commit] = {subject: walk(tree, subject) for subject in SUBJECTS}
            finally:
                if args.commits:
                    subprocess.run([*git, "remove", "--force", str(tree)], check=False)
    first = next(iter(found.values()))
    for commit, subjects in found.items():
        for subject, counts in subjects.items():
            ratios = "  ".join(
                f"{counts[what]:>6} {what} ({counts[what] / first[subject][what]:.0%})"
                for what in ("files", "calls")
            )
            print(f"{commit[:12]:<12}  {subject:<12} {ratios}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
