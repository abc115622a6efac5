"""The DRLN repository: DRLN on 0..255 with the mean *not* multiplied by 255, as published."""

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
IN_BAM = {f"blocks.{{n}}.{m}": f"b{{n+1}}.ca.{m.removeprefix('attention.')}" for m in BAM}
MEAN_IN_255 = {"rgb_mean": [value / 255 for value in MEAN], "img_range": 255.0}

DRLN = Layout(
    "DRLN",
    arguments.drln,
    {**COMMON, "blocks.{n}.attention.c{c}": "b{n+1}.ca.c{c}.body.0"},
    convention={"attention": "laplacian", **MEAN_IN_255},
    mean_shift=("sub_mean.shifter", "add_mean.shifter"),
)
DRLN_BAM = replace(  # of super-image and of the BAM repository
    DRLN,
    names={**COMMON, **IN_BAM},
    convention={"attention": "bam", "rgb_mean": MEAN, "img_range": 1.0},
)

NUMBERS = "0..255, mean of 0.45 (not 114) subtracted"
FORMAT = Format("drln", "DRLN repository", NUMBERS, (DRLN,), ("drln-repo",), order=4)
