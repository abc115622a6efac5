"""The ways in which people make low-quality pictures, to tell which one made a given picture.

Each is a function of (picture, (height, width)) that gives uint8. The picture is uint8 RGB; it is
``scale`` times the size, or not quite where people resize without cropping first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from superres.datasets.pairing import size_fault
from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.degrade import blur_down
from superres.imaging.resize import imresize

Size = tuple[int, int]


@dataclass(frozen=True)
class Convention:
    """One way.

    Attributes:
        family: ``matlab`` (exact), ``rounding`` (MATLAB's kernel, rounded elsewhere) or ``other``.
    """

    name: str
    text: str
    family: str
    make: Callable[[np.ndarray, Size], np.ndarray]

    @property
    def crops(self) -> bool:
        """Whether it makes sense only for a whole ratio."""
        return self.name in ("nearest", "bd")


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


def _half_up(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5)


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
_UP, _EVEN, _CUT = ({"rounded": how} for how in (_half_up, np.rint, np.floor))
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
    name: Convention(name, text, family, partial(function, **arguments))
    for name, text, family, function, arguments in _TABLE
}


def ground_truth_for(gt: np.ndarray, size: Size, scale: int) -> np.ndarray:
    """The part of ``gt`` that a low-quality picture of ``size`` was made of.

    Cropped at the bottom and the right, as everybody does; the whole of it where ``size`` is
    rounded up, as MATLAB does with an uncropped picture.

    Raises:
        UserError: ``size`` is neither.
    """
    fault = size_fault(gt.shape, size, scale)
    if not fault:
        return gt[: size[0] * scale, : size[1] * scale]
    if size == tuple(-(-g // scale) for g in gt.shape[:2]):
        return gt
    raise UserError(fault)
