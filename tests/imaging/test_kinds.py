"""What in a folder is an image, whatever its name; and what is said of the rest."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from superres.imaging.io import read_image
from superres.imaging.kinds import is_video
from superres.imaging.listing import list_images

RGB = np.dstack([np.mgrid[:17, :23][k % 2] * (5 + k) for k in range(3)]).astype(np.uint8)


def encoded(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


HERE = {
    "a.png": "PNG", "b.jfif": "JPEG", "c.pjpeg": "JPEG", "d.mpo": "MPO", "e.j2k": "JPEG2000",
    "f.dib": "DIB", "without_suffix": "PNG", "g.scan": "TIFF", "h.pcx": "PCX", "i.bak": "GIF",
}  # fmt: skip
LEFT_OUT = {
    "a.exr": b"v/1\x01", "b.hdr": b"#?RADIANCE\n", "c.cr3": b"\0\0\0\x18ftypcrx ",
    "d.heic": b"\0\0\0\x18ftypheic", "e.npy": b"\x93NUMPY\1\0", "f.nef": b"II*\0\x08\0\0\0",
}  # fmt: skip
JUNK = {
    "desktop.ini": "[x]\n".encode("utf-16"), "Thumbs.db": b"\xd0\xcf\x11\xe0\0", "._a.png": b"\0\5",
    ".DS_Store": b"\0\0\0\1Bud1", "notes.md": "größer\n".encode() * 999, "empty": b"",
}  # fmt: skip


def test_a_folder_is_listed_by_content(tmp_path):
    for name, kind in HERE.items():
        (tmp_path / name).write_bytes(encoded(kind))
    for name, data in {**LEFT_OUT, **JUNK}.items():
        (tmp_path / name).write_bytes(data + b"\0" * 99 * (name in LEFT_OUT))
    said = []
    found = list_images(tmp_path, say=said.append)
    assert {path.name for path in found} == set(HERE)
    names = "1 .cr3, 1 .exr, 1 .hdr, 1 .heic, 1 .nef, 1 .npy"
    assert said == [f"{tmp_path}: not read here: {names}"]
    for path in found:
        assert np.abs(read_image(path).astype(int) - RGB).mean() < 8, path.name


def test_films_are_told_by_their_first_bytes():
    transport = b"G" + b"\0" * 187 + b"G"
    for head in (b"\0\0\0\x20ftypisom", b"\x1aE\xdf\xa3", b"FLV\1", b"\0\0\1\xba", transport):
        assert is_video(head + b"\0" * 99)
    for head in (encoded("PNG"), b"\0\0\0\x20ftypM4A ", b"\0\0\0\x18ftypheic", b"GIF89a", b""):
        assert not is_video(head)


def test_hidden_pictures_and_drawings_are_named(tmp_path):
    (tmp_path / ".a.png").write_bytes(encoded("PNG"))
    (tmp_path / "b.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    subset = '<!DOCTYPE svg PUBLIC "-//W3C" "a.dtd" [\n<!ENTITY ns "a>b">\n]>'
    for name, start in (("c", ""), ("d", "<!-- a > b -->\n"), ("e", subset), ("f", "\ufeff")):
        (tmp_path / f"{name}.svg").write_text(f"{start}<?xml version='1.0'?>\n<svg width='9'/>")
    (tmp_path / "d.html").write_text("<!DOCTYPE html><html><svg width='9'/></html>")
    (tmp_path / ".keep").write_text("")
    said = []
    assert list_images(tmp_path, say=said.append) == []
    assert said == [f"{tmp_path}: not read here: 1 .eps, 4 .svg, 1 hidden .png"]


def test_linked_folders_are_entered_once(tmp_path):
    for name in ("top/a.png", "top/b/b.png", "other/c.png", "d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded("PNG"))
    top = tmp_path / "top"
    for name, to in (("a", "b"), ("loop", "."), ("up", ".."), ("x", "../other"), ("y", "x")):
        (top / name).symlink_to(to)
    (tmp_path / "other/back").symlink_to(top)
    assert len(list_images(top)) == 1
    found = [path.relative_to(top).as_posix() for path in list_images(top, recursive=True)]
    assert found == ["a.png", "b/b.png", "x/c.png"]
