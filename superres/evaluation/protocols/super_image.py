"""The protocol of super-image."""

from ._rules import Protocol, register_protocol

register_protocol(
    Protocol(
        name="super-image",
        description="PSNR and SSIM on unrounded luma with a red weight of 64.738 instead of "
        "65.738, SR clamped but not rounded, borders of scale px shaved, and HR resized where its "
        "size is no multiple of the scale, which raises scores by up to 1 dB.",
        source="eugenesiow/super-image, EvalMetrics and EvalDataset",
        luma="super-image",
        sr_rounding="clamp",
        on_mismatch="resize",
    )
)
