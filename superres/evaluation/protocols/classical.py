"""The protocol of the bicubic row of papers."""

from ._rules import Protocol, register_protocol

register_protocol(
    Protocol(
        name="classical-y",
        description="PSNR and SSIM on BT.601 luma rounded to whole levels, borders of scale px "
        "shaved: the bicubic row of papers, whose LR is the unrounded downscaled luma.",
        source="Dong et al. 2014 (SRCNN) and the MATLAB evaluation that later papers share",
        round_y=True,
    )
)
