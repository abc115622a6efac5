"""spandrel: our networks in programs that load models with it.

spandrel (https://github.com/chaiNNer-org/spandrel) finds the architecture of a weight file by its
keys; chaiNNer and ComfyUI load models through it. After `install`, it also loads the files that
``superres export spandrel`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from superres.checkpoints.networks import build_named
from superres.checkpoints.spandrel_networks import package
from superres.checkpoints.weight_files import CONFIG_TENSOR, parse_config
from superres.errors import UserError
from superres.export.weights import SPANDREL_NETWORKS

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ArchSupport

_OURS = "superres-"


def install(registry: ArchRegistry | None = None) -> list[ArchSupport]:
    """Let spandrel load our exported networks, those of `SPANDREL_NETWORKS` (of MDSR one scale).

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
    spandrel = package()
    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    # Ahead of everything: our marker is in no other file, our other keys may be.
    others = tuple(s.architecture.id for s in registry if not s.architecture.id.startswith(_OURS))
    from_architecture = spandrel.ArchSupport.from_architecture
    supports = [from_architecture(_architecture(n), before=others) for n in SPANDREL_NETWORKS]
    return registry.add(*supports, ignore_duplicates=True)


def _config(state: Mapping[str, Any]) -> dict[str, Any]:
    return parse_config(bytes(state[CONFIG_TENSOR].tolist()).decode(), CONFIG_TENSOR)


def _architecture(network: str) -> Any:
    import spandrel

    class Exported(spandrel.Architecture):
        """One of our networks, rebuilt from the config in its file."""

        def __init__(self) -> None:
            super().__init__(id=f"{_OURS}{network}", name=network, detect=self._is_ours)

        @staticmethod
        def _is_ours(state: Mapping[str, Any]) -> bool:
            try:
                return CONFIG_TENSOR in state and _config(state)["type"] == network
            except (UserError, ValueError, TypeError, AttributeError):  # another program's tensor
                return False

        def load(self, state_dict: Mapping[str, Any]) -> Any:
            config = _config(state_dict)
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
