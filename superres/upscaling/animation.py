"""Animated GIF, WebP and PNG: every frame, its duration, the loops and the transparency."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from superres.errors import UserError
from superres.imaging.io import max_pixels_allowed, opened_image
from superres.imaging.kinds import first_bytes, kind_of

SUFFIXES = {".gif": "gif", ".apng": "png", ".png": "png", ".webp": "webp"}
"""Suffix -> format of what can hold an animation."""


@dataclass(frozen=True)
class Animation:
    """An animated file: its path, frames, and loops; None: it says nothing."""

    path: Path
    frames: int
    loop: int | None

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        """(H, W, 4) uint8 and milliseconds of each frame."""
        with opened_image(self.path) as image:
            for frame in ImageSequence.Iterator(image):
                # The first image of a PNG need not be of the animation.
                if image.tell() or not getattr(image, "default_image", False):
                    pixels = np.asarray(frame.convert("RGBA"))  # Pillow then knows how long
                    yield pixels, float(frame.info.get("duration", 0))


def find_animation(path: Path | str, max_pixels: int | None = None) -> Animation | None:
    """What is animated about a file; None where nothing is.

    Raises:
        UserError: damaged, or more pixels than the limit.
    """
    path, kind = Path(path), kind_of(first_bytes(path))
    if kind is None or kind.name not in SUFFIXES.values():
        return None
    with opened_image(path) as image:
        frames = getattr(image, "n_frames", 1) - getattr(image, "default_image", False)
        if frames < 2:
            return None
        if image.width * image.height > max_pixels_allowed(max_pixels):
            raise UserError(f"{path}: {image.width}x{image.height} pixels are more than the limit")
        return Animation(path, frames, image.info.get("loop"))


def encode_frames(
    frames: Iterable[tuple[np.ndarray, float]],
    kind: str,
    loop: int | None,
    options: dict[str, Any],
    file: BinaryIO,
) -> None:
    """Write (H, W, 4) uint8 and milliseconds as ``gif``, ``webp`` or ``png``; all are held."""
    pixels, durations = zip(*frames, strict=True)
    if kind == "gif":  # which counts hundredths of a second: none is lost by rounding each
        ends = [round(end, -1) for end in itertools.accumulate(durations)]
        durations = [end - begin for begin, end in itertools.pairwise([0, *ends])]
    bands = 3 if all((frame[..., 3] == 255).all() for frame in pixels) else 4
    images = [Image.fromarray(frame[..., :bands]) for frame in pixels]
    options = options | {"duration": list(durations)} | ({} if loop is None else {"loop": loop})
    images[0].save(file, kind, save_all=True, append_images=images[1:], **options)
