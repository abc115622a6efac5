"""The baseline of ``benchmark photo``: read, run a network whole, write; and its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np


def write_files(folder: Path, side: int) -> dict[str, tuple[Path, Path, Path]]:
    """A photo, and for each network its weights for superres and its two files for ncnn."""
    from benchmarks.infer import BLOCKS, CHANNELS, network
    from superres.checkpoints import save_safetensors
    from superres.checkpoints.light import read_own
    from superres.checkpoints.shipped import shipped
    from superres.inference.backends.ncnn_networks import write

    noise = np.random.default_rng(0).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
    photo = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "photo.png"), photo)
    large = folder / "edsr.safetensors"
    config = {"type": "EDSR", "channels": CHANNELS, "num_blocks": BLOCKS, "scale": 4}
    save_safetensors(large, network(4), config)
    found = {}
    for title, weights in (
        ("edsr-s", shipped()["edsr-s_x4"]),
        (f"EDSR {BLOCKS}x{CHANNELS}", large),
    ):
        written = write(*read_own(weights), 4)
        param, model = folder / f"{title}.param", folder / f"{title}.bin"
        param.write_text(written.param)
        model.write_bytes(written.weights)
        found[title] = (weights, param, model)
    return found


def main(param: str, model: str, photo: str, out: str) -> None:
    import ncnn

    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.num_threads = int(os.environ.get("OMP_NUM_THREADS") or net.opt.num_threads)
    net.load_param(param)
    net.load_model(model)
    x = cv2.imread(photo)[..., ::-1].astype(np.float32).transpose(2, 0, 1) / 255
    extractor = net.create_extractor()
    extractor.input("in", ncnn.Mat(np.ascontiguousarray(x)).clone())
    y = np.asarray(extractor.extract("out")[1])
    result = (y.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    cv2.imwrite(out, np.ascontiguousarray(result[..., ::-1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
