"""Where an export may be written, and what is there already."""

import contextlib
import os

import pytest
import torch

from superres.cli.main import main
from superres.errors import UserError
from superres.export import export
from superres.export.request import work_folder
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
        ("onnx", b"caf\xe9.onnx"),
        ("openvino", b"caf\xe9.XML"),
        ("torchscript", b"caf\xe9.pt"),
        ("safetensors", b"caf\xe9.safetensors"),
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


def test_devices_pipes_and_folders_stay(weights, tmp_path):  # noqa: F811
    path, _ = weights()
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for name, words in (("pipe.pt", "is no file"), ("folder.pt", "is a folder")):
        with pytest.raises(UserError, match=words):
            export(path, tmp_path / name, "torchscript")
        assert not (tmp_path / name).is_file()
    with pytest.raises(UserError, match="cannot be written"):
        export(path, tmp_path / ("a" * 300 + ".pt"), "torchscript")
    command = ["export", "torchscript", str(path), str(tmp_path / ("a" * 300 + ".pt"))]
    assert main(command) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("to", ["onnx", "openvino", "torchscript", "safetensors", "spandrel"])
def test_a_full_disk_is_told(to, weights, tmp_path, monkeypatch):  # noqa: F811
    need(to)
    path, _ = weights()
    ending = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}.get(to, ".safetensors")

    @contextlib.contextmanager
    def full(_):
        """A folder whose files all lead to the full device."""
        (tmp_path / "work").mkdir(exist_ok=True)
        for suffix in (ending, ".bin"):
            (tmp_path / "work" / f"network{suffix}").symlink_to("/dev/full")
        yield tmp_path / "work"

    monkeypatch.setattr("superres.export.run.work_folder", full)
    with pytest.raises(UserError, match=r"out\S+: cannot be written \("):
        export(path, tmp_path / f"out{ending}", to)
    assert not (tmp_path / f"out{ending}").exists()


def test_what_a_killed_export_left_goes_with_the_next(weights, tmp_path):  # noqa: F811
    path, _ = weights()
    out = tmp_path / "out" / "x.safetensors"
    out.parent.mkdir()
    with work_folder(out) as left:
        with work_folder(out) as other:  # of another process
            assert other != left
        assert list(out.parent.iterdir()) == [left]
    left.mkdir()
    (left / "network.safetensors").write_bytes(b"half")
    export(path, out, "safetensors")
    assert list(out.parent.iterdir()) == [out]
