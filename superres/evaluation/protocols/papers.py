"""The protocols of published tables, in the order in which help texts list them."""

from ._rules import Protocol, register_protocol

for _protocol in (
    Protocol(
        name="edsr-y",
        description="PSNR and SSIM on unrounded BT.601 luma, SR rounded to 8 bits, borders of "
        "scale px shaved, HR cropped to the size of SR: the Set5 to Urban100 columns of papers.",
        source="Lim et al. 2017; EDSR-PyTorch, src/utility.py, calc_psnr (benchmark sets)",
    ),
    Protocol(
        name="edsr-div2k",
        description="PSNR and SSIM over R, G and B, SR rounded to 8 bits, borders of scale + 6 px "
        "shaved, HR cropped to the size of SR: the DIV2K columns of papers.",
        source="Lim et al. 2017; EDSR-PyTorch, src/utility.py, calc_psnr (DIV2K)",
        channel="rgb",
        border_extra=6,
    ),
    Protocol(
        name="classical-y",
        description="PSNR and SSIM on BT.601 luma rounded to whole levels, borders of scale px "
        "shaved: the bicubic row of papers, whose LR is the unrounded downscaled luma.",
        source="Dong et al. 2014 (SRCNN) and the MATLAB evaluation that later papers share",
        round_y=True,
    ),
    Protocol(
        name="mmediting-rgb",
        description="PSNR over R, G and B and SSIM as the mean of the three channels, SR rounded "
        "to 8 bits, borders of scale px shaved.",
        source="MMEditing and MMagic, evaluation metrics PSNR and SSIM; equals BasicSR's",
        channel="rgb",
        max_crop=11,
    ),
    Protocol(
        name="mmediting-ssim-bug",
        description="as mmediting-rgb, but SSIM of the blue channel alone: a fault of MMEditing "
        "0.x whenever borders were shaved, and so the SSIM of its published tables.",
        source="MMEditing 0.x, mmedit/core/evaluation/metrics.py, ssim",
        channel="rgb",
        max_crop=11,
        ssim="blue",
    ),
    Protocol(
        name="super-image",
        description="PSNR and SSIM on unrounded luma with a red weight of 64.738 instead of "
        "65.738, SR clamped but not rounded, borders of scale px shaved, and HR resized where its "
        "size is not a multiple of the scale, which raises scores by up to 1 dB.",
        source="eugenesiow/super-image, EvalMetrics and EvalDataset",
        luma="super-image",
        sr_rounding="clamp",
        on_mismatch="resize",
    ),
):
    register_protocol(_protocol)
