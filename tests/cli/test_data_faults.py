"""`superres data` and what a person can do wrong: one line, exit code 2, nothing harmed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from superres.cli.main import main
from tests.datasets.trees import fingerprint_of, paired, picture


def data(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


def refused(capsys, *arguments: object) -> str:
    """The one line that a refused command prints."""
    capsys.readouterr()
    assert data(*arguments) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


@pytest.fixture
def tree(tmp_path) -> Path:
    return paired(tmp_path / "toy", 2, (2,), height=48, width=56)


def test_the_source_is_never_written(tree, tmp_path, capsys):
    link = tmp_path / "link"
    link.symlink_to(tree)
    out = tmp_path / "out"
    out.mkdir()
    (out / "here").symlink_to(tree)
    (tree / "away").symlink_to(out)
    assert data("pack", tree / "HR", tmp_path / "p.lmdb") == 0
    before = fingerprint_of(tmp_path)
    for source, target, name in (
        (tree, link / "inside", "z"),
        (link, tree / "inside", "z"),
        (tree, tmp_path, "toy"),
        (tree, out, "here"),
        (tree, tree / "away", "z"),
    ):
        command = ("prepare", "folder", "--root", source, "--out", target, "--name", name)
        assert "never written" in refused(capsys, *command, "--scales", 2)
    for command in (
        ("pack", tree / "HR", link / "HR" / "p.lmdb"),
        ("pack", link / "HR", tree / "HR" / "p.lmdb"),
        ("five-crop", tree, "--scale", 2, "--out", tree),
        ("five-crop", tree / "HR", "--scale", 2, "--out", link / "HR"),
        ("unpack", tmp_path / "p.lmdb", tmp_path / "p.lmdb"),
    ):
        assert "never written" in refused(capsys, *command), command
    assert fingerprint_of(tmp_path) == before


@pytest.mark.parametrize("name", ["../x", "/abs", ".", "..", "a/b", ""])
def test_a_sets_name_stays_below_out(name, tree, tmp_path, capsys):
    out = tmp_path / "below" / "out"
    for command in (
        ("prepare", "folder", "--root", tree, "--out", out, "--scales", 2),
        ("five-crop", tree, "--out", out, "--scale", 2),
    ):
        assert "name of one folder" in refused(capsys, *command, "--name", name)
    assert not (tmp_path / "below").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("pack", "a", "b.lmdb", "--num-workers", "-1"),
        ("verify", "a", "--count", "0"),
        ("verify", "a", "--scale", "0"),
    ],
)
def test_numbers_out_of_range_are_named(command, capsys):
    (last,) = refused(capsys, *command).splitlines()[-1:]
    assert f"argument {command[-2]}: {command[-1]!r}: " in last
    assert "whole number" in last


def test_overwrite_repairs_damaged_pixels(tree, tmp_path, capsys):
    out = tmp_path / "out"
    command = ("prepare", "folder", "--root", tree, "--out", out, "--scales", 2)
    assert data(*command) == 0
    damaged = out / "toy" / "HR.lmdb" / "data.mdb"
    content = bytearray(damaged.read_bytes())
    content[content.index(picture(1, 48, 56).tobytes()) + 100] ^= 255
    damaged.unlink()  # another file: what this process has opened it keeps open
    damaged.write_bytes(content)
    assert data(*command) == 1
    assert "--overwrite" in "".join(capsys.readouterr())
    assert data(*command, "--overwrite") == 0
    assert data(*command) == 0


def test_one_bad_picture_does_not_stop_the_others(tree, tmp_path, capsys):
    packed, out = tmp_path / "p.lmdb", tmp_path / "out"
    assert data("pack", tree / "HR", packed) == 0
    content = bytearray((packed / "data.mdb").read_bytes())
    content[content.index(picture(0, 48, 56).tobytes()) + 100] ^= 255
    (packed / "data.mdb").write_bytes(content)
    assert data("unpack", packed, out, "p0", "p1") == 1
    assert "left out: p0: " in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["p1.png"]
    (out / "p0.png").write_bytes(b"junk")
    assert data("list", out) == 1
    told = capsys.readouterr()
    assert "left out: p0: " in told.err
    assert told.out == "p1\t56x48x3\n"


def test_what_cannot_be_taken_from_a_source_is_told(tree, tmp_path, capsys, caplog):
    (tree / "HR" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    command = ("prepare", "folder", "--root", tree, "--scales", 2, "--out")
    assert data(*command, tmp_path / "out") == 0
    assert caplog.text.count(f"{tree}/HR: not read here: 1 .heic") == 1
    (tree / "HR" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    text = refused(capsys, *command, tmp_path / "other")
    assert f"{tree}/HR/lost.png: a link that leads nowhere" in text
    (tree / "HR" / "lost.png").unlink()
    os.mkfifo(tree / "HR" / "lost.png")  # is not waited for
    assert "lost.png: a pipe, a socket or a device" in refused(capsys, *command, tmp_path / "o")


def test_a_report_that_cannot_be_written_is_refused_first(tree, tmp_path, capsys):
    for target in (tmp_path, tmp_path / "none" / "r.json"):
        command = "pack", tree / "HR", tmp_path / "p.lmdb", "--json", target
        assert "--json" in refused(capsys, *command)
    assert not (tmp_path / "p.lmdb").exists()
