"""Networks that only spandrel knows (https://github.com/chaiNNer-org/spandrel)."""

from __future__ import annotations

import copy
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import torch

from superres.errors import UserError
from superres.models.layers.backbone import Backbone

SPANDREL = "spandrel"
"""Name of the format of such files."""


class SpandrelNetwork(Backbone):
    """A network that spandrel loaded, behind our contract.

    Inputs are padded to the sizes that it takes and the results are cut, as spandrel itself does;
    results are within [0, 1]. Its receptive field is not known, so tiles are blended.

    Attributes:
        architecture: spandrel's name for it.
        scale, in_channels, out_channels: of the network.
    """

    receptive_radius: int | None = None

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.net = descriptor.model
        self.architecture: str = descriptor.architecture.name
        self.scale: int = descriptor.scale
        self.in_channels: int = descriptor.input_channels
        self.out_channels: int = descriptor.output_channels
        self._descriptor = descriptor

    @property
    def config(self) -> dict[str, Any]:
        """What a record says of the network; it cannot be built from that."""
        return {
            "type": self.architecture,
            "scale": self.scale,
            "in_channels": self.in_channels,
            "loaded_by": f"spandrel {importlib.metadata.version('spandrel')}",
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale) in [0, 1]."""
        return self._descriptor(x).clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> SpandrelNetwork:
        # An architecture is one object for a whole registry, and a descriptor refers to it.
        architecture = self._descriptor.architecture
        memo[id(architecture)] = architecture
        return SpandrelNetwork(copy.deepcopy(self._descriptor, memo))


def load_foreign(unknown: str, *states: Mapping[str, Any]) -> SpandrelNetwork:
    """The network of the first of these state dicts that spandrel knows.

    Args:
        unknown: what is wrong with the file as we see it; begins messages.
        states: tensors that our reader, which runs no code, has opened.

    Raises:
        UserError: spandrel is not installed or does not know it, or knows it, but it needs more
            than an image or its weights do not fit.
    """
    try:
        spandrel = package()
    except UserError as error:
        raise UserError(f"{unknown} ({error})") from error
    why = "spandrel does not know it either"
    for state in states:
        try:
            found = spandrel.ModelLoader("cpu").load_from_state_dict(dict(state))
        except spandrel.UnsupportedModelError:
            continue
        except Exception as error:  # whatever a damaged state dict makes a constructor raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            why = f"spandrel takes it for a network that it knows, but cannot load it: {reason}"
            break
        if isinstance(found, spandrel.ImageModelDescriptor):
            return SpandrelNetwork(found.float().eval())
        why = f"spandrel's {found.architecture.name} needs a mask beside the image"
        break
    raise UserError(f"{unknown} ({why})")


def package() -> Any:
    """spandrel itself.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another torch
        raise UserError(
            "the package spandrel, which knows more networks, cannot be imported "
            f"({str(error).splitlines()[0]}): pip install 'superres[spandrel]'; its torchvision "
            "and torch must be builds that go together"
        ) from error
    return spandrel
