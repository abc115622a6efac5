"""What decoding changes in pictures, told from their headers."""

from __future__ import annotations

from collections.abc import Mapping

from superres.imaging.io import Channels, ImageHeader

_SHOWN = 3


def header_notes(
    headers: Mapping[str, ImageHeader], channels: Channels = "rgb", dtype: str = "uint8"
) -> list[str]:
    """How many pictures are changed, or are not taken at their word, in which way, and their names.

    Args:
        headers: by picture name.
        channels, dtype: how they are decoded; see :func:`superres.imaging.io.read_image`.
    """
    depth = "stored with 8 unless --depth keep" if dtype == "uint8" else "kept"
    kinds = {
        "with 16 bits per sample, " + depth: lambda h: h.bits == 16,
        "with an EXIF rotation, stored as the pixels lie": lambda h: h.orientation > 1,
        "with a colour profile (ICC), stored without converting": lambda h: h.has_icc,
    }
    if channels == "rgb":
        kinds["grey, stored as RGB"] = lambda h: h.channels == 1
    if channels != "unchanged":
        kinds["with transparency, stored without it"] = lambda h: h.has_alpha
    notes = []
    for text, test in kinds.items():
        found = [name for name, header in headers.items() if test(header)]
        if found:
            more = f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
            shown = ", ".join(found[:_SHOWN]) + more
            notes.append(f"{len(found)} of {len(headers)} {text}: {shown}")
    return notes
