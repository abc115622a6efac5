"""The BAM repository: every network on 0..1; only DRLN-BAM calls its mean shift.

Checkpoints carry the ``module.`` prefix of DataParallel.
"""

from __future__ import annotations

from superres.checkpoints.formats.base import Format
from superres.checkpoints.formats.drln import DrlnBamLayout, DrlnLayout
from superres.checkpoints.formats.super_image import SuperImageEdsrLayout, SuperImageMdsrLayout


class BamDrlnLayout(DrlnLayout):
    """Plain DRLN with its mean shift commented out."""

    mean_applied = False
    convention = {"rgb_mean": None, "img_range": 1.0}  # noqa: RUF012


FORMAT = Format(
    "bam",
    "BAM repository",
    "0..1, mean subtracted in DRLN-BAM only",
    (SuperImageEdsrLayout(), SuperImageMdsrLayout(), BamDrlnLayout(), DrlnBamLayout()),
    ("bam_repo", "bam-repo"),
)
