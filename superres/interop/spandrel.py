"""spandrel: our networks in programs that load models with it.

spandrel (https://github.com/chaiNNer-org/spandrel) finds the architecture of a weight file by its
keys; chaiNNer and ComfyUI load models through it. After `install`, it also loads the files that
``superres export spandrel`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from superres.checkpoints.formats.base import build_named
from superres.checkpoints.light import CONFIG_TENSOR
from superres.checkpoints.reading import read_config_tensor
from superres.checkpoints.spandrel_networks import package
from superres.export.weights import SPANDREL_NETWORKS

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ArchSupport


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
    architectures = [_architecture(name) for name in SPANDREL_NETWORKS]
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
