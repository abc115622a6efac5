"""ESRGAN and Real-ESRGAN: RRDBNet in three generations of names, and SRVGGNetCompact; 0..1.

BasicSR, MMEditing and MMagic store RRDBNet as Real-ESRGAN does. Files lie under ``params_ema`` or
are bare; the oldest number the modules of one long Sequential.
"""

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import Format, Layout, same

_LAYER = "body.{i}.blocks.{j}.layers.{k}"

RRDBNET = Layout(
    "RRDBNet",
    arguments.rrdbnet,
    {
        **same("conv_first", "conv_hr", "conv_last"),
        _LAYER: "body.{i}.rdb{j+1}.conv{k+1}",
        "conv_after_body": "conv_body",
        "upsample.{n}": "conv_up{n+1}",
    },
)
ESRGAN = Layout(  # of the ESRGAN repository
    "RRDBNet",
    arguments.rrdbnet,
    {
        **same("conv_first", "conv_last"),
        _LAYER: "RRDB_trunk.{i}.RDB{j+1}.conv{k+1}",
        "conv_after_body": "trunk_conv",
        "upsample.{n}": "upconv{n+1}",
        "conv_hr": "HRconv",
    },
)
# ESRGAN's first files and many that people have trained since. All their names begin with
# ``model.``, which is off when a layout sees them.
NUMBERED = Layout(
    "RRDBNet",
    arguments.rrdbnet,
    {
        "conv_first": "0",
        _LAYER: "1.sub.{i}.RDB{j+1}.conv{k+1}.0",
        "conv_after_body": "1.sub.{I}",
        "upsample.{n}": "{3n+3}",
        "conv_hr": "{3N+2}",
        "conv_last": "{3N+4}",
    },
)
SRVGGNET = Layout("SRVGGNetCompact", arguments.srvggnet, same("body.{n}"))

FORMAT = Format(
    "real-esrgan",
    "ESRGAN / Real-ESRGAN",
    "0..1, no mean subtracted",
    (RRDBNET, ESRGAN, NUMBERED, SRVGGNET),
    ("esrgan",),
    order=8,
)
