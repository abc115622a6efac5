"""A trained network of a few hundred weights, for tests of what is done with one."""

from __future__ import annotations

import pytest

from superres.cli.main import main

from ..engine.conftest import options, train, world

__all__ = ["checkpoint", "failing", "options", "train", "world"]


@pytest.fixture
def checkpoint(train, tmp_path):
    assert train("max_iters=6") == 0
    return tmp_path / "work" / "best.pth"


def failing(arguments, capsys):
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error
