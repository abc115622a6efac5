"""The networks that a session offers, and only those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from superres.checkpoints.zoo import DEFAULT, model_names, shipped, variants
from superres.errors import ScaleNeeded, UserError
from superres.inference import Tiling
from superres.inference.backends import check_name
from superres.upscaling.networks import AUTO, PHOTO, Options, choose_network, for_image
from superres.upscaling.tiled_upscaler import TiledUpscaler

_BUDGET = 256 << 20  # small tiles, so that progress is seen, and stopping does not take long
_READY = 3
_USUAL_SCALES = (2, 3, 4)
_LABELS = {
    AUTO: "Automatic: by the kind of file",
    PHOTO: f"Photos and JPEGs ({PHOTO})",
    DEFAULT: f"Clean images, unharmed by JPEG ({DEFAULT})",
}


@dataclass(frozen=True)
class Offer:
    """One entry of the page's list.

    Attributes:
        name: what the page sends: a name, or a file's name without its folder.
        given: what stands for it to `choose_network`; never sent to the page.
        scales: that it makes itself.
    """

    name: str
    given: str
    scales: tuple[int, ...]

    @property
    def label(self) -> str:
        """What people read in the page's list."""
        return _LABELS.get(self.given, self.name)

    @property
    def choices(self) -> tuple[int, ...]:
        """Scales to choose from: its own, and smaller whole ones."""
        return tuple(sorted({*range(2, max(self.scales)), *self.scales} - {1})) or (1,)


class Offers:
    """The offers of a session, and their networks; the last few stay ready.

    Args:
        given: weight files and names.
        device, backend: see :class:`superres.upscaling.networks.Options`.

    Raises:
        UserError: a file or name that cannot be loaded, nothing to offer, or a back end that is
            not there.
    """

    def __init__(
        self, given: Sequence[str] = (), device: str = "auto", backend: str = "auto"
    ) -> None:
        check_name(backend)
        if device not in ("auto", "cpu", "vulkan"):  # which need no torch
            from superres.checkpoints.networks import pick_device

            pick_device(device)  # else the first image would be the first to tell
        self._options = Options(device=device, backend=backend)
        self._ready = lru_cache(maxsize=_READY)(self._upscaler)
        self._offers: dict[str, Offer] = {}
        for text in given:
            self._add(text)
        if own := variants(PHOTO):
            self._offers[AUTO] = Offer(AUTO, AUTO, tuple(own))
        here = shipped()
        for name in model_names():
            if name in here or any(full in here for full in variants(name).values()):
                self._add(name)
        if not self._offers:
            choose_network(Options(DEFAULT))  # raises, and says what to do

    def __iter__(self):
        return iter(self._offers.values())

    def get(self, name: str) -> Offer | None:
        """The offer of that name."""
        return self._offers.get(name)

    def upscaler(
        self, offer: Offer, scale: int, self_ensemble: bool, source: Path | None = None
    ) -> tuple[TiledUpscaler, list[str]]:
        """An `TiledUpscaler`, and notes for a person. Not to be called from two threads at once.

        Args:
            source: the image, by whose kind ``auto`` chooses.
        """
        given = for_image(source, scale) if offer.given == AUTO else offer.given
        return self._ready(given, scale, self_ensemble)

    def _upscaler(
        self, given: str, scale: int, self_ensemble: bool
    ) -> tuple[TiledUpscaler, list[str]]:
        tiling = Tiling(self_ensemble=self_ensemble, memory_budget=_BUDGET)
        chosen = choose_network(replace(self._options, model=given, scale=scale, tiling=tiling))
        made = chosen.upscaler
        return made, [f"{chosen.label}, back end {chosen.backend}", *chosen.notes]

    def _add(self, given: str) -> None:
        if any(offer.given == given for offer in self):
            return
        own = variants(given) if not Path(given).exists() else {}
        scales: Sequence[int] = tuple(own)
        if not scales:
            try:
                module = choose_network(replace(self._options, model=given)).module
                scales = tuple(getattr(module, "scales", None) or (int(module.scale),))
            except ScaleNeeded:  # it makes any
                scales = _USUAL_SCALES
        if not scales:
            raise UserError(f"{given}: states no scale")
        name = base = Path(given).name if Path(given).exists() else given
        number = 2
        while name in self._offers:
            name, number = f"{base} ({number})", number + 1
        self._offers[name] = Offer(name, given, tuple(sorted(scales)))
