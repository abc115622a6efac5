"""docs/gallery.md: photographs under a free licence, enlarged by the weights of the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from superres.checkpoints import load_model
from superres.checkpoints.shipped import DEFAULT, variants
from superres.evaluation.protocols import evaluate_pair
from superres.files import write_text
from superres.imaging.comparison import comparison
from superres.imaging.io import read_image, write_image
from superres.imaging.photographs import photograph
from superres.imaging.resize import imresize, modcrop
from superres.paths import share_dir
from superres.upscaling.python import upscale


@dataclass(frozen=True)
class Photograph:
    """One of scikit-image's example pictures, none of which the shipped weights have seen."""

    file: str
    title: str
    licence: str


PHOTOGRAPHS = (
    Photograph("astronaut.png", "Eileen Collins", "NASA, public domain"),
    Photograph("coffee.png", "A cup of coffee", "Rachel Michetti, CC0"),
    Photograph("chelsea.png", "Chelsea the cat", "Stéfan van der Walt, CC0"),
)
HEAD = """\
# Gallery

Made by `superres models gallery`: photographs that come with scikit-image, reduced by MATLAB's
bicubic and enlarged again by bicubic and by the weights of the package, which have never seen them.
PSNR and SSIM are those of the whole picture (edsr-y).
"""


def write_gallery(docs: Path | None = None, photographs: tuple = PHOTOGRAPHS) -> list[Path]:
    """Write ``gallery.md`` and its pictures in ``images``; gives the files.

    Args:
        docs: the folder; that of the checkout by default.
        photographs: which to show.

    Raises:
        UserError: a photograph's package is not installed.
    """
    docs = docs or share_dir("configs").parent / "docs"
    lines, files = [HEAD], []
    for scale in variants(DEFAULT):
        network = load_model(DEFAULT, scale=scale, device="cpu")
        lines.append(f"## x{scale}\n")
        for photo in photographs:
            hr = modcrop(read_image(photograph("skimage", f"data/{photo.file}")), scale)
            lq = imresize(hr, scale=1 / scale)
            sr = upscale(network, lq, backend="torch")
            target = docs / "images" / f"gallery_{Path(photo.file).stem}_x{scale}.jpg"
            target.parent.mkdir(exist_ok=True)
            write_image(target, comparison(lq, sr, hr, zoom=3), quality=88)
            files.append(target)
            scores = " / ".join(
                "{psnr:.2f} dB, {ssim:.4f}".format(**evaluate_pair(picture, hr, scale, "edsr-y"))
                for picture in (imresize(lq, size=hr.shape[:2]), sr)
            )
            lines.append(f"![{photo.title}, x{scale}](images/{target.name})\n")
            lines.append(f"{photo.title} ({photo.licence}): bicubic / {DEFAULT} {scores}\n")
    page = docs / "gallery.md"
    write_text(page, "\n".join(lines))
    return [page, *files]
