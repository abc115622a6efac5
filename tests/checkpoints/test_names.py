"""Published names: fetched once, checked by hash, kept; files from disk stand in for a server."""

import hashlib

import pytest
import torch

from superres.checkpoints import PUBLISHED, load_model, names
from superres.errors import UserError


@pytest.fixture
def published(edsr_pytorch, tmp_path, monkeypatch):
    """A server with one file whose name carries its hash, and an empty cache."""
    draft = tmp_path / "draft.pt"
    torch.save(edsr_pytorch[1], draft)
    digits = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    file = draft.rename(tmp_path / f"tiny_x2-{digits}.pt")
    entry = names.Published(file.as_uri(), "edsr-pytorch")
    monkeypatch.setitem(names.PUBLISHED, "tiny_x2", entry)
    monkeypatch.setattr("superres.checkpoints.detect.KNOWN_FILES", {digits: entry.format})
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "cache"))
    return file


def test_fetched_once_and_recognised_by_hash(published, tmp_path, edsr_pytorch, same):
    network = load_model("tiny_x2")
    same(network, edsr_pytorch[0])
    assert network.scale == 2
    published.unlink()  # the server is gone, the cache is not
    same(load_model("tiny_x2", scale=2), edsr_pytorch[0])
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [published.name]


def test_another_file_is_not_kept(published, tmp_path):
    published.write_bytes(b"<html>moved</html>")
    with pytest.raises(UserError, match="not the published file"):
        load_model("tiny_x2")
    assert not list((tmp_path / "cache").iterdir())


def test_no_connection(published):
    published.unlink()
    with pytest.raises(UserError, match=r"cannot be downloaded.*another way"):
        load_model("tiny_x2")


def test_every_name_carries_its_hash():
    assert len(PUBLISHED) >= 11
    for entry in PUBLISHED.values():
        assert len(entry.digits) == 8
        int(entry.digits, 16)
    assert PUBLISHED["edsr_baseline_x2"].digits == "1bc95232"


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"edsr_x9.*published names.*edsr_baseline_x2"):
        load_model("edsr_x9")
