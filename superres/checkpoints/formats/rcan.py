"""The RCAN repository: the keys and numbers that EDSR-PyTorch's RCAN has too."""

from __future__ import annotations

from superres.checkpoints.formats.base import Format
from superres.checkpoints.formats.edsr_pytorch import RcanLayout

FORMAT = Format(
    "rcan",
    "RCAN repository",
    "0..255, mean subtracted",
    (RcanLayout(),),
    ("rcan_repo", "rcan-repo"),
)
