"""RDN as MMEditing, MMagic and yjn870's repository store it (0..1), and EDSR-PyTorch (0..255)."""

from superres.checkpoints.formats import arguments
from superres.checkpoints.formats.base import Format, Layout

RDN = Layout(
    "RDN",
    arguments.rdn,
    {
        "conv_first": "sfe1",
        "conv_second": "sfe2",
        "body.{i}.layers.{j}": "rdbs.{i}.layers.{j}.conv",
        "body.{i}.fuse": "rdbs.{i}.lff",
        "fuse": "gff.0",
        "conv_after_body": "gff.1",
        "upsample.{k}.upsample_conv": "upscale.{2k}",
        "conv_last": "output",
    },
    convention={"img_range": 1.0},
)
EDSR_PYTORCH = Layout(
    "RDN",
    arguments.rdn,
    {
        "conv_first": "SFENet1",
        "conv_second": "SFENet2",
        "body.{i}.layers.{j}": "RDBs.{i}.convs.{j}.conv.0",
        "body.{i}.fuse": "RDBs.{i}.LFF",
        "fuse": "GFF.0",
        "conv_after_body": "GFF.1",
        "upsample.{k}.upsample_conv": "UPNet.{2k}",
        "conv_last": "UPNet.{2K}",  # closes the upsampler
    },
    convention={"img_range": 255.0},
)

FORMAT = Format("rdn", "RDN", "0..1; of EDSR-PyTorch 0..255", (RDN, EDSR_PYTORCH), order=7)
