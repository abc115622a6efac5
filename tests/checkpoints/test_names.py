"""Published names: fetched once, checked by hash, kept; files from disk stand in for a server."""

import hashlib
import re

import pytest
import torch

from superres.checkpoints import load_model, zoo
from superres.checkpoints.zoo import PUBLISHED
from superres.errors import UserError


@pytest.fixture
def published(edsr_pytorch, tmp_path, monkeypatch):
    """A server with one file whose name carries its hash, and an empty cache."""
    draft = tmp_path / "draft.pt"
    torch.save(edsr_pytorch[1], draft)
    digits = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    file = draft.rename(tmp_path / f"tiny_x2-{digits}.pt")
    monkeypatch.setitem(PUBLISHED, "tiny_x2", zoo.Published(file.as_uri(), "edsr-pytorch"))
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "cache"))
    return file


def test_fetched_once_and_recognised_by_hash(published, tmp_path, edsr_pytorch, same):
    network = load_model("tiny_x2")
    same(network, edsr_pytorch[0])
    assert network.scale == 2
    published.unlink()  # the server is gone, the cache is not
    same(load_model("tiny_x2", scale=2), edsr_pytorch[0])
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [published.name]


@pytest.mark.parametrize("content", [b"<html>moved</html>", None])
def test_what_is_not_the_published_file_is_not_kept(published, tmp_path, content):
    published.unlink() if content is None else published.write_bytes(content)
    with pytest.raises(UserError, match=r"tiny_x2: cannot be downloaded.*another way"):
        load_model("tiny_x2")
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_told(published, tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERRES_HOME", str(published / "cache"))
    with pytest.raises(UserError, match=r"cannot be downloaded.*Set SUPERRES_HOME to a folder"):
        load_model("tiny_x2")


def test_every_name_carries_its_hash():
    assert all(re.fullmatch("[0-9a-f]{8}", entry.digits) for entry in PUBLISHED.values())
    assert PUBLISHED["edsr_baseline_x2"].digits == "1bc95232"
