"""Animated GIF, WebP and PNG: every frame, its duration, the loops and the transparency."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from superres.errors import UserError
from superres.imaging.io import max_pixels_allowed, opened_picture
from superres.upscaling.enlarge import Enlarger, Progress

SUFFIXES = {".gif": "gif", ".apng": "png"}
"""Suffix -> format of files that are written for animations only."""


@dataclass(frozen=True)
class Animation:
    """An animated file: its format (``gif``, ``webp``, ``png``), (height, width) and frames."""

    format: str
    size: tuple[int, int]
    frames: int


def find_animation(path: Path, max_pixels: int | None = None) -> Animation | None:
    """What is animated about a file; None where nothing is.

    Raises:
        UserError: not an image, or more pixels than the limit.
    """
    with opened_picture(path) as image:
        kind = image.format.lower() if image is not None else ""
        if kind not in ("gif", "webp", "png") or getattr(image, "n_frames", 1) < 2:
            return None
        if image.width * image.height > max_pixels_allowed(max_pixels):
            raise UserError(f"{path}: {image.width}x{image.height} pixels are more than the limit")
        return Animation(kind, (image.height, image.width), image.n_frames)


def is_animation(path: Path | str) -> bool:
    """Whether a file named ``.gif`` or ``.apng`` moves; False where it cannot be read."""
    with contextlib.suppress(UserError):
        return Path(path).suffix.lower() in SUFFIXES and find_animation(Path(path)) is not None
    return False


def save_animation(
    out: BinaryIO,
    path: Path,
    animation: Animation,
    enlarger: Enlarger,
    progress: Progress = lambda done, total: None,
) -> None:
    """Upscale the frames of ``path`` into an animation of the same kind; all are held."""
    frames: list[Image.Image] = []
    durations: list[float] = []
    with opened_picture(path) as image:
        for frame in ImageSequence.Iterator(image):
            pixels = np.asarray(frame.convert("RGBA"))
            opaque = (pixels[..., 3] == 255).all() and (not frames or frames[0].mode == "RGB")
            frames.append(Image.fromarray(enlarger.picture(pixels[..., : 3 if opaque else 4])))
            durations.append(float(frame.info.get("duration", 0)))
            progress(len(frames), animation.frames)
        loop = image.info.get("loop")
    options: dict[str, Any] = {"duration": durations} | ({} if loop is None else {"loop": loop})
    if animation.format == "gif":
        options["disposal"] = 2  # else the frame before shows through what is transparent
    elif animation.format == "webp":
        options |= {"lossless": True, "quality": 60}
    buffer = io.BytesIO()  # encoders hide an OSError of the file behind their own
    frames[0].save(buffer, animation.format, save_all=True, append_images=frames[1:], **options)
    out.write(buffer.getbuffer())
