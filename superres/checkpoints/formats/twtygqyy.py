"""twtygqyy's VDSR: the paper's network on one channel (Y of YCbCr), 0..1, no biases."""

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import Format, Layout

NAMES = {"conv_first": "input", "body.{i}": "residual_layer.{i}.conv", "conv_last": "output"}
VDSR = Layout("VDSR", arguments.enlarged_outside(arguments.vdsr), NAMES, enlarges_first=True)

FORMAT = Format("twtygqyy", "twtygqyy's VDSR", "0..1, Y, no mean", (VDSR,), order=11)
