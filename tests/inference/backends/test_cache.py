"""The cache of converted networks in places and at times that do not suit it."""

import collections
import os
import shutil
import subprocess
import sys

import pytest
import torch

from superres.errors import UserError
from superres.inference.backends import best, installed
from superres.inference.backends import cache as conversions
from superres.inference.backends.base import NotConvertible
from superres.inference.backends.converted import convert

CONVERTED = [name for name in installed() if name not in ("ncnn", "torch")]


def write(folder):
    (folder / "model").write_bytes(b"12345")


def test_a_file_where_an_entry_should_be_is_replaced(cache):
    cache.mkdir(parents=True)
    (cache / "k").write_text("no folder")
    assert conversions.find("k") is None
    (cache / "k").write_text("no folder")
    assert conversions.store("k", write) == cache / "k"
    assert conversions.find("k") == cache / "k"


def test_a_cache_that_may_only_be_read_is_used(cache, monkeypatch):
    conversions.store("k", write)

    def refuse(*_):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert conversions.find("k") == cache / "k"


def test_a_disk_that_is_nearly_full_is_left_alone(cache, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 1000))
    place = conversions.store("k", write)
    assert (place / "model").read_bytes() == b"12345"
    assert place.parent != cache
    assert not list(cache.iterdir())


def test_a_disk_that_fills_up_meanwhile(cache):
    def fill(folder):
        if folder.parent == cache:
            raise OSError(28, "No space left on device")
        write(folder)

    assert (conversions.store("k", fill) / "model").read_bytes() == b"12345"
    assert not list(cache.iterdir())


def test_no_home_folder(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(conversions, "cache_dir", none)
    assert conversions.find("k") is None
    assert (conversions.store("k", write) / "model").is_file()


def test_processes_that_fill_and_forget_the_same_entry(cache):
    code = """
import random, time
from superres.inference.backends import cache
end = time.monotonic() + 2
while time.monotonic() < end:
    if cache.find("k") is None:
        cache.store("k", lambda folder: (folder / "model").write_text(str(random.random())))
    if random.random() < 0.3:
        cache.forget("k")
"""
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert [p.name for p in cache.iterdir() if p.name != "k"] == []


@pytest.mark.skipif(not CONVERTED, reason="no back end but torch is installed")
def test_a_package_that_is_broken_is_passed_over(build, monkeypatch):
    name = CONVERTED[0]

    def broken():
        raise ImportError("libtbb.so.12: cannot open shared object file")

    network = build()
    del network.superres_config  # which ncnn needs
    monkeypatch.setattr(type(best(network, backend=name)), "versions", staticmethod(broken))
    found = best(network)
    assert found.name != name
    assert found.notes[0] == (
        f"not {name}: it cannot be imported (libtbb.so.12: cannot open shared object file)"
    )
    x = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(found(x), network(x), rtol=0, atol=1e-4)
    with pytest.raises(UserError, match="cannot be imported"):
        best(network, backend=name)


@pytest.mark.skipif(not CONVERTED, reason="no back end but torch is installed")
@pytest.mark.parametrize("name", CONVERTED)
def test_no_room_at_all_is_a_reason_not_a_crash(name, build, monkeypatch):
    def full(traced, example, path):
        raise OSError(28, "No space left on device")

    made = type(best(build(), backend=name))
    monkeypatch.setattr(made, "write", staticmethod(full))
    with pytest.raises(NotConvertible, match=r"cannot be written \(No space left on device\)"):
        convert(made, build(scale=3))
