"""One small photo on the command line: `superres upscale` against a bare script with ncnn."""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import SUPERRES, Variant, measure, python, ratios, sizes

IMPORTS = "python, imports of numpy, cv2, Pillow, rich and ncnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes(parser, 8, side=200)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Start new processes in turn; cold: without byte code, and with files off the disk."""
    photo, out = folder / "photo.png", folder / "out.png"
    calls: dict[str, list[Any]] = {IMPORTS: ["-c", "import numpy, cv2, PIL.Image, rich, ncnn"]}
    pairs = []
    for title, (weights, param, model) in write_files(folder, args.side).items():
        pairs.append((f"superres upscale, {title}", f"ncnn script, {title}"))
        words = ["upscale", photo, "-o", out, "--overwrite", "--model", weights, "--scale", "4"]
        calls[pairs[-1][0]] = [*SUPERRES, *words, "--device", "cpu"]
        calls[pairs[-1][1]] = ["-m", "benchmarks._photo_script", param, model, photo, out]
    variants = [Variant(name, partial(python, *words), 1, "s") for name, words in calls.items()]
    for name in pairs[0]:
        variants.append(Variant(f"{name}, cold", partial(cold, folder, calls[name]), 1, "s"))
    pairs.append(tuple(f"{name}, cold" for name in pairs[0]))
    rows = measure(variants, args.repeats)
    setup = {"photo": f"{args.side}x{args.side} px, x4"}
    return {"rows": rows, "ratios": ratios(rows, *pairs), "setup": setup}


def cold(folder: Path, words: list[Any]) -> None:
    """Run Python without byte code, when the system has dropped the packages' files from memory."""
    for package in ("numpy", "cv2", "PIL", "rich", "ncnn", "superres"):
        for path in Path(find_spec(package).origin).parent.rglob("*"):
            if path.is_file() and hasattr(os, "posix_fadvise"):
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
    python(*words, PYTHONPYCACHEPREFIX=tempfile.mkdtemp(dir=folder))


def write_files(folder: Path, side: int) -> dict[str, tuple[Path, Path, Path]]:
    """A photo, and for each network its weights for superres and its two files for ncnn."""
    import cv2
    import numpy as np

    from benchmarks.infer import CONFIG, network
    from superres.checkpoints import save_safetensors
    from superres.checkpoints.weight_files import read_own
    from superres.checkpoints.zoo import shipped
    from superres.inference.backends.ncnn_networks import write

    noise = np.random.default_rng(0).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
    photo = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "photo.png"), photo)
    large = save_safetensors(folder / "edsr.safetensors", network(4), {**CONFIG, "scale": 4})
    found = {}
    for title, weights in {"edsr-s": shipped()["edsr-s_x4"], "EDSR 16x64": large}.items():
        written = write(*read_own(weights), 4)
        param, model = folder / f"{title}.param", folder / f"{title}.bin"
        param.write_text(written.param)
        model.write_bytes(written.weights)
        found[title] = (weights, param, model)
    return found
