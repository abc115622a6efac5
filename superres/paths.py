"""Where the files that come with the package lie: configs and tools."""

from __future__ import annotations

from pathlib import Path

from superres.errors import UserError


def share_dir(kind: str) -> Path:
    """The folder ``configs`` or ``tools``: beside the package in a checkout, inside it in a wheel.

    Raises:
        UserError: neither is there (a broken installation).
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "_share" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise UserError(f"{kind}/ was not installed with superres ({package}); install it again")
