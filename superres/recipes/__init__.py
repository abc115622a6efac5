"""What this repository's own trainings need beside the package's parts.

A config loads it with ``custom_imports = dict(imports=['superres.recipes'])``.
"""

from .cpu_seconds import CpuSecondsHook
from .growing_crop import GrowingRandomCrop
from .muon import ConvMuon
from .photo_jpeg import RandomPhotoJpeg

__all__ = ["ConvMuon", "CpuSecondsHook", "GrowingRandomCrop", "RandomPhotoJpeg"]
