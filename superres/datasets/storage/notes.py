"""What decoding changes in images, told from their headers."""

from __future__ import annotations

from collections.abc import Mapping

from superres.errors import some
from superres.imaging.io import Channels, ImageHeader

_SHOWN = 3


def changes(header: ImageHeader, channels: Channels = "rgb", dtype: str = "uint8") -> list[str]:
    """In which ways an image is not decoded as it is stored; words that follow "images".

    Args:
        channels, dtype: how it is decoded; see :func:`superres.imaging.io.read_image`.
    """
    depth = "stored with 8 unless --depth keep" if dtype == "uint8" else "kept"
    found = {
        f"with {header.bits} bits per sample, {depth}": header.bits > 8,
        "with an EXIF rotation, stored as the pixels lie": header.orientation > 1,
        "with a colour profile (ICC), stored without converting": header.has_icc,
        "grey, stored as RGB": channels == "rgb" and header.channels == 1,
        "with transparency, stored without it": channels != "unchanged" and header.has_alpha,
    }
    return [text for text, true in found.items() if true] + [
        f"not stored whole ({note})" for note in header.notes
    ]


def header_notes(
    headers: Mapping[str, ImageHeader], channels: Channels = "rgb", dtype: str = "uint8"
) -> list[str]:
    """How many images are changed, in which way, and their names; see :func:`changes`.

    Args:
        headers: by image name.
    """
    found: dict[str, list[str]] = {}
    for name, header in headers.items():
        for text in changes(header, channels, dtype):
            found.setdefault(text, []).append(name)
    notes = []
    for text, names in found.items():
        notes.append(f"{len(names)} of {len(headers)} {text}: {some(names, _SHOWN)}")
    return notes
