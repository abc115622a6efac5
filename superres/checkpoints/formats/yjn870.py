"""The SRCNN of yjn870's repository, which many have copied: one channel (Y of YCbCr), 0..1.

The keys are those of MMEditing's RGB network; the bicubic upscaling is outside, MATLAB's.
"""

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import Format, Layout, same

ARGUMENTS = arguments.enlarged_outside(arguments.srcnn)
SRCNN = Layout("SRCNN", ARGUMENTS, same("conv{n}"), grey=True, enlarges_first=True)

FORMAT = Format("yjn870", "yjn870's SRCNN", "0..1, Y, no mean", (SRCNN,), ("srcnn",), order=13)
