"""super-image (Hugging Face layout: ``pytorch_model_2x.pt`` beside a ``config.json``).

EDSR and MDSR work on 0..1 and hold a mean shift that their forward never calls; DRLN and DRLN-BAM
apply theirs. The residual scale of EDSR is in config.json and 1 in the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.checkpoints.formats.base import (
    MEAN,
    Format,
    Layout,
    Names,
    Shapes,
    count,
    scale_of,
    upsampler_names,
)
from superres.checkpoints.formats.drln import DrlnBamLayout, DrlnLayout
from superres.checkpoints.formats.edsr_pytorch import BAM_MODULES, EdsrLayout


class SuperImageEdsrLayout(EdsrLayout):
    """EDSR, the keys of EDSR-PyTorch and other numbers."""

    mean_applied = False
    convention = {"rgb_mean": None, "img_range": 1.0}  # noqa: RUF012

    def res_scale(self, channels: int, num_blocks: int) -> float:
        return 1.0


class SuperImageMdsrLayout(Layout):
    """MDSR of one scale, also the BAM repository's: each convolution in a Sequential of its own."""

    network = "MDSR"
    anchors = ("head.#.#.weight", "pre_process.#.#.body.#.#.weight", "upsample.#.#.#.weight")
    mean_shift = ("sub_mean", "add_mean")
    mean_applied = False
    example = {"scales": [2]}  # noqa: RUF012

    def config(self, shapes: Shapes, hints: Mapping[str, Any]) -> dict[str, Any]:
        channels, in_channels = shapes["head.0.0.weight"][:2]
        scales = sorted({int(key.split(".")[1]) for key in shapes if key.startswith("upsample.")})
        config = {
            "type": "MDSR",
            "in_channels": in_channels,
            "out_channels": shapes["tail.0.0.weight"][0],
            "channels": channels,
            "num_blocks": count(shapes, "body.#.body.0.0.weight"),
            "scales": [
                scale_of(shapes, (f"upsample.{s}.{i}.0.weight" for i in (0, 2, 4))) for s in scales
            ],
            "res_scale": float(hints.get("res_scale", 0.1)),
            "pre_kernel_size": shapes[f"pre_process.{scales[0]}.0.body.0.0.weight"][-1],
            "rgb_mean": None,
            "img_range": 1.0,
        }
        if "body.0.attention.ca.fc1.weight" in shapes:
            config["attention"] = "bam"
            config["attention_in_pre"] = any(
                k.startswith("pre_process.") and ".attention." in k for k in shapes
            )
        return config

    def names(self, config: Mapping[str, Any]) -> Names:
        blocks = config.get("num_blocks", 16)
        table = {
            "head.0.0": "conv_first",
            f"body.{blocks}.0": "conv_after_body",
            "tail.0.0": "conv_last",
        }

        def add_block(name: str, attention: bool) -> None:
            table[f"{name}.body.0.0"] = f"{name}.conv1"
            table[f"{name}.body.2.0"] = f"{name}.conv2"
            if attention:
                table.update(
                    {f"{name}.attention.{m}": f"{name}.attention.{m}" for m in BAM_MODULES}
                )

        for i in range(blocks):
            add_block(f"body.{i}", bool(config.get("attention")))
        for scale in config.get("scales", (2, 3, 4)):
            for i in range(2):
                add_block(f"pre_process.{scale}.{i}", bool(config.get("attention_in_pre")))
            table |= upsampler_names(f"upsample.{scale}", f"upsample.{scale}", scale, 2, ".0")
        return table


class SuperImageDrlnLayout(DrlnLayout):
    """DRLN on 0..1, mean applied."""

    convention = {"rgb_mean": MEAN, "img_range": 1.0}  # noqa: RUF012


FORMAT = Format(
    "super-image",
    "super-image",
    "0..1, no mean in EDSR and MDSR, mean subtracted in DRLN; residual scale 1 in EDSR",
    (SuperImageEdsrLayout(), SuperImageMdsrLayout(), SuperImageDrlnLayout(), DrlnBamLayout()),
    ("super_image", "superimage", "huggingface"),
)
