"""Published files from a real server: broken connections, resuming, wrong content."""

import hashlib

import pytest
import torch

from superres.checkpoints import load_model, names
from superres.errors import UserError
from superres.files import Lock
from tests.checkpoints.loopback import hub


@pytest.fixture
def served(edsr_pytorch, tmp_path, monkeypatch):
    file = tmp_path / "draft.pt"
    torch.save(edsr_pytorch[1], file)
    data = file.read_bytes()
    digits = hashlib.sha256(data).hexdigest()[:8]
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub({"": {f"tiny_x2-{digits}.pt": data}}) as server:
        url = f"{server.url}/tiny_x2-{digits}.pt"
        monkeypatch.setitem(names.PUBLISHED, "tiny_x2", names.Published(url, "edsr-pytorch"))
        monkeypatch.setattr("superres.checkpoints.detect.KNOWN_FILES", {digits: "edsr-pytorch"})
        yield server


def test_a_broken_download_goes_on_where_it_broke(served, edsr_pytorch, same, tmp_path):
    served.breaks, served.break_at = 2, 1000
    same(load_model("tiny_x2"), edsr_pytorch[0])
    assert [asked for *_, asked in served.log] == [None, "bytes=1000-", "bytes=2000-"]
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_later_call_goes_on_too(served, edsr_pytorch, same, tmp_path):
    served.breaks, served.break_at = 3, 1000
    with pytest.raises(UserError, match=r"cannot be downloaded.*broke.*another way"):
        load_model("tiny_x2")
    (part,) = (tmp_path / "cache").iterdir()
    assert part.stat().st_size == 3000
    same(load_model("tiny_x2"), edsr_pytorch[0])
    assert served.log[-1][2] == "bytes=3000-"


def test_a_stale_beginning_is_not_kept(served, edsr_pytorch, same, tmp_path):
    name = names.PUBLISHED["tiny_x2"].filename
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f".{name}.part").write_bytes(b"x" * 500)
    with pytest.raises(UserError, match="not the published file"):
        load_model("tiny_x2")
    same(load_model("tiny_x2"), edsr_pytorch[0])


def test_two_processes_do_not_write_one_file(served, tmp_path):
    name = names.PUBLISHED["tiny_x2"].filename
    (tmp_path / "cache").mkdir()
    with (
        Lock(tmp_path / "cache" / f".{name}.lock"),
        pytest.raises(UserError, match=r"tiny_x2: process \d+ .* is downloading it now"),
    ):
        load_model("tiny_x2")


def test_a_cache_that_cannot_be_written_is_told(served, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cannot be downloaded.*Set SUPERRES_HOME to a folder"):
        load_model("tiny_x2")
    assert served.log == []


def test_a_file_that_is_not_offered_any_more_is_told(served, monkeypatch):
    published = names.Published(f"{served.url}/gone-12345678.pt", "edsr-pytorch")
    monkeypatch.setitem(names.PUBLISHED, "gone_x2", published)
    with pytest.raises(UserError, match=r"404.*Download http.*put it at"):
        load_model("gone_x2")
