"""EDSR's protocols, which most papers of the field share."""

from ._rules import Protocol, register_protocol

register_protocol(
    Protocol(
        name="edsr-y",
        description="PSNR and SSIM on unrounded BT.601 luma, SR rounded to 8 bits, borders of "
        "scale px shaved, HR cropped to the size of SR: the Set5 to Urban100 columns of papers.",
        source="Lim et al. 2017; EDSR-PyTorch, src/utility.py, calc_psnr (benchmark sets)",
    )
)

register_protocol(
    Protocol(
        name="edsr-div2k",
        description="PSNR and SSIM over R, G and B, SR rounded to 8 bits, borders of scale + 6 px "
        "shaved, HR cropped to the size of SR: the DIV2K columns of papers.",
        source="Lim et al. 2017; EDSR-PyTorch, src/utility.py, calc_psnr (DIV2K)",
        channel="rgb",
        border_extra=6,
    )
)
