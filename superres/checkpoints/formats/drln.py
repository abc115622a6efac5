"""Weights of the DRLN repository: names and numbers of DRLN, and of DRLN-BAM for other formats.

Tables map our module names to theirs. A letter in braces stands for any number, ``{n+1}`` and
``{2c}`` for numbers computed from it. The published DRLN works on 0..255 but subtracts the mean of
0..1 from that, and so must every network that uses its weights.
"""

from dataclasses import replace

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import MEAN, Format, Layout
from superres.checkpoints.formats.edsr_pytorch import BAM

COMMON = {
    "conv_first": "head",
    "fusions.{n}": "c{n+1}.body.0",
    "blocks.{n}.fuse": "b{n+1}.g.body.0",
    "blocks.{n}.r{r}.conv{c+1}": "b{n+1}.r{r}.body.{2c}",
    "upsample.{k}.upsample_conv": "upsample.up.body.{3k}",
    "conv_last": "tail",
}
BAM_NAMES = {f"blocks.{{n}}.{m}": f"b{{n+1}}.ca.{m.removeprefix('attention.')}" for m in BAM}
# rgb_mean is in units of img_range: 255 * (0.45 / 255) = 0.45 is subtracted.
UNSCALED_MEAN = {"rgb_mean": [value / 255 for value in MEAN], "img_range": 255.0}

DRLN = Layout(
    "DRLN",
    arguments.drln,
    {**COMMON, "blocks.{n}.attention.c{c}": "b{n+1}.ca.c{c}.body.0"},
    convention={"attention": "laplacian", **UNSCALED_MEAN},
    mean_shift=("sub_mean.shifter", "add_mean.shifter"),
)
DRLN_BAM = replace(  # not this repository's: super-image and the BAM repository store it so
    DRLN,
    names={**COMMON, **BAM_NAMES},
    convention={"attention": "bam", "rgb_mean": MEAN, "img_range": 1.0},
)

NUMBERS = "0..255, mean of 0.45 (not 114) subtracted"
FORMAT = Format("drln", "DRLN repository", NUMBERS, (DRLN,), ("drln-repo",), order=4)
