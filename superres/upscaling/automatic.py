"""``--model auto``: a network for what was compressed, another for what was not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superres.checkpoints.shipped import DEFAULT, USUAL_SCALE, variants
from superres.files import is_special
from superres.imaging.kinds import first_bytes, kind_of
from superres.upscaling.networks import ChosenNetwork

AUTO = "auto"
PHOTO = "edsr-photo"
"""Trained on pictures that were JPEGs, slightly blurred, noisy or resized by browsers."""

_LOSSLESS = ("png", "tiff", "bmp", "gif", "pnm", "ico")


def model_for(head: bytes) -> str:
    """The model for a file that begins so (16 bytes tell); what is unknown was compressed."""
    kind = kind_of(head)
    lossless = kind is not None and (
        kind.name in _LOSSLESS or (kind.name == "webp" and head[12:16] == b"VP8L")
    )
    return DEFAULT if lossless else PHOTO


class Networks:
    """The network for each input of a command: the one that was named, or by what an input is.

    Args:
        name: as for :func:`superres.upscaling.networks.choose_network`, or ``'auto'``.
        scale: of the results; None: the network's, or x4.
        choose: gives the network of a name at a scale.

    Raises:
        UserError: as ``choose``, for the network that a name means.
    """

    def __init__(
        self,
        name: str,
        scale: float | None,
        choose: Callable[[str, float | None], ChosenNetwork],
    ) -> None:
        self.name, self._choose = name, choose
        self._scale = USUAL_SCALE if name == AUTO and scale is None else scale
        self.used: dict[str, ChosenNetwork] = {}
        self._names: dict[Path | str, str] = {}
        self.scale = self._scale if name == AUTO else self._get(name).scale

    def of(self, source: Path | str) -> ChosenNetwork:
        """That of a file, or of ``-``, which is not consumed."""
        if self.name != AUTO:
            return self._get(self.name)
        if source not in self._names:  # a file is asked about several times
            self._names[source] = for_image(source, self._scale)
        return self._get(self._names[source])

    def why(self, chosen: ChosenNetwork) -> str:
        """What a person is told of a choice that was not theirs; empty where it was."""
        if self.name != AUTO:
            return ""
        if chosen is self.used.get(PHOTO):
            return f"--model auto: {PHOTO} for JPEG, WebP, video and what is unknown"
        if _photo_offers(self._scale):
            return f"--model auto: {DEFAULT} for lossless files"
        return f"--model auto: {DEFAULT}, since there is no {PHOTO} for x{self._scale:g}"

    def _get(self, name: str) -> ChosenNetwork:
        if name not in self.used:
            self.used[name] = self._choose(name, self._scale)
        return self.used[name]


def _head(source: Path | str) -> bytes:
    """The first bytes of a file; none where they could not be read again."""
    if str(source) == "-":
        return sys.stdin.buffer.peek(16)[:16]
    return b"" if is_special(Path(source)) else first_bytes(source, 16)


def _photo_offers(scale: float) -> bool:
    return max(variants(PHOTO), default=0) >= scale


def for_image(image: Any, scale: float) -> str:
    """The model for what :func:`superres.upscale` is given.

    A path by its content, a Pillow picture by the format it came from; arrays, tensors and other
    pictures, whose past is not known, as if they had been compressed.
    """
    if not _photo_offers(scale):
        return DEFAULT
    if isinstance(image, str | Path):
        return model_for(_head(image))
    lossless = getattr(image, "format", None) in ("PNG", "TIFF", "BMP", "GIF", "PPM")
    return DEFAULT if lossless else PHOTO
