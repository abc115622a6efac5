"""Whole writes: what must not be replaced."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from superres.engine.train.checkpoint import save_atomically
from superres.errors import UserError
from superres.files import write_atomically, write_text


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


@pytest.mark.parametrize("save", [lambda p: save_atomically({}, p), lambda p: write_text(p, "x")])
def test_checkpoints_do_not_replace_a_pipe(tmp_path, save):
    pipe = tmp_path / "iter_1.pth"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="is not a regular file"):
        save(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="is full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path):
    """But not what another process is writing."""
    path = tmp_path / "a.bin"

    def crowded(file):
        (mine,) = tmp_path.glob(".*.tmp")
        write_atomically(path, lambda other: other.write(b"other"))
        assert mine.exists()
        assert len(list(tmp_path.glob(".*.tmp"))) == 1
        file.write(b"mine")
        names.append(mine)

    names = []
    write_atomically(path, crowded)
    assert path.read_bytes() == b"mine"
    names[0].write_bytes(b"x" * 100)  # as a kill leaves it
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path):
    path, victim = tmp_path / "a.bin", tmp_path / "victim"
    names = []
    write_atomically(path, lambda file: names.append(*tmp_path.glob(".*.tmp")))
    victim.write_bytes(b"precious")
    os.symlink(victim, names[0])
    write_atomically(path, lambda file: file.write(b"new"))
    assert (path.read_bytes(), victim.read_bytes()) == (b"new", b"precious")
