"""Which known way of making low-quality images made those of a set.

Every known convention is computed from the ground truth and compared sample by sample. One that
differs nowhere made them; MATLAB's two generations differ within two pixels of the border only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superres.datasets.pack import in_order
from superres.datasets.pairing import match_names, size_fault
from superres.datasets.storage import open_store
from superres.datasets.storage.folder import Loaded
from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.degrade import blur_down
from superres.imaging.resize import imresize
from superres.imaging.samples import to_8_bit, with_channels

Size = tuple[int, int]


class Convention(NamedTuple):
    """One way.

    Attributes:
        family: ``matlab`` (exact), ``rounding`` (MATLAB's kernel, rounded elsewhere) or ``other``.
        crops: whether it makes sense only for a whole ratio.
    """

    name: str
    text: str
    family: str
    make: Callable[[np.ndarray, Size], np.ndarray]
    crops: bool


def _matlab(
    image: np.ndarray,
    size: Size,
    border: str = "reflect",
    method: str = "bicubic",
    rounded: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """MATLAB's imresize; with ``rounded`` both passes in float, and that once at the end."""
    if rounded is None:
        return imresize(image, size=size, method=method, border=border)
    exact = imresize(image, size=size, border=border, rounding="float")
    # Sums that are a half but for float64's last bits must not fall to either side by chance.
    return np.clip(rounded(np.round(exact, 9)), 0, 255).astype(np.uint8)


def _width_first(image: np.ndarray, size: Size, border: str = "reflect") -> np.ndarray:
    turned = imresize(image.transpose(1, 0, 2), size=size[::-1], border=border)
    return turned.transpose(1, 0, 2)


def _pil(image: np.ndarray, size: Size, method: str) -> np.ndarray:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize(size[::-1], resample=Image.Resampling[method]))


def _pil_float(image: np.ndarray, size: Size) -> np.ndarray:
    """PIL's kernel and borders in float, rounded once: torch's antialiased bicubic."""
    planes = [_pil(image[..., c].astype(np.float32), size, "BICUBIC") for c in range(3)]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def _opencv(image: np.ndarray, size: Size, method: str) -> np.ndarray:
    cv2 = import_cv2()
    return cv2.resize(image, size[::-1], interpolation=getattr(cv2, f"INTER_{method}"))


def _every_nth(image: np.ndarray, size: Size) -> np.ndarray:
    step = image.shape[0] // size[0]
    return image[::step, ::step]


def _blur_down(image: np.ndarray, size: Size) -> np.ndarray:
    return blur_down(image, image.shape[0] // size[0])


_OLD: dict[str, Any] = {"border": "replicate"}
_UP, _EVEN, _CUT = (
    {"rounded": how} for how in (lambda values: np.floor(values + 0.5), np.rint, np.floor)
)
_TABLE = (
    # name, what it is, family, function, its arguments
    ("matlab", "MATLAB, newer: mirrored border", "matlab", _matlab, {}),
    ("matlab-old", "MATLAB, older: clamped border", "matlab", _matlab, _OLD),
    ("float", "rounded once, half up", "rounding", _matlab, _UP),
    ("float-even", "rounded once, half to even (as in ports)", "rounding", _matlab, _EVEN),
    ("float-old", "rounded once, clamped border", "rounding", _matlab, _OLD | _UP),
    ("float-old-even", "rounded half to even, clamped", "rounding", _matlab, _OLD | _EVEN),
    ("truncated", "cut off instead of rounded", "rounding", _matlab, _CUT),
    ("width-first", "width pass first", "rounding", _width_first, {}),
    ("width-first-old", "width pass first, clamped", "rounding", _width_first, _OLD),
    ("matlab-bilinear", "MATLAB bilinear", "other", _matlab, {"method": "bilinear"}),
    ("matlab-lanczos3", "MATLAB lanczos3", "other", _matlab, {"method": "lanczos3"}),
    ("pil-bicubic", "PIL BICUBIC", "other", _pil, {"method": "BICUBIC"}),
    ("torch-bicubic", "torch bicubic, antialias=True", "other", _pil_float, {}),
    ("pil-lanczos", "PIL LANCZOS", "other", _pil, {"method": "LANCZOS"}),
    ("pil-bilinear", "PIL BILINEAR", "other", _pil, {"method": "BILINEAR"}),
    ("pil-box", "PIL BOX", "other", _pil, {"method": "BOX"}),
    ("opencv-cubic", "OpenCV INTER_CUBIC (no antialias)", "other", _opencv, {"method": "CUBIC"}),
    ("opencv-area", "OpenCV INTER_AREA", "other", _opencv, {"method": "AREA"}),
    ("opencv-linear", "OpenCV INTER_LINEAR", "other", _opencv, {"method": "LINEAR"}),
    ("opencv-lanczos4", "OpenCV INTER_LANCZOS4", "other", _opencv, {"method": "LANCZOS4"}),
    ("nearest", "every n-th sample", "other", _every_nth, {}),
    ("bd", "BD: Gaussian 7x7, sigma 1.6, n-th sample", "other", _blur_down, {}),
)
CONVENTIONS = {
    name: Convention(name, text, family, partial(function, **arguments), name in ("nearest", "bd"))
    for name, text, family, function, arguments in _TABLE
}


def ground_truth_for(gt: np.ndarray, size: Size, scale: int) -> np.ndarray:
    """The part of ``gt`` that a low-quality image of ``size`` was made of.

    Cropped at the bottom and the right, as everybody does; the whole of it where ``size`` is
    rounded up, as MATLAB does with an uncropped image.

    Raises:
        UserError: ``size`` is neither.
    """
    fault = size_fault(gt.shape, size, scale)
    if not fault:
        return gt[: size[0] * scale, : size[1] * scale]
    if size == tuple(-(-g // scale) for g in gt.shape[:2]):
        return gt
    raise UserError(fault)


_UNCROPPED = "-uncropped"


def fingerprint_pair(lq: np.ndarray, gt: np.ndarray, scale: int) -> dict[str, tuple[int, int]]:
    """Compare one image with every convention.

    Args:
        lq, gt: (h, w, 3) and (H, W, 3), uint8.

    Returns:
        Convention -> (number of differing samples, largest difference). Names that end in
        ``-uncropped`` are of the whole ground truth squeezed to the size of ``lq``, which people
        do where the sizes do not divide.

    Raises:
        UserError: ``lq`` is not ``scale`` times smaller.
    """
    size = lq.shape[:2]
    whole = ground_truth_for(gt, size, scale)
    divides = whole.shape[:2] == (size[0] * scale, size[1] * scale)
    images = {"": whole} | ({_UNCROPPED: gt} if divides and whole.shape != gt.shape else {})
    found = {}
    for behind, image in images.items():
        for name, way in CONVENTIONS.items():
            if not way.crops or (divides and not behind):
                difference = np.abs(lq.astype(np.int16) - way.make(image, size))
                found[name + behind] = int(np.count_nonzero(difference)), int(difference.max())
    return found


def fingerprint(
    lq: str | Path,
    gt: str | Path,
    scale: int,
    *,
    limit: int | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> dict[str, Any]:
    """Compare the images of two folders, databases or files with every convention.

    Args:
        limit: look only at the first so many images.

    Returns:
        ``conventions``, the nearest first, each with ``differing`` samples, ``max``, and
        ``exact``, the number of images that it reproduces; ``verdict``, the names of those that
        reproduce everything (empty where there is none); ``images`` by name.

    Raises:
        UserError: images that cannot be read or do not fit together.
    """
    lq, gt = Path(lq), Path(gt)
    if lq.is_file() != gt.is_file():
        raise UserError(f"{lq} and {gt}: give two folders, two databases or two images.")
    low, high = (Loaded(p, [("", p)]) if p.is_file() else open_store(p) for p in (lq, gt))
    names, partner = list(high.names())[:limit], match_names(high, low, scale)

    def work(i: int) -> tuple[int, dict[str, tuple[int, int]]]:
        small, large = rgb8(low.read_at(partner[i])), rgb8(high.read_at(i))
        return small.size, fingerprint_pair(small, large, scale)

    samples, images = 0, []
    found: dict[str, list[tuple[int, int]]] = {}
    for i, result, fault in in_order(work, len(names), num_workers):
        if fault:
            raise UserError(f"{lq}, {names[i]}: {fault}")
        size, compared = result
        samples += size
        for name, differing in compared.items():
            found.setdefault(name, []).append(differing)
        exact = [name for name, (count, _) in compared.items() if count == 0]
        nearest = min(compared, key=compared.get)
        images.append({"name": names[i] or gt.stem, "exact": exact, "nearest": nearest})
        progress(i + 1, len(names), names[i])
    rows = []
    for name, pairs in found.items():
        (differing, largest), exact = np.array(pairs).T, sum(count == 0 for count, _ in pairs)
        text = CONVENTIONS[name.removesuffix(_UNCROPPED)].text
        text += ", image not cropped" * name.endswith(_UNCROPPED)
        row = {"name": name, "description": text, "differing": int(differing.sum())}
        row |= {"share": row["differing"] / samples, "max": int(largest.max())}
        if len(pairs) == len(names) or exact:
            rows.append(row | {"exact": exact, "pictures": len(pairs)})
    rows.sort(key=lambda row: (-row["pictures"], row["differing"], row["max"]))
    return {
        **{"schema": 1, "command": "fingerprint", "lq": str(lq), "gt": str(gt), "scale": scale},
        **{"count": len(names), "samples": samples, "conventions": rows, "pictures": images},
        "verdict": [row["name"] for row in rows if row["exact"] == len(names)],
    }


def rgb8(image: np.ndarray) -> np.ndarray:
    """Any stored image as (H, W, 3) uint8: grey repeated, alpha dropped, 16 bits reduced."""
    return with_channels(to_8_bit(image), "rgb")
