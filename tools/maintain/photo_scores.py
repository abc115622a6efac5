"""Scores on JPEGs: the shipped networks beside bicubic, by JPEG quality.

python tools/maintain/photo_scores.py FOLDER

reduces each image of FOLDER by MATLAB's bicubic, saves it as JPEG (4:2:0) of several qualities or
not at all, upscales what comes back and scores it by edsr-y. Writes docs/results/photo_scores.json,
which the cards of the weights quote. On record: 256x256 crops of DIV2K's validation set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT
from superres.checkpoints import load_model
from superres.checkpoints.zoo import shipped
from superres.cli.main import exit_code
from superres.evaluation.protocols import evaluate_pair
from superres.imaging.degrade import jpeg
from superres.imaging.io import read_image
from superres.imaging.listing import list_images
from superres.imaging.resize import imresize, modcrop

PAGE = ROOT / "docs/results/photo_scores.json"
# Of the JPEG; None is the image as it is.
QUALITIES = (None, 95, 90, 75, 50, 30)


def measure(folder: Path, scale: int) -> dict[str, dict[str, float]]:
    """Mean Y-PSNR in dB by method and quality."""
    names = [name for name in shipped() if name.endswith(f"_x{scale}")]
    methods = {"bicubic": lambda lr: imresize(lr, scale=scale)}
    methods |= {name: load_model(name).upscale for name in names}
    found: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
    for path in list_images(folder):
        hr = modcrop(read_image(path), scale)
        clean = imresize(hr, scale=1 / scale)
        for quality in QUALITIES:
            lr = jpeg(clean, quality) if quality else clean
            for name, upscale in methods.items():
                score = evaluate_pair(upscale(lr), hr, scale, "edsr-y")["psnr"]
                found[name].setdefault(str(quality or "clean"), []).append(score)
    return {name: {q: fmean(s) for q, s in rows.items()} for name, rows in found.items()}


def main() -> int:
    """Measure, and write the JSON file."""
    folder = Path(sys.argv[1])
    scores = {f"x{scale}": measure(folder, scale) for scale in (2, 3, 4)}
    record = {"images": folder.name, "protocol": "edsr-y", "scores": scores}
    PAGE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
