"""What a protocol is, and the look-up of named ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from superres.errors import UserError, did_you_mean
from superres.imaging.colour import LUMA_WEIGHTS

_CHOICES = {
    "channel": ("rgb", "y"),
    "luma": tuple(LUMA_WEIGHTS),
    "sr_rounding": ("uint8", "clamp", "none"),
    "ssim": ("mean", "blue"),
    "on_mismatch": ("crop", "resize", "error"),
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How to score one pair of images.

    Attributes:
        name: what tables call it.
        description: one sentence: what it does.
        source: where it comes from.
        channel: ``'rgb'`` (all samples) or ``'y'`` (studio-range BT.601 luma).
        luma: which luma weights, a key of ``superres.imaging.colour.LUMA_WEIGHTS``.
        round_y: round luma of both images to whole levels before comparing.
        border_per_scale, border_extra: pixels shaved from each side are
            ``border_per_scale * scale + border_extra``.
        sr_rounding: ``'uint8'`` (round and clamp to whole levels), ``'clamp'`` or ``'none'``.
        ssim: ``'mean'`` over the compared channels, or ``'blue'`` alone.
        on_mismatch: what happens to an HR image larger than the SR one: ``'crop'`` keeps its
            top-left corner, ``'resize'`` resizes it (Pillow's bicubic), ``'error'`` refuses it.
        max_crop: how many pixels a crop may take off; 0 means up to ``scale - 1``.
        mse_offset: added to the mean squared error of images in [0, 1].
    """

    name: str
    description: str = ""
    source: str = ""
    channel: str = "y"
    luma: str = "bt601"
    round_y: bool = False
    border_per_scale: int = 1
    border_extra: int = 0
    sr_rounding: str = "uint8"
    ssim: str = "mean"
    on_mismatch: str = "crop"
    max_crop: int = 0
    mse_offset: float = 0.0

    def __post_init__(self) -> None:
        for key, allowed in _CHOICES.items():
            if getattr(self, key) not in allowed:
                raise UserError(
                    f"protocol {self.name!r}: {key} must be one of {', '.join(allowed)}, "
                    f"not {getattr(self, key)!r}"
                )
        if self.channel == "y" and self.ssim == "blue":
            raise UserError(f"protocol {self.name!r}: ssim='blue' needs channel='rgb'")

    def border(self, scale: int) -> int:
        """Pixels shaved from each side at this scale."""
        return self.border_per_scale * scale + self.border_extra

    def line(self) -> str:
        """What a table prints beneath itself."""
        source = f" [{self.source}]" if self.source else ""
        return f"{self.name}: {self.description or self._from_fields()}{source}"

    def _from_fields(self) -> str:
        """A description for a protocol that has none."""
        rules = (f"{field.name}={getattr(self, field.name)}" for field in fields(self)[3:])
        return f"PSNR and SSIM by {', '.join(rules)}."


PROTOCOLS: dict[str, Protocol] = {}
"""The named protocols, in the order in which help texts list them."""


def register_protocol(protocol: Protocol) -> None:
    """Give a protocol a name that configs and commands know.

    Raises:
        UserError: there is another protocol of that name.
    """
    if PROTOCOLS.setdefault(protocol.name, protocol) != protocol:
        raise UserError(f"there are two protocols called {protocol.name!r}: rename one")


def get_protocol(protocol: str | Mapping | Protocol) -> Protocol:
    """The protocol of that name, or the one that a config's dict defines.

    A dict may start from a named one: ``dict(base='edsr-y', name='mine', border_extra=2)``.

    Raises:
        UserError: an unknown name or key, with near matches.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            near = did_you_mean(protocol, PROTOCOLS, 0.4)
            raise UserError(
                f"unknown protocol {protocol!r}{near}; known are {', '.join(PROTOCOLS)}"
            )
        return PROTOCOLS[protocol]
    if not isinstance(protocol, Mapping):
        raise UserError(f"a protocol is a name or a dict, not {type(protocol).__name__}")
    keys = [field.name for field in fields(Protocol)]
    for key in protocol.keys() - {*keys, "base"}:
        raise UserError(f"unknown key {key!r} in a protocol{did_you_mean(key, keys, 0.4)}")
    if "name" not in protocol:
        raise UserError("a protocol defined in a config needs a name of its own")
    config = {key: value for key, value in protocol.items() if key != "base"}
    if "base" not in protocol:
        return Protocol(**config)
    base = get_protocol(protocol["base"])
    # The sentence about the base would be wrong about what is changed here.
    return replace(base, **{"description": "", "source": f"based on {base.name}", **config})


def protocols_of(name: str, wanted: Any = None) -> list[Protocol]:
    """The protocols to score a set by: those asked for, else 'edsr-div2k' for DIV2K, or 'edsr-y'.

    ``wanted`` is a protocol, a list of them, 'all', or a dict from set names (and 'default') to
    such.
    """
    if isinstance(wanted, Mapping) and "name" not in wanted:
        wanted = wanted.get(name, wanted.get("default"))
    if wanted is None:
        wanted = "edsr-div2k" if name.upper().startswith("DIV2K") else "edsr-y"
    wanted = list(PROTOCOLS) if wanted in ("all", ["all"]) else wanted
    found = map(get_protocol, wanted if isinstance(wanted, list | tuple) else [wanted])
    return list({protocol.name: protocol for protocol in found}.values())
