"""Degradations that make ``lq`` images from ``gt`` images, as pure functions.

Images are RGB, (H, W, 3) or grey (H, W). A uint8 image gives a uint8 image, rounded half up
and clamped; a float32 or float64 image **on the scale 0 to 255** gives an image of the same type
that is neither rounded nor clamped, so that several steps can be chained with one rounding at the
end. Another type, and an argument that makes no sense, raise ``UserError``. Whatever is random
takes an explicit ``numpy.random.Generator``. (BI, the bicubic, is ``resize.imresize``.)
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.kernels import BORDERS

cv2 = import_cv2()

# cv2 calls the mirror that repeats the edge sample (cba|abc) REFLECT; kernels.BORDERS agrees.
_CV2_BORDERS = dict(zip(BORDERS, (cv2.BORDER_REFLECT, cv2.BORDER_REPLICATE)))


def blur_down(
    image: np.ndarray,
    scale: int = 3,
    kernel_size: int = 7,
    sigma: float = 1.6,
    border: str = "replicate",
) -> np.ndarray:
    """BD: Gaussian blur, then every ``scale``-th sample (MATLAB's nearest neighbour).

    The literature uses scale 3, a 7x7 kernel, sigma 1.6 and the replicated border. MATLAB's
    nearest neighbour starts at index ``scale // 2``.

    Args:
        image: uint8 or float. Crop it to a multiple of ``scale`` first, as for BI.
        scale: a positive integer.
        kernel_size: odd, in samples.
        sigma: of the Gaussian, in samples of ``image``.
        border: ``replicate`` or ``reflect``.
    """
    blurred = blur(image, gaussian_kernel(kernel_size, sigma, sigma), border)
    return np.ascontiguousarray(blurred[scale // 2 :: scale, scale // 2 :: scale])


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float = 0.0) -> np.ndarray:
    """Gaussian with two widths, turned by ``angle``.

    Args:
        size: odd number of samples per side.
        sigma_x, sigma_y: standard deviations in samples along the two main axes, above 0.
        angle: of the ``sigma_x`` axis against the image's x axis, in radians; y points down.

    Returns:
        float64 (size, size), sum 1.
    """
    offset = _offsets(size)
    if min(sigma_x, sigma_y) <= 0:
        raise UserError(f"a Gaussian kernel: sigma must be above 0, not {sigma_x}, {sigma_y}")
    x, y = offset[None, :], offset[:, None]
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma_x
    across = (y * math.cos(angle) - x * math.sin(angle)) / sigma_y
    kernel = np.exp(-0.5 * (along**2 + across**2))
    return kernel / kernel.sum()


def sinc_kernel(size: int, cutoff: float) -> np.ndarray:
    """Circular ideal low-pass, cut off to a square: rings like sharpening and JPEG do.

    ``h(r) = cutoff / (2 pi r) * J1(cutoff r)``, the sinc filter of Real-ESRGAN (Wang et al., 2021).

    Args:
        size: odd number of samples per side.
        cutoff: angular frequency in (0, pi].

    Returns:
        float64 (size, size), sum 1.
    """
    offset = _offsets(size)
    radius = np.hypot(offset[None, :], offset[:, None])
    radius[size // 2, size // 2] = 1.0  # the limit at 0 is set below
    kernel = cutoff / (2 * math.pi * radius) * _bessel_j1(cutoff * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def blur(image: np.ndarray, kernel: np.ndarray, border: str = "reflect") -> np.ndarray:
    """Correlate every channel with ``kernel`` in float64.

    Args:
        image: uint8 or float.
        kernel: 2-D with odd sides; give it a sum of 1 to keep the brightness.
        border: ``reflect`` (edge sample repeated) or ``replicate``.
    """
    if border not in _CV2_BORDERS:
        raise UserError(f"blur: the border must be one of {', '.join(BORDERS)}, not {border!r}")
    # cv2 goes from uint8 to float64 by itself, from float32 it does not.
    source = image if image.dtype == np.uint8 else image.astype(np.float64)
    sums = cv2.filter2D(
        source, cv2.CV_64F, kernel.astype(np.float64), borderType=_CV2_BORDERS[border]
    )
    return _as_input(sums.reshape(image.shape), image)


def gaussian_noise(
    image: np.ndarray, sigma: float, rng: np.random.Generator, gray: bool = False
) -> np.ndarray:
    """Add white Gaussian noise.

    Args:
        image: uint8 or float.
        sigma: standard deviation on the scale 0 to 255.
        rng: where the noise is drawn from.
        gray: the same noise in all channels.
    """
    shape = (*image.shape[:2], 1) if gray and image.ndim == 3 else image.shape
    return _as_input(image + sigma * rng.standard_normal(shape), image)


def poisson_noise(
    image: np.ndarray, strength: float, rng: np.random.Generator, gray: bool = False
) -> np.ndarray:
    """Add shot noise: stronger where the image is brighter.

    As Real-ESRGAN has it: an image with ``n`` distinct levels counts ``2**ceil(log2(n))`` photons
    at full brightness, and the noise is multiplied by ``strength``.

    Args:
        image: uint8 or float.
        strength: 1 is plain shot noise, 0 none.
        rng: where the noise is drawn from.
        gray: the noise of the image's luma (BT.601 weights) in all channels.
    """
    base = image.astype(np.float64)
    if gray and image.ndim == 3 and image.shape[2] == 3:
        base = base @ np.array([[0.299], [0.587], [0.114]])
    clean = np.clip(np.floor(base + 0.5), 0, 255) / 255
    photons = 2.0 ** math.ceil(math.log2(len(np.unique(clean))))
    noise = (rng.poisson(clean * photons) / photons - clean) * 255
    return _as_input(image + strength * noise, image)


def jpeg(image: np.ndarray, quality: int, chroma: str = "4:2:0") -> np.ndarray:
    """Compress as baseline JPEG (libjpeg's tables) and decode again.

    Args:
        image: uint8, RGB or grey, (H, W, 1) too.
        quality: 1 to 100.
        chroma: "4:2:0" or "4:4:4", how finely colour is stored.
    """
    if image.dtype != np.uint8:
        raise UserError(f"jpeg: the image must be uint8, not {image.dtype}; round it first")
    flat = image[..., 0] if image.shape[2:] == (1,) else image
    Image.fromarray(flat).save(file := io.BytesIO(), "JPEG", quality=quality, subsampling=chroma)
    with Image.open(file) as decoded:
        return np.array(decoded).reshape(image.shape)


def _as_input(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``values`` in the type of ``image``: rounded half up and clamped for uint8."""
    if image.dtype == np.uint8:
        values = np.clip(np.floor(values + 0.5), 0, 255)
    elif image.dtype.kind != "f":
        raise UserError(f"expected uint8, or float on the scale 0 to 255, not {image.dtype}")
    return values.astype(image.dtype)


def _offsets(size: int) -> np.ndarray:
    if size % 2 != 1:
        raise UserError(f"a kernel's size must be an odd positive integer, not {size}")
    return np.arange(size, dtype=np.float64) - size // 2


def _bessel_j1(x: np.ndarray) -> np.ndarray:
    """Bessel function of the first kind, order 1, from its integral over one period.

    The midpoint rule converges exponentially on a periodic integrand: with many more nodes than
    ``max |x|`` the error is that of float64.
    """
    nodes = 64 + 2 * math.ceil(float(np.abs(x).max()))
    t = (np.arange(nodes) + 0.5) * math.pi / nodes
    return np.cos(t - x[..., None] * np.sin(t)).mean(axis=-1)
