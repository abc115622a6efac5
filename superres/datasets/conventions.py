"""The ways in which people make low-quality pictures, to tell which one made a given picture.

Each is a function of (picture, (height, width)) that gives uint8. The picture is uint8 RGB; it is
``scale`` times the size, or not quite where people resize without cropping first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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
        crops: whether it makes sense only for a whole ratio.
    """

    name: str
    text: str
    family: str
    make: Callable[[np.ndarray, Size], np.ndarray]
    crops: bool = False


def _matlab(border: str) -> Callable[[np.ndarray, Size], np.ndarray]:
    return lambda image, size: imresize(image, size=size, border=border)


def _matlab_kernel(method: str) -> Callable[[np.ndarray, Size], np.ndarray]:
    return lambda image, size: imresize(image, size=size, method=method)


def _float(border: str, rounded: Callable[[np.ndarray], np.ndarray]):
    def make(image: np.ndarray, size: Size) -> np.ndarray:
        exact = imresize(image, size=size, border=border, rounding="float")
        return np.clip(rounded(exact), 0, 255).astype(np.uint8)

    return make


def _half_up(values: np.ndarray) -> np.ndarray:
    # Sums that are a half but for float64's last bits must not fall to either side by chance.
    return np.floor(np.round(values, 9) + 0.5)


def _half_even(values: np.ndarray) -> np.ndarray:
    return np.rint(np.round(values, 9))


def _cut(values: np.ndarray) -> np.ndarray:
    return np.floor(np.round(values, 9))


def _width_first(border: str):
    def make(image: np.ndarray, size: Size) -> np.ndarray:
        turned = imresize(image.transpose(1, 0, 2), size=size[::-1], border=border)
        return turned.transpose(1, 0, 2)

    return make


def _pil(method: str):
    def make(image: np.ndarray, size: Size) -> np.ndarray:
        from PIL import Image

        filters = Image.Resampling
        resized = Image.fromarray(np.ascontiguousarray(image)).resize(
            size[::-1], resample=filters[method]
        )
        return np.asarray(resized)

    return make


def _pil_float(image: np.ndarray, size: Size) -> np.ndarray:
    """PIL's kernel and borders in float, rounded once: torch's antialiased bicubic."""
    from PIL import Image

    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., c], dtype=np.float32)).resize(
                size[::-1], resample=Image.Resampling.BICUBIC
            )
        )
        for c in range(image.shape[2])
    ]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def _opencv(method: str):
    def make(image: np.ndarray, size: Size) -> np.ndarray:
        cv2 = import_cv2()
        return cv2.resize(image, size[::-1], interpolation=getattr(cv2, f"INTER_{method}"))

    return make


def _every_nth(image: np.ndarray, size: Size) -> np.ndarray:
    step = image.shape[0] // size[0]
    return image[::step, ::step]


def _blur_down(image: np.ndarray, size: Size) -> np.ndarray:
    return blur_down(image, image.shape[0] // size[0])


CONVENTIONS: tuple[Convention, ...] = (
    Convention("matlab", "MATLAB, newer: mirrored border", "matlab", _matlab("reflect")),
    Convention("matlab-old", "MATLAB, older: clamped border", "matlab", _matlab("replicate")),
    Convention("float", "rounded once, half up", "rounding", _float("reflect", _half_up)),
    Convention(
        "float-even",
        "rounded once, half to even (Python ports of imresize)",
        "rounding",
        _float("reflect", _half_even),
    ),
    Convention(
        "float-old", "rounded once, clamped border", "rounding", _float("replicate", _half_up)
    ),
    Convention(
        "float-old-even",
        "rounded once, half to even, clamped border",
        "rounding",
        _float("replicate", _half_even),
    ),
    Convention("truncated", "cut off instead of rounded", "rounding", _float("reflect", _cut)),
    Convention("width-first", "width pass first", "rounding", _width_first("reflect")),
    Convention(
        "width-first-old", "width pass first, clamped", "rounding", _width_first("replicate")
    ),
    Convention("matlab-bilinear", "MATLAB bilinear", "other", _matlab_kernel("bilinear")),
    Convention("matlab-lanczos3", "MATLAB lanczos3", "other", _matlab_kernel("lanczos3")),
    Convention("pil-bicubic", "PIL BICUBIC", "other", _pil("BICUBIC")),
    Convention("torch-bicubic", "torch bicubic, antialias=True", "other", _pil_float),
    Convention("pil-lanczos", "PIL LANCZOS", "other", _pil("LANCZOS")),
    Convention("pil-bilinear", "PIL BILINEAR", "other", _pil("BILINEAR")),
    Convention("pil-box", "PIL BOX", "other", _pil("BOX")),
    Convention("opencv-cubic", "OpenCV INTER_CUBIC (no antialias)", "other", _opencv("CUBIC")),
    Convention("opencv-area", "OpenCV INTER_AREA", "other", _opencv("AREA")),
    Convention("opencv-linear", "OpenCV INTER_LINEAR", "other", _opencv("LINEAR")),
    Convention("opencv-lanczos4", "OpenCV INTER_LANCZOS4", "other", _opencv("LANCZOS4")),
    Convention("nearest", "every n-th sample", "other", _every_nth, crops=True),
    Convention("bd", "BD: Gaussian 7x7, sigma 1.6, n-th sample", "other", _blur_down, crops=True),
)


def by_name(name: str) -> Convention:
    """A convention; KeyError for an unknown name."""
    return {c.name: c for c in CONVENTIONS}[name]


def ground_truth_for(gt: np.ndarray, size: Size, scale: int) -> np.ndarray:
    """The part of ``gt`` that a low-quality picture of ``size`` was made of.

    Cropped at the bottom and the right, as everybody does; the whole of it where ``size`` is
    rounded up, as MATLAB does with an uncropped picture.

    Raises:
        UserError: ``size`` is neither.
    """
    ratios = [g / q for g, q in zip(gt.shape[:2], size)]
    down = tuple(g // scale for g in gt.shape[:2])
    up = tuple(-(-g // scale) for g in gt.shape[:2])
    if size == down:
        return gt[: size[0] * scale, : size[1] * scale]
    if size == up:
        return gt
    other = round(ratios[0])
    hint = f" (it looks like x{other})" if other != scale and other == round(ratios[1]) else ""
    raise UserError(
        f"it is {size[1]}x{size[0]}, and its ground truth is {gt.shape[1]}x{gt.shape[0]}: "
        f"not x{scale}{hint}"
    )
