"""Reading and writing pictures: every kind that is read, every fault that is named."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from maintain.formats import SIZE, others, pngs, pnms, tiffs
from superres.errors import UserError
from superres.imaging import _cv2
from superres.imaging import io as image_io
from superres.imaging._cv2 import explain_import_error, import_cv2
from superres.imaging.io import image_header, image_shape, read_image, read_picture, write_image
from superres.imaging.listing import list_images

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
GREY = RGB[..., 0]
ALPHA = RNG.integers(0, 256, (37, 53), dtype=np.uint8)
COLOUR, RGBA = Image.fromarray(RGB), Image.fromarray(np.dstack([RGB, ALPHA]))


def encode(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


PNG, JPEG = encode(COLOUR, "PNG"), encode(COLOUR, "JPEG", quality=95)
# What the files hold is compared in tests/maintain/test_formats.py.
CELLS = [cell for made in (pngs, tiffs, others, pnms) for cell in made() if cell.right is not None]
FILES = {" ".join(cell.kind): cell.data for cell in CELLS if cell.orientation == 1}
FILES.pop("JPEG2000 16 RGB ")  # of another size


@pytest.mark.parametrize("name", FILES)
def test_headers_say_what_reading_gives(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    try:
        header = image_header(path)
    except UserError as error:
        with pytest.raises(UserError, match=re.escape(str(error))):
            read_image(path)
        return
    assert (header.height, header.width) == SIZE
    for how in ("rgb", "grey", "unchanged"):
        image = read_image(path, how, "keep")
        assert image.shape == image_shape(path, how)
        assert image.dtype == (np.uint8 if header.bits == 8 else np.uint16)
        assert image.flags.c_contiguous
        assert image.flags.writeable
    assert image.shape == (*SIZE, header.channels)
    assert header.has_alpha == (read_picture(path).pixels.shape[2] in (2, 4))
    assert read_image(path).dtype == np.uint8


def test_alpha_is_dropped_without_blending_and_kept_when_asked_for():
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        data = encode(RGBA, kind, **options)
        assert np.array_equal(read_image(data), RGB)
        assert np.array_equal(read_image(data, "unchanged"), np.dstack([RGB, ALPHA]))


def test_sixteen_bits_round_to_eight():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = encode(Image.fromarray(levels), "PNG")
    assert np.array_equal(read_image(data, "grey", "keep")[..., 0], levels)
    assert np.array_equal(read_image(data, "grey")[..., 0], np.rint(levels / 257.0))


def test_grey_is_bt601_luma():
    expected = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(PNG, "grey")[..., 0] - expected).max() <= 0.51


def test_exif_rotation_and_icc_profile_are_reported_not_applied(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    for suffix, kind in ((".jpg", "JPEG"), (".png", "PNG")):
        path = tmp_path / f"turned{suffix}"
        COLOUR.save(path, kind, exif=exif, icc_profile=b"\0" * 200)
        header = image_header(path)
        assert header.orientation == 6
        assert header.has_icc
        assert read_image(path).shape == (37, 53, 3)


WITH_AN_END = [n for n in FILES if n.startswith(("PNG", "JPEG ", "TIFF", "WebP", "BMP", "PNM"))]


@pytest.mark.parametrize("name", [n for n in WITH_AN_END if "text" not in n])
def test_truncated_files_are_refused_wherever_they_end(name):
    data = FILES[name]
    cuts = {1, 2, 8, 20, 33, len(data) // 2, len(data) - 12, len(data) - 2, len(data) - 1}
    cuts |= set(np.random.default_rng(1).integers(1, len(data), 9).tolist())
    for cut in sorted(cuts):
        with pytest.raises(UserError, match="bird"):
            read_image(data[:cut], label=f"bird/{name}")


def test_truncated_jpeg_with_a_thumbnail_that_has_its_own_end_marker():
    thumbnail = encode(COLOUR.resize((8, 8)), "JPEG")
    data = JPEG
    app = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    with_thumbnail = data[:2] + app + data[2:]
    assert read_image(with_thumbnail).shape == (37, 53, 3)
    with pytest.raises(UserError, match="end marker is missing"):
        read_image(with_thumbnail[:-2])


@pytest.mark.parametrize("name", ["PNG 8 RGB ", "PNG 8 palette one level", "PNG 16 grey "])
def test_any_flipped_bit_in_a_png_is_noticed(name):
    data = bytearray(FILES[name])
    for at in np.random.default_rng(2).integers(0, len(data), 60).tolist():
        data[at] ^= 0x10
        with pytest.raises(UserError, match="image in memory: "):
            read_image(bytes(data))
        data[at] ^= 0x10
    assert read_image(bytes(data)).shape == (*SIZE, 3)


def test_png_whose_pixels_end_early_but_whose_checksums_are_right():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + RGB[y].tobytes() for y in range(20))
    header = struct.pack(">IIBBBBB", 53, 37, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    with pytest.raises(UserError, match=r"half\.png"):
        read_image(data, label="half.png")


def test_faults_of_files_name_the_file_and_the_fault(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "page.png").write_text("<!DOCTYPE html><html>Not found</html>")
    (tmp_path / "folder.png").mkdir()
    float_tiff = Image.fromarray(GREY.astype(np.float32))
    float_tiff.save(tmp_path / "float.tif")
    for name, fault in {
        "absent.png": "no such image",
        "empty.png": "an empty file",
        "page.png": "not a picture in a known format; it begins with the text '<!DOCTYPE",
        "folder.png": "a folder, not a file",
        "float.tif": r"expected in \[0, 1\]",
        "page.png/below.png": "not a folder",
    }.items():
        with pytest.raises(UserError, match=fault) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    for name in ("absent.png", "empty.png", "page.png", "folder.png"):
        with pytest.raises(UserError, match=name):
            image_shape(tmp_path / name)


def test_what_is_no_picture_is_told_from_its_first_bytes(tmp_path):
    huge = tmp_path / "huge.png"
    with open(huge, "wb") as file:
        file.truncate(1 << 40)  # sparse: reading it all would not end
    with pytest.raises(UserError, match=r"huge\.png: not a picture"):
        read_image(huge)
    for start, words in [
        (b"\0\0\0\x20ftypheic", "a HEIC, which is not read here; convert it to PNG"),
        (b"\xff\x0a", "a JPEG XL, which is not read here; convert it to PNG"),
        (b"v/1\x01", "unbounded range"),
        (b"\0\0\0\x18ftypcrx ", "a camera raw file; develop it to TIFF first"),
        (b"FUJIFILMCCD-RAW", "a camera raw file; develop it to TIFF first"),
    ]:
        with pytest.raises(UserError, match=words):
            read_image(start + b"\0" * 99)


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser reads everything: let open() refuse

        def refuse(*_args, **_kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(image_io, "open", refuse, raising=False)
    with pytest.raises(UserError, match=r"secret\.png: no permission"):
        read_image(path)


def test_decompression_bombs_are_refused_by_their_header(tmp_path, monkeypatch):
    header = struct.pack(">II", 100_000, 100_000) + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    bomb += struct.pack(">I", zlib.crc32(b"IHDR" + header)) + b"\0\0\x10\0IDAT\x78\x9c"
    with pytest.raises(UserError, match="100000x100000 pixels are more than the limit"):
        read_image(bomb)
    data = PNG
    with pytest.raises(UserError, match="SUPERRES_MAX_PIXELS"):
        read_image(data, max_pixels=37 * 53 - 1)
    assert read_image(data, max_pixels=37 * 53).shape == (37, 53, 3)
    monkeypatch.setenv("SUPERRES_MAX_PIXELS", "100")
    with pytest.raises(UserError, match="limit of 100"):
        read_image(data)
    monkeypatch.setenv("SUPERRES_MAX_PIXELS", "many")
    with pytest.raises(UserError, match="not a positive whole number"):
        read_image(data)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_lossless_formats_come_back_equal(tmp_path, suffix):
    path = tmp_path / f"bird{suffix}"
    write_image(path, RGB)
    assert np.array_equal(read_image(path), RGB)
    write_image(path, GREY[..., None])
    assert np.array_equal(read_image(path, "grey")[..., 0], GREY)
    assert np.array_equal(np.asarray(Image.open(path).convert("L")), GREY)
    if suffix in (".png", ".tif"):
        deep = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
        write_image(path, deep)
        assert np.array_equal(read_image(path, "rgb", "keep"), deep)
    if suffix in (".png", ".tif", ".webp"):
        both = np.dstack([RGB, np.maximum(ALPHA, 1)])
        write_image(path, both)
        assert np.array_equal(read_image(path, "unchanged"), both)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_writing_what_cannot_be_written(tmp_path):
    deep = RGB.astype(np.uint16)
    four = np.dstack([RGB, ALPHA])
    for name, image, fault in [
        ("a.gif", RGB, "cannot write the format .gif"),
        ("a", RGB, "no suffix"),
        ("a.jpg", deep, "cannot hold uint16"),
        ("a.jpg", four, "C = 1 or 3 of uint8"),
        ("a.pgm", RGB, "C = 1 of"),
        ("a.png", RGB.astype(np.float32), "float32 samples"),
        ("a.png", RGB[:0], "samples of shape"),
        ("missing/a.png", RGB, "its folder does not exist"),
    ]:
        with pytest.raises(UserError, match=fault):
            write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_list_images(tmp_path):
    for name in ["b.png", "a.JPG", "é.bmp", ".hidden.png", "notes.txt", "sub/c.tif", ".git/x.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.JPG", "b.png", "é.bmp"]
    below = [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path, recursive=True)]
    assert below == ["a.JPG", "b.png", "sub/c.tif", "é.bmp"]
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(UserError, match="not a folder"):
        list_images(tmp_path / "b.png")


def test_opencv_says_nothing_about_broken_pictures(capfd):
    for data in (PNG, JPEG, encode(COLOUR, "TIFF"), encode(COLOUR, "BMP")):
        with pytest.raises(UserError):
            read_image(data[: len(data) // 2])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("message", "do"),
    [("libGL.so.1: cannot open", "libgl1"), ("No module named 'cv2'", "pip install opencv-python")],
)
def test_a_missing_system_library_is_explained(monkeypatch, message, do):
    import_cv2.cache_clear()
    with monkeypatch.context() as patch:
        error = ImportError(message)
        patch.setitem(sys.modules, "cv2", None)
        patch.setattr(_cv2, "explain_import_error", lambda _: explain_import_error(error))
        with pytest.raises(UserError, match=f"OpenCV cannot be imported.*{do}"):
            read_image(PNG)
    import_cv2.cache_clear()
    assert read_image(PNG).shape == (37, 53, 3)
