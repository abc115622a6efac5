"""Images as a browser shows them: 8 bits, upright, not too large, made from passing bands."""

from __future__ import annotations

import io
import math

import numpy as np

from superres.imaging.io import LoadedImage
from superres.imaging.samples import to_pillow
from superres.upscaling.writing import turned

PIXELS = 12_000_000
"""More than that many are reduced by a whole factor for viewing."""

_SIDE = 16384  # browsers show nothing longer


class Preview:
    """Collects (rows, W, C) bands of an image of known size, reduced if need be.

    Args:
        height, width: of the whole image, as stored.
        source: whose orientation and profile it has.
        pixels: the most that are kept.
    """

    def __init__(self, height: int, width: int, source: LoadedImage, pixels: int = PIXELS) -> None:
        self.factor = max(
            math.ceil(math.sqrt(height * width / pixels)), math.ceil(max(height, width) / _SIDE)
        )
        # A strip may be thinner than the factor.
        self._down, self._across = min(self.factor, height), min(self.factor, width)
        self._source = source
        self._bands: list[np.ndarray] = []
        self._rest: np.ndarray | None = None

    def add(self, band: np.ndarray) -> None:
        """The next rows, uint8 or uint16."""
        if band.dtype == np.uint16:
            band = ((band.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if self.factor == 1:
            self._bands.append(band)
            return
        if self._rest is not None:
            band = np.concatenate([self._rest, band])
        rows = band.shape[0] // self._down * self._down
        columns = band.shape[1] // self._across * self._across
        self._rest = band[rows:].copy()
        if rows:
            blocks = band[:rows, :columns].reshape(
                rows // self._down, self._down, columns // self._across, self._across, -1
            )
            self._bands.append(np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8))

    def png(self) -> bytes:
        """The whole as a PNG."""
        image = to_pillow(turned(np.concatenate(self._bands), self._source.orientation))
        buffer = io.BytesIO()
        profile = self._source.icc or None
        image.save(buffer, "PNG", compress_level=1, icc_profile=profile)
        return buffer.getvalue()
