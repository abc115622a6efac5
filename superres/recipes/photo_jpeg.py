"""JPEG as cameras, phones and web sites write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from superres.datasets.transforms.degrade import Range, Step, draw, limits, to_uint8
from superres.imaging import degrade
from superres.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass(kw_only=True)
class RandomPhotoJpeg(Step):
    """Compress ``lq`` as JPEG and decode it again, with a grid of blocks at a random place.

    ``RandomJpeg`` starts the blocks at the border of what was cut out, so that a network could
    read from the border of its patch where they are; in an image they are anywhere.

    Args:
        quality: range, 1 to 100.
        full_chroma: probability of 4:4:4; 4:2:0 else.
        prob: of compressing at all.
    """

    quality: Range = field(metadata=limits(1, 100))
    full_chroma: float = 0.0

    def apply(
        self, image: np.ndarray, rng: np.random.Generator, sample: dict[str, Any]
    ) -> np.ndarray:
        quality = round(draw(rng, self.quality))
        chroma = "4:4:4" if rng.random() < self.full_chroma else "4:2:0"
        top, left = (int(side) for side in rng.integers(16, size=2))  # a block of 4:2:0 has 16
        around = np.pad(to_uint8(image), ((top, 0), (left, 0), (0, 0)), mode="edge")
        return degrade.jpeg(around, quality, chroma)[top:, left:].astype(image.dtype)
