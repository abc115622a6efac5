"""Photographs that come inside other packages, so that nothing has to be downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from superres.errors import UserError


def photograph(package: str, inside: str) -> Path:
    """Where a photograph of a package lies, without importing the package.

    Raises:
        UserError: the package is not installed, or does not carry the file.
    """
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError(f"{package}/{inside} is not here: pip install 'superres[quickstart]'")
    return path
