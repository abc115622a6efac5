"""Lornatang's SRResNet with batch norm; 0..1. (Its forward clamps the output; ours does not.)"""

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import Format, Layout

SRRESNET = Layout(
    "SRResNet",
    lambda shapes, hints: {
        **arguments.blocks(shapes, hints),
        "bias_before_norm": "conv_after_body.bias" in shapes,
    },
    {
        "conv_first": "conv_block1.0",
        "act_first": "conv_block1.1",
        "body.{i}.conv{c+1}": "trunk.{i}.rcb.{3c}",
        "body.{i}.norm{c+1}": "trunk.{i}.rcb.{3c+1}",
        "body.{i}.act": "trunk.{i}.rcb.2",
        "conv_after_body": "conv_block2.0",
        "norm_after_body": "conv_block2.1",
        "upsample.{k}.upsample_conv": "upsampling.{k}.upsample_block.0",
        "upsample.{k}.act_after": "upsampling.{k}.upsample_block.2",
        "conv_last": "conv_block3",
    },
)

FORMAT = Format("lornatang", "Lornatang's SRResNet", "0..1, no mean", (SRRESNET,), order=10)
