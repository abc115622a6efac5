"""Results larger than memory, to PNG and TIFF, by libvips: ``superres[large]``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from superres.errors import UserError
from superres.imaging.tiff import add_tags
from superres.upscaling.metadata import Metadata

_CLASSIC_TIFF = 3_900_000_000
_FORMATS = {np.uint8: "uchar", np.uint16: "ushort", np.float32: "float"}


def write_large(
    file: BinaryIO,
    bands: Iterator[np.ndarray],
    shape: tuple[int, int, int],
    dtype: type,
    kind: str,
    orientation: int,
    metadata: Metadata,
    scratch: Path,
) -> None:
    """Write bands that come from top to bottom; they lie on the disk before they are encoded.

    Args:
        shape: (H, W, C) of all bands.
        dtype: their type.
        kind: ``png`` or ``tiff``.
        orientation: that the picture is turned upright from.
        scratch: a folder to make beside the result, of about twice the size of its pixels.

    Raises:
        UserError: libvips cannot be loaded, or fails.
        OSError: the disk is full.
    """
    try:
        import pyvips
    except OSError as error:
        raise UserError(f"libvips cannot be loaded ({error}); pip install pyvips-binary") from None
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed process
    scratch.mkdir()
    raw, made = scratch / "pixels", scratch / f"result.{kind}"
    try:
        with open(raw, "wb") as out:
            for band in bands:
                out.write(np.ascontiguousarray(band))
        height, width, channels = shape
        size = raw.stat().st_size
        deep = "16" if dtype == np.uint16 else ""
        colours = ("grey16" if deep else "b-w") if channels < 3 else ("rgb16" if deep else "srgb")
        image = pyvips.Image.rawload(
            str(raw), width, height, channels, format=_FORMATS[dtype], interpretation=colours
        )
        if orientation != 1:
            image = image.copy()
            image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
            image = image.autorot()
        if kind == "png":
            image.pngsave(str(made), compression=4, keep="none")
        else:
            predictor = "float" if dtype == np.float32 else "horizontal"
            image.tiffsave(
                str(made),
                compression="deflate",
                predictor=predictor,
                keep="none",
                bigtiff=size > _CLASSIC_TIFF,
            )
        with open(made, "r+b") as done:
            if kind == "tiff":
                add_tags(done, metadata.tags())
                done.seek(0)
            else:
                head = done.read(54)  # IHDR, and a resolution that libvips makes up
                file.write(metadata.png(head[:33] if head[37:41] == b"pHYs" else head))
            shutil.copyfileobj(done, file, 1 << 20)
    except pyvips.Error as error:
        raise UserError(f"libvips could not write the result ({error})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
