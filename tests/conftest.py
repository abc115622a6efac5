"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder with published images and golden vectors; skips where it is not at hand."""
    root = os.environ.get("SUPERRES_REFERENCE_DIR")
    if not root:
        pytest.skip("SUPERRES_REFERENCE_DIR is not set: no published images or golden vectors here")
    path = Path(root)
    if not (path / "data").is_dir():
        pytest.fail(f"SUPERRES_REFERENCE_DIR={root} has no data/ folder")
    return path
