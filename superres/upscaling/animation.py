"""Animated GIF, WebP and PNG: every frame, its duration, the loops and the transparency."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from superres.errors import UserError
from superres.imaging.io import max_pixels_allowed, opened_picture
from superres.upscaling.enlarge import Enlarger, Progress

_KINDS = {"GIF": "gif", "WEBP": "webp", "PNG": "png"}


@dataclass
class Animation:
    """What an animated file says of itself.

    Attributes:
        kind: ``gif``, ``webp`` or ``png``.
        size: (height, width).
        frames: how many.
        durations: of each, in milliseconds.
        loop: how often it is played, 0 for ever; None where the file does not say.
    """

    kind: str
    size: tuple[int, int]
    frames: int
    durations: list[float]
    loop: int | None


def find_animation(path: Path, max_pixels: int | None = None) -> Animation | None:
    """What is animated about a file; None where nothing is.

    Raises:
        UserError: not an image, or more pixels than the limit.
    """
    with opened_picture(path) as image:
        if image is None or image.format not in _KINDS or getattr(image, "n_frames", 1) < 2:
            return None
        if image.width * image.height > max_pixels_allowed(max_pixels):
            raise UserError(f"{path}: {image.width}x{image.height} pixels are more than the limit")
        durations = []
        for frame in ImageSequence.Iterator(image):
            frame.load()  # a WebP tells it only then
            durations.append(float(frame.info.get("duration", 0)))
        size = image.height, image.width
        loop = image.info.get("loop")
        return Animation(_KINDS[image.format], size, len(durations), durations, loop)


def is_animation(path: Path | str) -> bool:
    """Whether a file named ``.gif`` or ``.apng`` moves; False where it cannot be read."""
    if Path(path).suffix.lower() not in (".gif", ".apng"):
        return False
    try:
        return find_animation(Path(path)) is not None
    except UserError:
        return False


def save_animation(
    out: BinaryIO,
    path: Path,
    animation: Animation,
    enlarger: Enlarger,
    progress: Progress | None = None,
) -> None:
    """Enlarge the frames of ``path`` into an animation of the same kind; all are held."""
    frames: list[Image.Image] = []
    for pixels in _frames(path):
        frames.append(Image.fromarray(enlarger.picture(pixels)))
        if progress:
            progress(len(frames), animation.frames)
    options: dict[str, Any] = {"duration": animation.durations}
    if animation.loop is not None:
        options["loop"] = animation.loop
    if animation.kind == "gif":
        options["disposal"] = 2  # else the frame before shows through what is transparent
    elif animation.kind == "webp":
        options |= {"lossless": True, "quality": 60}
    buffer = io.BytesIO()
    frames[0].save(
        buffer, animation.kind.upper(), save_all=True, append_images=frames[1:], **options
    )
    out.write(buffer.getbuffer())


def _frames(path: Path) -> Iterator[np.ndarray]:
    """(H, W, 3 or 4) uint8 of each frame as it is shown."""
    with opened_picture(path) as image:
        opaque = None
        for frame in ImageSequence.Iterator(image):
            shown = np.asarray(frame.convert("RGBA"))
            opaque = bool((shown[..., 3] == 255).all()) if opaque is None else opaque
            yield shown[..., :3] if opaque and (shown[..., 3] == 255).all() else shown
