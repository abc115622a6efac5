"""A cache of its own for the conversions of a test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"
