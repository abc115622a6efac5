"""Networks that only spandrel knows (https://github.com/chaiNNer-org/spandrel)."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from superres.errors import UserError
from superres.models.layers.backbone import Backbone


def is_installed() -> bool:
    """Whether the package spandrel is there."""
    return importlib.util.find_spec("spandrel") is not None


class Broken(UserError):
    """spandrel is installed, and cannot be imported."""


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale) in [0, 1]."""
        return self._descriptor(x).clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> SpandrelNetwork:
        # An architecture is one object for a whole registry, and a descriptor refers to it.
        architecture = self._descriptor.architecture
        memo[id(architecture)] = architecture
        return SpandrelNetwork(copy.deepcopy(self._descriptor, memo))


def load_foreign(state: Mapping[str, Any], where: str | Path) -> SpandrelNetwork | None:
    """The network of a state dict that spandrel knows; None if it is not installed or does not.

    Raises:
        UserError: spandrel knows it, but it does not make larger pictures from pictures, or its
            weights do not fit.
    """
    if not is_installed():
        return None
    spandrel = package()
    try:
        found = spandrel.ModelLoader("cpu").load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError:
        return None
    except Exception as error:  # whatever a damaged state dict makes a constructor raise
        raise UserError(
            f"{where}: spandrel takes it for a network that it knows, but cannot load it: "
            f"{(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise UserError(
            f"{where}: {found.architecture.name} needs a mask beside the picture; only networks "
            "that take one picture can be used"
        )
    return SpandrelNetwork(found.float().eval())


def package() -> Any:
    """spandrel itself.

    Raises:
        UserError: it is not installed; `Broken` where it cannot be imported.
    """
    try:
        import spandrel
    except ImportError as error:
        if is_installed():
            raise Broken(
                f"spandrel is installed, but cannot be imported ({error}); its torchvision and "
                "torch may be builds that do not go together"
            ) from error
        raise UserError("spandrel is not installed: pip install 'superres[spandrel]'") from error
    except RuntimeError as error:
        raise Broken(
            f"spandrel is installed, but cannot be imported ({str(error).splitlines()[0]}); its "
            "torchvision and torch are builds that do not go together"
        ) from error
    return spandrel
