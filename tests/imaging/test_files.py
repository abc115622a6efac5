"""Whole writes: what must not be replaced."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from superres.engine.checkpoint import save_atomically, write_text_atomically
from superres.errors import UserError
from superres.imaging.files import write_atomically


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, lambda file: file.write(b"pixels"))
    reader.join(10)
    assert got == [b"pixels"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(
    "save", [lambda p: save_atomically({}, p), lambda p: write_text_atomically(p, "x")]
)
def test_checkpoints_do_not_replace_a_pipe(tmp_path, save):
    pipe = tmp_path / "iter_1.pth"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="no file that could be replaced"):
        save(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the disk is full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
