"""What one session accepts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits that keep one upload from taking the machine.

    Attributes:
        upload_bytes: of one file.
        pixels: of one picture.
        result_pixels: of its result; rules out a large scale for large pictures.
        seconds: that one picture may be worked on; looked at after every tile.
        waiting: pictures that are uploaded or waiting, the one in work included.
        finished: results that are held for download; the oldest are removed.
        upload_seconds: that one upload may take.
    """

    upload_bytes: int = 64 << 20
    pixels: int = 24_000_000
    result_pixels: int = 256_000_000
    seconds: float = 1800.0
    waiting: int = 8
    finished: int = 20
    upload_seconds: float = 300.0
