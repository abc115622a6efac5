"""A trained network of a few hundred weights, for tests of what is done with one."""

from __future__ import annotations

import json

import pytest

from superres.cli.main import main

from ..engine.conftest import CONFIG, options, train, world

__all__ = ["checkpoint", "failing", "options", "tested", "train", "world"]


@pytest.fixture(scope="session")
def checkpoint(options, tmp_path_factory):
    work = tmp_path_factory.mktemp("trained")
    command = ["train", CONFIG, "--work-dir", str(work), "--cfg-options", *options, "max_iters=6"]
    assert main(command) == 0
    return work / "best.pth"


@pytest.fixture
def tested(options, tmp_path, request):
    """``tested(*arguments)``: the record that ``superres test`` writes to ``tmp_path / out``."""

    def run(*arguments, of=None, config=CONFIG, code=0, more=(), out="out"):
        of = of or request.getfixturevalue("checkpoint")
        command = ["test", str(config), str(of), "--out", str(tmp_path / out), *arguments]
        assert main([*command, "--cfg-options", *options, *more]) == code
        return json.loads((tmp_path / out / "results.json").read_text())

    return run


def failing(arguments, capsys):
    """What a command that ends with 2 says."""
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error
