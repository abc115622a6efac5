"""super-image (Hugging Face layout: ``pytorch_model_2x.pt`` beside a ``config.json``).

EDSR and MDSR work on 0..1 and hold a mean shift that their forward never calls; DRLN and DRLN-BAM
apply theirs. The residual scale of EDSR is in config.json and 1 in the published weights.
"""

from dataclasses import replace

from superres.checkpoints.formats import drln, edsr_pytorch
from superres.checkpoints.formats.base import MEAN, UNIT, Format, same

EDSR = replace(edsr_pytorch.EDSR, convention=UNIT, hints={"res_scale": 1.0}, mean_applied=False)
MDSR = replace(  # of one scale, each convolution in a Sequential of its own
    edsr_pytorch.MDSR,
    names={
        ours: theirs.replace("{#s}", "{s}") + ".0"
        for ours, theirs in edsr_pytorch.MDSR.names.items()
    },
    optional=same(
        *(f"{at}.{m}" for at in ("pre_process.{s}.{n}", "body.{i}") for m in edsr_pytorch.BAM)
    ),
    convention=UNIT,
    hints={"res_scale": 0.1},
    mean_applied=False,
)
DRLN = replace(drln.DRLN, convention={**drln.DRLN.convention, "rgb_mean": MEAN, "img_range": 1.0})

FORMAT = Format(
    "super-image",
    "super-image",
    "0..1, no mean in EDSR and MDSR, mean subtracted in DRLN; residual scale 1 in EDSR",
    (EDSR, MDSR, DRLN, drln.DRLN_BAM),
    ("superimage", "huggingface"),
    order=3,
)
