"""One small photo on the command line: `superres upscale` against a bare script with ncnn."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, environment, measure, ratio, report
from superres.errors import UserError

IMPORTS = "python, imports of numpy, cv2, Pillow, rich and ncnn"
_CODE = {
    "imports": "import numpy, cv2, PIL.Image, rich.console, ncnn",
    "superres": "import sys; from superres.cli.main import main; sys.exit(main(sys.argv[1:]))",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=200, help="of the photo (200)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Start processes, each anew, in turn; cold: without byte code, and with files off the disk."""
    from benchmarks._photo_script import write_files

    with tempfile.TemporaryDirectory(prefix="superres-photo-") as name:
        folder = Path(name)
        networks = write_files(folder, args.side)
        photo, out = folder / "photo.png", folder / "out.png"
        calls = {IMPORTS: ["-c", _CODE["imports"]]}
        ratios = []
        for title, (weights, param, model) in networks.items():
            ours, script = f"superres upscale, {title}", f"ncnn script, {title}"
            words = ["upscale", photo, "-o", out, "--overwrite", "--model", weights]
            calls[ours] = ["-c", _CODE["superres"], *words, "--device", "cpu", "--scale", "4"]
            calls[script] = ["-m", "benchmarks._photo_script", param, model, photo, out]
            ratios.append((ours, script))
        cold = {f"{name}, cold": command for name, command in list(calls.items())[1:3]}
        variants = [Variant(n, partial(_start, n, c), 1, "s") for n, c in calls.items()]
        variants += [Variant(n, partial(_start, n, c, folder), 1, "s") for n, c in cold.items()]
        ratios.append(tuple(cold))
        rows = measure(variants, args.repeats)
    found = {f"{above} / {below}": ratio(rows, above, below) for above, below in ratios}
    return report("photo", rows, found, setup={"photo": f"{args.side}x{args.side} px, x4"})


def _start(name: str, arguments: list[Any], cold: Path | None = None) -> None:
    env = environment()
    if cold:
        env["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(dir=cold)
        for package in ("numpy", "cv2", "PIL", "rich", "ncnn", "superres"):
            _forget(Path(find_spec(package).origin).parent)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=env
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise UserError(f"benchmark photo: {name} failed: {last[-1]}")


def _forget(folder: Path) -> None:
    """Ask the system to drop what it holds of a folder's files in memory."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
