"""Where an export may be written, and what is there already."""

import os

import pytest
import torch

from superres.errors import UserError
from superres.export import export
from tests.export.test_export import need, weights  # noqa: F401 - a fixture


def test_openvino_leaves_other_files_of_its_second_name(weights, tmp_path):  # noqa: F811
    need("openvino")
    path, network = weights()
    source = tmp_path / "hub" / "pytorch_model.bin"
    source.parent.mkdir()
    torch.save(network.state_dict(), source)
    before = source.read_bytes()
    out = source.with_suffix(".xml")
    for given in (source, path):
        with pytest.raises(UserError, match=r"pytorch_model\.bin is there already"):
            export(given, out, "openvino")
    out.write_text("of another network")
    with pytest.raises(UserError, match=r"pytorch_model\.bin is there already"):
        export(source, out, "openvino")
    assert source.read_bytes() == before
    own = tmp_path / "own.xml"
    export(path, own, "openvino")
    export(path, own, "openvino")  # both files are its own
    assert sorted(p.name for p in tmp_path.glob("own.*")) == ["own.bin", "own.xml"]


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("openvino", b"caf\xe9.XML"),
        ("torchscript", b"caf\xe9.pt"),
        ("safetensors", b"a" * 240 + b".safetensors"),
    ],
)
def test_names_that_are_not_utf8_or_long(to, name, weights, tmp_path):  # noqa: F811
    need(to)
    path, _ = weights()
    out = tmp_path / os.fsdecode(name)
    export(path, out, to)
    assert out.stat().st_size > 1000
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_places_that_cannot_be(weights, tmp_path):  # noqa: F811
    path, _ = weights()
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "full.pt").symlink_to("/dev/full")
    for name in ("folder.pt", "a" * 300 + ".pt", "full.pt"):
        with pytest.raises(UserError, match="cannot be written"):
            export(path, tmp_path / name, "torchscript")
    assert not list(tmp_path.glob(".*"))
