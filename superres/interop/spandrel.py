"""spandrel: our networks in programs that load models with it, and its networks in ours.

spandrel (https://github.com/chaiNNer-org/spandrel) finds the architecture of a weight file by its
keys; chaiNNer and ComfyUI load models through it. After `install`, it also loads the files that
``superres export spandrel`` writes.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from superres.checkpoints.formats.base import build_named
from superres.checkpoints.reading import CONFIG_TENSOR
from superres.errors import UserError
from superres.export.weights import read_config_tensor
from superres.models.layers.backbone import Backbone

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ArchSupport

NETWORKS = ("EDSR", "MDSR", "DRLN", "SRCNN", "SRResNet", "MSRResNet", "RCAN", "VDSR")
"""What `install` registers, as ``superres-EDSR`` and so on."""


def is_installed() -> bool:
    """Whether the package spandrel is there."""
    return importlib.util.find_spec("spandrel") is not None


def install(registry: ArchRegistry | None = None) -> list[ArchSupport]:
    """Let spandrel load our exported networks, those of `NETWORKS` (of MDSR one scale).

    Call it once, before loading; a second call changes nothing. ``superres export spandrel``
    writes the files: safetensors with our keys, range and residual scale folded in, and the
    network's config in a tensor ``superres_config``, because spandrel passes on tensors only.

    Args:
        registry: spandrel's main registry by default.

    Returns:
        What was added.

    Raises:
        UserError: spandrel is not installed.
    """
    spandrel = _package()
    architectures = [_architecture(name) for name in NETWORKS]
    supports = [
        # Ahead of everything: our marker is in no other file, our other keys may be.
        spandrel.ArchSupport.from_architecture(a, before=_all_ids(registry, spandrel))
        for a in architectures
    ]
    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    return registry.add(*supports, ignore_duplicates=True)


def _all_ids(registry: ArchRegistry | None, spandrel: Any) -> tuple[str, ...]:
    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    return tuple(s.architecture.id for s in registry if not _ours(s.architecture.id))


def _ours(id: str) -> bool:
    return id.startswith("superres-")


def _architecture(network: str) -> Any:
    import spandrel

    class Exported(spandrel.Architecture):
        """One of our networks, rebuilt from the config in its file."""

        def __init__(self) -> None:
            super().__init__(id=f"superres-{network}", name=network, detect=self._is_ours)

        @staticmethod
        def _is_ours(state: Mapping[str, Any]) -> bool:
            if CONFIG_TENSOR not in state:
                return False
            try:
                return read_config_tensor(state)["type"] == network
            except (ValueError, AttributeError, RecursionError):
                return False

        def load(self, state_dict: Mapping[str, Any]) -> Any:
            config = read_config_tensor(state_dict)
            model = build_named(config).eval()
            whole = model.receptive_radius is None
            internal = spandrel.ModelTiling.DISCOURAGED
            return spandrel.ImageModelDescriptor(
                model,
                {key: value for key, value in state_dict.items() if key != CONFIG_TENSOR},
                architecture=self,
                purpose="SR" if model.scale > 1 else "Restoration",
                tags=_tags(config),
                # In 0..255 the numbers are too large for half precision.
                supports_half=config["img_range"] == 1,
                supports_bfloat16=True,
                scale=model.scale,
                input_channels=config["in_channels"],
                output_channels=config["out_channels"],
                tiling=internal if whole else spandrel.ModelTiling.SUPPORTED,
            )

    return Exported()


def _tags(config: Mapping[str, Any]) -> list[str]:
    names = {"channels": "nf", "num_blocks": "nb"}
    return [f"{config[k]}{tag}" for k, tag in names.items() if isinstance(config.get(k), int)]


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
    spandrel = _package()
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


def _package() -> Any:
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
