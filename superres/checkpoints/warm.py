"""Start a network from the weights of another scale, by the published rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from superres.errors import UserError

REPLACEABLE = ("upsample.", "conv_last.", "conv_hr.", "pre_process.")
"""What may differ between two scales of a network, in our names."""


@dataclass(frozen=True)
class WarmStart:
    """What `warm_start` copied, left random and did not use, by name."""

    copied: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for a log."""
        parts = [f"{len(self.copied)} tensors copied"]
        if self.kept:
            parts.append("left as initialised: " + ", ".join(self.kept))
        if self.unused:
            parts.append("not used: " + ", ".join(self.unused))
        return "; ".join(parts)


def warm_start(network: nn.Module, state: Mapping[str, Tensor]) -> WarmStart:
    """Copy every tensor of the same name and shape; only the tail may differ.

    EDSR's x3 and x4 networks start from x2 this way: to x4 the first upsampler stage and the
    last convolution are copied and the second stage stays random; to x3 the upsampler stays
    random and the last convolution is copied.

    Args:
        network: changed in place.
        state: in our names, from `read_weights`.

    Raises:
        UserError: a difference outside the tail: the weights are of another network.
    """
    own = network.state_dict()
    copied = [k for k in own if k in state and state[k].shape == own[k].shape]
    kept = [k for k in own if k not in copied]
    unused = [k for k in state if k not in copied]
    wrong = [k for k in (*kept, *unused) if not k.startswith(REPLACEABLE)]
    if wrong:
        raise UserError(
            "cannot start from these weights, they are of another network: "
            + ", ".join(wrong[:4])
            + (f" and {len(wrong) - 4} more differ" if len(wrong) > 4 else " differ")
        )
    network.load_state_dict({key: state[key] for key in copied}, strict=False)
    return WarmStart(tuple(copied), tuple(kept), tuple(unused))
