"""Where images come from: folders of files, packed databases, other toolboxes' databases."""

from __future__ import annotations

import os
from pathlib import Path

from superres.datasets.storage.base import Depth, ImageStore
from superres.datasets.storage.environment import DATA_FILE, open_environment
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.storage.foreign_lmdb import ForeignLmdb
from superres.datasets.storage.lmdb import HEADER, PARTIAL_SUFFIX, UNFINISHED, ImageLmdb
from superres.errors import UserError
from superres.imaging.io import Channels

__all__ = ["ForeignLmdb", "ImageFolder", "ImageLmdb", "ImageStore", "open_store"]


def open_store(
    path: str | os.PathLike, channels: Channels = "rgb", dtype: Depth = "uint8"
) -> ImageStore:
    """Open whatever holds images at ``path``: packed, BasicSR's or MMEditing's LMDB, a folder.

    Args:
        path: a folder of images, a database folder, or its ``data.mdb``.
        channels, dtype: for stores that decode; packed images are as they were packed.

    Raises:
        UserError: nothing there, an unfinished pack, or what the store itself raises.
    """
    path = Path(path)
    if path.name == DATA_FILE:
        path = path.parent
    partial = path if path.name.endswith(PARTIAL_SUFFIX) else Path(f"{path}{PARTIAL_SUFFIX}")
    if (path == partial or not path.exists()) and partial.is_dir():
        raise UserError(f"{partial}: an unfinished pack, {UNFINISHED}.")
    if not (path / DATA_FILE).exists():
        return ImageFolder(path, channels, dtype)
    if open_environment(path).get(HEADER) is not None:
        return ImageLmdb(path)
    return ForeignLmdb(path, channels, dtype)
