"""MMEditing's and BasicSR's protocol, and the fault of one version of it."""

from ._rules import Protocol, register_protocol

register_protocol(
    Protocol(
        name="mmediting-rgb",
        description="PSNR over R, G and B and SSIM as the mean of the three channels, SR rounded "
        "to 8 bits, borders of scale px shaved.",
        source="MMEditing and MMagic, evaluation metrics PSNR and SSIM; equals BasicSR's",
        channel="rgb",
        max_crop=11,
    )
)

register_protocol(
    Protocol(
        name="mmediting-ssim-bug",
        description="as mmediting-rgb, but SSIM of the blue channel alone: a fault of MMEditing "
        "0.x whenever borders were shaved, and so the SSIM of its published tables.",
        source="MMEditing 0.x, mmedit/core/evaluation/metrics.py, ssim",
        channel="rgb",
        max_crop=11,
        ssim="blue",
    )
)
