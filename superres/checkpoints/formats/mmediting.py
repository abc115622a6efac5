"""MMEditing 0.x and MMagic, under ``generator.`` in ``state_dict``: EDSR, MSRResNet, SRCNN, RDN,
RRDBNet; 0..1.

EDSR subtracts the mean, a plain attribute that is not in the file. The residual scale is not in
the file either and is 1 in the published weights.
"""

from superres.checkpoints.formats import arguments, esrgan, rdn
from superres.checkpoints.formats.base import MEAN, Format, Layout, same

UPSAMPLER = "upsample.{k}.upsample_conv"
EDSR = Layout(
    "EDSR",
    arguments.edsr,
    same("conv_first", "body.{i}.conv{n}", "conv_after_body", UPSAMPLER, "conv_last"),
    convention={"rgb_mean": MEAN, "img_range": 1.0},
    hints={"res_scale": 1.0},
)
MSRRESNET = Layout(
    "MSRResNet",
    arguments.blocks,
    {
        **same("conv_first", "conv_hr", "conv_last"),
        "body.{i}.conv{n}": "trunk_net.{i}.conv{n}",
        UPSAMPLER: "upsample{k+1}.upsample_conv",
    },
    convention={"upsample_act": False},
)
# With torch's bicubic inside.
SRCNN = Layout("SRCNN", arguments.srcnn, same("conv{n}"), enlarges_first=True)


def _wrap(state: dict) -> dict:
    return {"meta": {}, "state_dict": {f"generator.{key}": value for key, value in state.items()}}


FORMAT = Format(
    "mmediting",
    "MMEditing / MMagic",
    "0..1, mean subtracted in EDSR",
    (EDSR, MSRRESNET, SRCNN, rdn.RDN, esrgan.RRDBNET),
    ("mmagic", "mmedit"),
    order=1,
    wrap=_wrap,
)
