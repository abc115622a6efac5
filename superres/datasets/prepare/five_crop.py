"""The five-crop augmentation of super-image, made once and packed.

``augment_five_crop`` of github.com/eugenesiow/super-image: torchvision's ``FiveCrop`` with the
size (H // 2, W // 2) on every ground truth; each crop is resized (not cropped) by PIL's bicubic
to a multiple of the scale, and the low-quality image is PIL's bicubic of that. Low-quality
files that came with the set are not used. So 800 images become 4000 pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.fingerprint import CONVENTIONS
from superres.datasets.locate import find_sets
from superres.datasets.pack import PackReport, check_apart, check_set_name, pack_images
from superres.datasets.storage import open_store
from superres.datasets.storage.folder import Made
from superres.errors import UserError, some

#: In torchvision's order.
CROPS = ("tl", "tr", "bl", "br", "center")
CONVENTION = "pil-bicubic"


def crop_corner(height: int, width: int, crop: str) -> tuple[int, int]:
    """(top, left) of one of the five crops of half the size.

    The centre follows ``torchvision.transforms.functional.center_crop``: Python's ``round``.
    """
    h, w = height // 2, width // 2
    if crop == "center":
        return round((height - h) / 2.0), round((width - w) / 2.0)
    return (height - h) * (crop[0] == "b"), (width - w) * (crop[1] == "r")


def five_crop_pair(image: np.ndarray, crop: str, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(lq, gt) of one crop of an image (H, W, 3), uint8.

    Raises:
        UserError: the crop is smaller than the scale.
    """
    top, left = crop_corner(*image.shape[:2], crop)
    h, w = (side // 2 for side in image.shape[:2])
    if min(h, w) < scale:
        what = f"an image of {image.shape[1]}x{image.shape[0]}"
        raise UserError(f"{what} is too small to be cropped in five at scale {scale}")
    resize = CONVENTIONS[CONVENTION].make
    size = h // scale, w // scale
    gt = image[top : top + h, left : left + w]
    if h % scale or w % scale:
        gt = resize(gt, (size[0] * scale, size[1] * scale))
    return resize(gt, size), gt


def five_crop(
    source: str | Path,
    out: str | Path,
    scale: int,
    *,
    name: str | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
    step: Callable[[str], Any] = lambda text: lambda done, total, name: None,
) -> list[PackReport]:
    """Pack ``out/NAME/HR.lmdb`` and ``out/NAME/LR_bicubic_XS.lmdb``.

    Args:
        source: a prepared set, a folder of images or a database.
        out: the data root.
        name: of the new set; default: the source's name and ``_five_crop_X<scale>``. Ground
            truths depend on the scale, so every scale is a set of its own.

    Raises:
        UserError: as :func:`superres.datasets.pack.pack_images`.
    """
    found = find_sets(Path(source))
    if len(found) != 1:
        raise UserError(f"{source}: several sets ({some(o.name for o in found)}); give one.")
    if name is not None:
        check_set_name(name)
    folder = Path(out) / (name or f"{found[0].name}_five_crop_X{scale}")
    check_apart(folder, source)
    info = {"scale": scale, "made": "five-crop of super-image"}
    low = {"role": "lq", "degradation": "bicubic", "convention": CONVENTION}
    reports = []
    store = open_store(found[0].gt)
    for at, file, more in ((1, "HR.lmdb", {"role": "gt"}), (0, f"LR_bicubic_X{scale}.lmdb", low)):

        def side(crop: str, image: np.ndarray, at: int = at) -> np.ndarray:
            return five_crop_pair(image, crop, scale)[at]

        images = [
            (f"{name}_{crop}", Made(store, i, partial(side, crop), crop))
            for i, name in enumerate(store.names())
            for crop in CROPS
        ]
        options = {"num_workers": num_workers, "overwrite": overwrite, "strict": True}
        options["progress"] = step(f"{folder.name}: {file}")
        reports.append(pack_images(images, folder / file, info=info | more, **options))
    return reports
