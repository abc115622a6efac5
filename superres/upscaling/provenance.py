"""How a result was made: recorded in the result itself, and compared before it is made again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from superres.imaging.io import image_size, opened_image
from superres.upscaling.tiled_upscaler import target_length
from superres.upscaling.video_reading import open_clip, probe

EXIF_TAG = 0x000B
"""ProcessingSoftware of EXIF, which PNG, JPEG, WebP and TIFF hold."""
_MARK = "superres "


@dataclass(frozen=True)
class Settings:
    """What a result depends on, beside its source.

    Attributes:
        model: what to call the network.
        weights: digest of its weights.
        scale: of the result.
        options: what else changes pixels, in words.
    """

    model: str
    weights: str
    scale: float
    options: tuple[str, ...] = ()

    def record(self, source: Path | str) -> str:
        """One line of ASCII for the result of ``source``."""
        made = {"options": ", ".join(self.options), "source": _digest(source)}
        return _MARK + json.dumps(vars(self) | made)


def with_record(text: str, record: str | None) -> str:
    """A comment with this record, and without those that are in it."""
    text = re.sub(rf"(?m)^{_MARK}{{.*}}\n?", "", text)
    return "\n".join(filter(None, (text, record)))


def record_in(path: Path | str, video: bool) -> str | None:
    """The last record in a result; None where there is none."""
    said = []
    if video:
        with open_clip(Path(path)) as clip:
            said = [v for k, v in clip.metadata.items() if k.lower() == "comment"]
    else:
        with contextlib.suppress(Exception), opened_image(path) as image:
            said = [str(Image.Image.getexif(image).get(EXIF_TAG))]
            said += [image.info.get("comment", b"").decode("latin-1")] * (image.format == "GIF")
    matches = re.findall(rf"^{_MARK}{{.*}}$", "\n".join(said), re.M)
    return matches[-1] if matches else None


def difference(record: str, settings: Settings, source: Path | str) -> str | None:
    """How the result with that record differs from what would be made now; None: it does not."""
    try:
        old: dict[str, Any] = json.loads(record.removeprefix(_MARK))
        model, options = str(old["model"]), str(old["options"])
        if old["scale"] != settings.scale:
            return f"made at x{old['scale']}, not x{settings.scale:g}"
        if old["weights"] != settings.weights:
            same = "other weights called " * (model == settings.model)
            return f"made by {same}{model}, not by {settings.model}"
        usual, wanted = "the usual options", ", ".join(settings.options)
        if options != wanted:
            return f"made with {options or usual}, not with {wanted or usual}"
        if old["source"] != _digest(source):
            return f"made from another image than {source} is now"
    except (ValueError, LookupError, TypeError, RecursionError):
        return "made in a way that cannot be told"
    return None


def misfit(
    source: Path | str, target: Path | str, scale: float, video: bool, dated: bool
) -> str | None:
    """As `difference`, by the result's size and, where ``dated``, by the files' times."""
    if dated and os.stat(source).st_mtime_ns > os.stat(target).st_mtime_ns:
        return f"older than {source}"
    size, found = (probe(Path(p)).size if video else image_size(p) for p in (source, target))
    if size is None or found is None:
        return "not an image that can be read" if found is None else None
    expected = [target_length(side, scale) for side in size]
    expected = [side + side % 2 * video for side in expected]  # films have even sides
    if sorted(expected) == sorted(found):  # it may be turned upright
        return None
    return f"{found[1]}x{found[0]} pixels, not {expected[1]}x{expected[0]}"


def _digest(path: Path | str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
