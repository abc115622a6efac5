"""The BAM repository: every network on 0..1; only DRLN-BAM calls its mean shift.

Checkpoints carry the ``module.`` prefix of DataParallel.
"""

from dataclasses import replace

from superres.checkpoints.formats import drln, super_image
from superres.checkpoints.formats.base import UNIT, Format

DRLN = replace(drln.DRLN, convention={**drln.DRLN.convention, **UNIT}, mean_applied=False)
LAYOUTS = (super_image.EDSR, super_image.MDSR, DRLN, drln.DRLN_BAM)

NUMBERS = "0..1, mean subtracted in DRLN-BAM only"
FORMAT = Format("bam", "BAM repository", NUMBERS, LAYOUTS, ("bam-repo",), order=5)
