"""EDSR-PyTorch (the EDSR authors' PyTorch code): EDSR, MDSR, RCAN and an RGB VDSR.

Bare state dicts in ``.pt`` files. The networks work on 0..255 and hold the mean shift as 1x1
convolutions, trainable by accident in older releases, so the values are taken from the file.
The residual scale is not in the file: 0.1 in the published full EDSR (32 blocks of 256), else 1.
"""

from functools import partial

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import IN_255, Format, Layout, same

BAM = ("attention.ca.fc1", "attention.ca.relu1", "attention.ca.fc2", "attention.sa.conv1")
"""Modules of the BAM repository's attention."""
ENDS = {
    "conv_first": "head.0",
    "upsample.{k}.upsample_conv": "tail.0.{2k}",
    "conv_last": "tail.1",
}
BLOCKS = {"body.{i}.conv{c+1}": "body.{i}.body.{2c}"}

_layout = partial(Layout, convention=IN_255, mean_shift=("sub_mean", "add_mean"))

EDSR = _layout(
    "EDSR",
    arguments.edsr,
    {**ENDS, **BLOCKS, "conv_after_body": "body.{I}"},
    optional=same(*BAM),
)
MDSR = _layout(
    "MDSR",
    arguments.mdsr,
    {
        "conv_first": "head.0",
        "pre_process.{s}.{n}.conv{c+1}": "pre_process.{#s}.{n}.body.{2c}",
        **BLOCKS,
        "conv_after_body": "body.{I}",
        "upsample.{s}.{k}.upsample_conv": "upsample.{#s}.{2k}",
        "conv_last": "tail.0",
    },
)
RCAN = _layout(
    "RCAN",
    arguments.rcan,
    {
        **ENDS,
        "body.{g}.blocks.{i}.conv{c+1}": "body.{g}.body.{i}.body.{2c}",
        "body.{g}.blocks.{i}.attention.down": "body.{g}.body.{i}.body.3.conv_du.0",
        "body.{g}.blocks.{i}.attention.up": "body.{g}.body.{i}.body.3.conv_du.2",
        "body.{g}.conv": "body.{g}.body.{I}",
        "conv_after_body": "body.{G}",
    },
)
VDSR = _layout(
    "VDSR",
    arguments.vdsr,
    {"conv_first": "body.0.0", "body.{i}": "body.{i+1}.0", "conv_last": "body.{I+1}.0"},
    tensors=("body.#.#.bias", "-body.#.#.running_mean"),
    enlarges_first=True,
)

FORMAT = Format(
    "edsr-pytorch",
    "EDSR-PyTorch",
    "0..255, mean subtracted, residual scale 0.1 in the full EDSR and 1 elsewhere",
    (EDSR, MDSR, RCAN, VDSR),
    order=0,
)
