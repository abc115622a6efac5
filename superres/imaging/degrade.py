"""Degradations that make ``lq`` pictures from ``gt`` pictures, as pure functions.

Pictures are RGB, (H, W, 3) or grey (H, W). A uint8 picture gives a uint8 picture, rounded half up
and clamped. Where a function says *or float*, a float32 or float64 picture **on the scale 0 to
255** gives a picture of the same type that is neither rounded nor clamped, so that several steps
can be chained with one rounding at the end. Whatever is random takes an explicit
``numpy.random.Generator``. A mistake in the arguments raises ``UserError``.
"""

from __future__ import annotations

import math

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.kernels import BORDERS
from superres.imaging.resize import imresize

cv2 = import_cv2()

# cv2 calls the mirror that repeats the edge sample (cba|abc) REFLECT; kernels.BORDERS agrees.
_CV2_BORDERS = dict(zip(BORDERS, (cv2.BORDER_REFLECT, cv2.BORDER_REPLICATE)))
_CV2_CHROMA = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


def bicubic_down(image: np.ndarray, scale: float, border: str = "reflect") -> np.ndarray:
    """BI: MATLAB's bicubic by ``1 / scale``.

    Args:
        image: uint8 or float.
        scale: at least 1. Crop with :func:`superres.imaging.resize.modcrop` first where gt must
            be an exact multiple of lq; without it lq has ``ceil(H / scale)`` rows.
        border: ``reflect`` (newer MATLAB) or ``replicate`` (older).
    """
    _check(image, "bicubic_down")
    _need(scale >= 1, "bicubic_down: the scale must be at least 1", scale)
    return imresize(image, 1 / scale, border=border)


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
    _check(image, "blur_down")
    _need(scale == int(scale) >= 1, "blur_down: the scale must be a whole number", scale)
    step = int(scale)
    _need(min(image.shape[:2]) > step // 2, "blur_down: the image is too small", image.shape)
    blurred = blur(image, gaussian_kernel(kernel_size, sigma), border)
    return np.ascontiguousarray(blurred[step // 2 :: step, step // 2 :: step])


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """Isotropic Gaussian, float64 (size, size), sum 1; ``size`` odd, ``sigma`` in samples."""
    return anisotropic_gaussian_kernel(size, sigma, sigma, 0.0)


def anisotropic_gaussian_kernel(
    size: int, sigma_x: float, sigma_y: float, angle: float
) -> np.ndarray:
    """Gaussian with two widths, turned by ``angle``.

    Args:
        size: odd number of samples per side.
        sigma_x, sigma_y: standard deviations in samples along the two main axes, above 0.
        angle: of the ``sigma_x`` axis against the picture's x axis, in radians; y points down.

    Returns:
        float64 (size, size), sum 1.
    """
    offset = _offsets(size)
    for sigma in (sigma_x, sigma_y):
        _need(0 < sigma < math.inf, "Gaussian kernel: sigma must be above 0", sigma)
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
    _need(0 < cutoff <= math.pi, "sinc kernel: the cutoff must be in (0, pi]", cutoff)
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
    _check(image, "blur")
    _need(border in _CV2_BORDERS, f"blur: the border must be one of {', '.join(BORDERS)}", border)
    odd = kernel.ndim == 2 and all(side % 2 for side in kernel.shape)
    _need(odd, "blur: the kernel must be 2-D with odd sides", kernel.shape)
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
    _check(image, "gaussian_noise")
    _need(0 <= sigma < math.inf, "gaussian_noise: sigma must not be negative", sigma)
    shape = (*image.shape[:2], 1) if gray and image.ndim == 3 else image.shape
    return _as_input(image + sigma * rng.standard_normal(shape), image)


def poisson_noise(
    image: np.ndarray, strength: float, rng: np.random.Generator, gray: bool = False
) -> np.ndarray:
    """Add shot noise: stronger where the picture is brighter.

    As Real-ESRGAN has it: a picture with ``n`` distinct levels counts ``2**ceil(log2(n))`` photons
    at full brightness, and the noise is multiplied by ``strength``.

    Args:
        image: uint8 or float.
        strength: 1 is plain shot noise, 0 none.
        rng: where the noise is drawn from.
        gray: the noise of the picture's luma (BT.601 weights) in all channels.
    """
    _check(image, "poisson_noise")
    _need(0 <= strength < math.inf, "poisson_noise: the strength must not be negative", strength)
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
        image: uint8, RGB or grey.
        quality: 1 to 100.
        chroma: "4:2:0" or "4:4:4", how finely colour is stored.

    Raises:
        UserError: another type or number of channels, or an argument out of its range.
    """
    _check(image, "jpeg")
    _need(image.dtype == np.uint8, "jpeg: the image must be uint8, round it first", image.dtype)
    _need(image.shape[2:] in ((), (1,), (3,)), "jpeg: expected 1 or 3 channels", image.shape)
    _need(1 <= quality <= 100, "jpeg: the quality must be from 1 to 100", quality)
    _need(chroma in _CV2_CHROMA, f"jpeg: chroma must be one of {', '.join(_CV2_CHROMA)}", chroma)
    colour = image.ndim == 3 and image.shape[2] == 3
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    # stated rather than left to the default of the OpenCV build
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _CV2_CHROMA[chroma]]
    done, data = cv2.imencode(".jpg", pixels, options)
    _need(done, "jpeg: the image cannot be encoded", image.shape)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if colour else decoded.reshape(image.shape)


def _as_input(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``values`` in the type of ``image``: rounded half up and clamped for uint8."""
    if image.dtype == np.uint8:
        values = np.clip(np.floor(values + 0.5), 0, 255)
    return values.astype(image.dtype)


def _need(met: bool, what: str, found: object) -> None:
    if not met:
        raise UserError(f"{what}, not {found!r}")


def _check(image: np.ndarray, where: str) -> None:
    array = isinstance(image, np.ndarray) and image.ndim in (2, 3) and image.size > 0
    shape = getattr(image, "shape", type(image).__name__)
    _need(array, f"{where}: expected an image (H, W) or (H, W, C)", shape)
    known = image.dtype in (np.uint8, np.float32, np.float64)
    _need(known, f"{where}: expected uint8, or float on the scale 0 to 255", image.dtype)


def _offsets(size: int) -> np.ndarray:
    odd = size == int(size) and size > 0 and size % 2 == 1
    _need(odd, "kernel: the size must be an odd positive integer", size)
    return np.arange(size, dtype=np.float64) - size // 2


def _bessel_j1(x: np.ndarray) -> np.ndarray:
    """Bessel function of the first kind, order 1, from its integral over one period.

    The midpoint rule converges exponentially on a periodic integrand: with many more nodes than
    ``max |x|`` the error is that of float64.
    """
    nodes = 64 + 2 * math.ceil(float(np.abs(x).max()))
    t = (np.arange(nodes) + 0.5) * math.pi / nodes
    return np.cos(t - x[..., None] * np.sin(t)).mean(axis=-1)
