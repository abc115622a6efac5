"""docs/gallery.md: photographs under a free licence, enlarged by the weights of the package."""

from __future__ import annotations

from pathlib import Path

from maintain import ROOT, filled
from superres.checkpoints import load_model
from superres.checkpoints.shipped import DEFAULT, variants
from superres.evaluation.protocols import evaluate_pair
from superres.imaging.comparison import comparison
from superres.imaging.io import read_image, write_image
from superres.imaging.photographs import photograph
from superres.imaging.resize import imresize, modcrop
from superres.upscaling.python import upscale

DOCS = ROOT / "docs"
# scikit-image's example images, none of which the shipped weights have seen.
PHOTOGRAPHS = {
    "astronaut": ("Eileen Collins", "NASA, public domain"),
    "coffee": ("A cup of coffee", "Rachel Michetti, CC0"),
    "chelsea": ("Chelsea the cat", "Stéfan van der Walt, CC0"),
}


def pages() -> dict[Path, str]:
    """The page; its images are written to ``images`` on the way."""
    lines = []
    for scale in variants(DEFAULT):
        network = load_model(DEFAULT, scale=scale, device="cpu")
        lines.append(f"## x{scale}\n")
        for name, (title, licence) in PHOTOGRAPHS.items():
            hr = modcrop(read_image(photograph("skimage", f"data/{name}.png")), scale)
            lq = imresize(hr, scale=1 / scale)
            sr = upscale(network, lq, backend="torch")
            target = DOCS / "images" / f"gallery_{name}_x{scale}.jpg"
            write_image(target, comparison(lq, sr, hr, zoom=3), quality=88)
            scores = " / ".join(
                "{psnr:.2f} dB, {ssim:.4f}".format(**evaluate_pair(image, hr, scale, "edsr-y"))
                for image in (imresize(lq, size=hr.shape[:2]), sr)
            )
            lines.append(f"![{title}, x{scale}](images/{target.name})\n")
            lines.append(f"{title} ({licence}): bicubic / {DEFAULT} {scores}\n")
    return {DOCS / "gallery.md": filled(DOCS / "gallery.md", "\n".join(lines))}
