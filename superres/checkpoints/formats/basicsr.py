"""BasicSR, under ``params`` or ``params_ema``: EDSR and RCAN (0..255 inside, mean subtracted),
MSRResNet, RRDBNet and SRVGGNetCompact (0..1). The residual scale is an option of the training file:
0.1 for EDSR's 32 blocks of 256."""

from superres.checkpoints.formats import arguments, esrgan
from superres.checkpoints.formats.base import IN_255, Format, Layout, same

ENDS = {
    **same("conv_first", "conv_after_body", "conv_last"),
    "upsample.{k}.upsample_conv": "upsample.{2k}",
}
EDSR = Layout("EDSR", arguments.edsr, {**ENDS, **same("body.{i}.conv{n}")}, convention=IN_255)
MSRRESNET = Layout(
    "MSRResNet",
    arguments.blocks,
    {
        **same("conv_first", "body.{i}.conv{n}", "conv_hr", "conv_last"),
        "upsample.{k}.upsample_conv": "upconv{k+1}",
    },
    convention={"upsample_act": True},  # a leaky ReLU after each pixel shuffle
)
RCAN = Layout(
    "RCAN",
    arguments.rcan,
    {
        **ENDS,
        "body.{g}.blocks.{i}.conv{c+1}": "body.{g}.residual_group.{i}.rcab.{2c}",
        "body.{g}.blocks.{i}.attention.down": "body.{g}.residual_group.{i}.rcab.3.attention.1",
        "body.{g}.blocks.{i}.attention.up": "body.{g}.residual_group.{i}.rcab.3.attention.3",
        **same("body.{g}.conv"),
    },
    convention=IN_255,
)

FORMAT = Format(
    "basicsr",
    "BasicSR",
    "EDSR, RCAN: 0..255, mean subtracted, residual scale 0.1 in the full EDSR; others: 0..1",
    (EDSR, MSRRESNET, RCAN, esrgan.RRDBNET, esrgan.SRVGGNET),
    order=2,
    wrap=lambda state: {"params": state},
)
