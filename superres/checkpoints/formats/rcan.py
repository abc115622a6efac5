"""The RCAN repository: the keys and numbers that EDSR-PyTorch's RCAN has too."""

from superres.checkpoints.formats import edsr_pytorch
from superres.checkpoints.formats.base import Format

NUMBERS = "0..255, mean subtracted"
FORMAT = Format("rcan", "RCAN repository", NUMBERS, (edsr_pytorch.RCAN,), ("rcan-repo",), order=6)
