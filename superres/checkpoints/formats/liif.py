"""LIIF's EDSR encoder: head and body only. The input is (x - 0.5) / 0.5; no tail, no mean shift.

Good for starting a training from, not for upscaling images.
"""

from superres.checkpoints.formats import arguments, edsr_pytorch
from superres.checkpoints.formats.base import Format, Layout

NAMES = {"conv_first": "head.0", **edsr_pytorch.BLOCKS, "conv_after_body": "body.{I}"}
TRUNK = Layout(
    "EDSR",
    arguments.edsr,
    {ours: f"encoder.{theirs}" for ours, theirs in NAMES.items()},
    convention={"rgb_mean": [0.5] * 3, "rgb_std": [0.5] * 3, "img_range": 1.0},
    mean_shift=("encoder.sub_mean", "encoder.add_mean"),
    mean_applied=False,
    ignored="imnet.",
)

FORMAT = Format("liif", "LIIF's EDSR encoder", "-1..1, trunk only", (TRUNK,), order=12)
