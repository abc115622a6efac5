"""What a pair of images must fulfil before it can be scored, and what is said otherwise."""

from __future__ import annotations

import numpy as np

from superres.errors import UserError


def check_pair(
    sr: np.ndarray,
    hr: np.ndarray,
    border: int,
    data_range: float | None = None,
    smallest: int = 1,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Both images, shaved, grey ones as (H, W); and the peak. UserError for a bad pair.

    ``smallest`` is the side of the SSIM window where that is taken of them.
    """
    sr, hr = _as_image(sr, "SR"), _as_image(hr, "HR")
    if sr.shape != hr.shape:
        found, wanted = (
            f"{x.shape[1]}x{x.shape[0]} {'grey' if x.ndim == 2 else 'RGB'}" for x in (sr, hr)
        )
        raise UserError(
            f"SR and HR differ in size or colours: expected {wanted} (HR), found {found} (SR), "
            "width x height"
        )
    peak = data_range_of(sr, hr, data_range)
    height, width = (side - 2 * border for side in sr.shape[:2])
    if border < 0 or min(height, width) < smallest:
        window = "the SSIM window of " if smallest > 1 else ""
        raise UserError(
            f"the image is {width}x{height} after shaving {border} px from each side, smaller "
            f"than {window}{smallest}x{smallest}: score larger images"
        )
    inside = slice(border, -border or None)
    return sr[inside, inside], hr[inside, inside], peak


def peak_of(*images: np.ndarray) -> float:
    """The largest value that samples may have: 65535 where one image is uint16, else 255."""
    return 65535.0 if any(image.dtype == np.uint16 for image in images) else 255.0


def _as_image(image: np.ndarray, name: str) -> np.ndarray:
    image = np.asarray(image)
    good = image.dtype in (np.uint8, np.uint16) or image.dtype.kind == "f"
    bands = image.shape[2:]
    if not good or image.ndim < 2 or image.size == 0 or bands not in ((), (1,), (3,)):
        raise UserError(
            f"{name} must be an image of shape (H, W, 3) or (H, W) of uint8, uint16 or float, "
            f"found {image.shape} of {image.dtype}"
        )
    image = image[:, :, 0] if bands == (1,) else image
    if image.dtype.kind == "u":
        return image
    if len(bad := np.argwhere(~np.isfinite(image))):
        row, column = bad[0][:2]
        raise UserError(
            f"{name} has {len(bad)} NaN or infinite samples, the first in row {row}, column "
            f"{column}: a score would be meaningless"
        )
    return image if image.dtype == np.float64 else image.astype(np.float32, copy=False)


def data_range_of(sr: np.ndarray, hr: np.ndarray, data_range: float | None = None) -> float:
    """The peak of a pair: what is given, or 65535 where one is uint16, or 255.

    Raises:
        UserError: the two have different depths, or float values contradict the range.
    """
    if sr.dtype != hr.dtype and sr.dtype.kind == hr.dtype.kind == "u":
        raise UserError(
            f"SR has samples of {sr.dtype} and HR of {hr.dtype}: bring both to one depth"
        )
    if data_range is not None:
        return float(data_range)
    peak = peak_of(sr, hr)
    for image, name in ((sr, "SR"), (hr, "HR")):
        if image.dtype.kind != "f":
            continue
        low, high = float(image.min()), float(image.max())
        # What a network makes before it has learnt anything is all but black: even, or still far
        # darker than HR when multiplied. What it makes later may reach outside; HR may not.
        small = low >= 0 and low + 0.1 < high <= 1 and (name == "HR" or 4 * high * peak >= hr.max())
        if small or (name == "HR" and (low < -0.5 or high > peak + 0.5)):
            raise UserError(
                f"{name} is float with values in [{low:.4g}, {high:.4g}], and [0, {peak:.0f}] is "
                "expected; multiply it, or pass data_range explicitly"
            )
    return peak
