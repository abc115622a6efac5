"""Reading and writing images: every kind that is read, every fault that is named."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from maintain.formats import SIZE, others, pngs, pnms, tiffs
from superres.errors import UserError
from superres.imaging.io import image_header, load_image, read_image, write_image
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
FILES = {" ".join(cell.kind): cell.data for cell in CELLS if cell.turn == 1}
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
        assert image.shape[2] == {"rgb": 3, "grey": 1}.get(how, header.channels)
        assert image.dtype == (np.uint8 if header.bits == 8 else np.uint16)
        assert image.flags.c_contiguous
        assert image.flags.writeable
    assert image.shape == (*SIZE, header.channels)
    assert header.has_alpha == (load_image(path).pixels.shape[2] in (2, 4))
    assert read_image(path).dtype == np.uint8


def test_sixteen_bits_round_to_eight():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = encode(Image.fromarray(levels), "PNG")
    assert np.array_equal(read_image(data, "grey", "keep")[..., 0], levels)
    assert np.array_equal(read_image(data, "grey")[..., 0], np.rint(levels / 257.0))


def test_exif_rotation_and_icc_profile_are_reported_not_applied():
    exif = Image.Exif()
    exif[274] = 6
    for kind in ("JPEG", "PNG"):
        data = encode(COLOUR, kind, exif=exif, icc_profile=b"\0" * 200)
        header = image_header(data)
        assert (header.orientation, header.has_icc) == (6, True)
        assert read_image(data).shape == (37, 53, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_exif_is_left_out_and_said(kind):
    picture = load_image(encode(COLOUR, kind, exif=b"Exif\0\0garbage of no kind"))
    assert picture.exif is None
    assert picture.notes == ["its EXIF is damaged: left out"]


WITH_AN_END = [n for n in FILES if n.startswith(("PNG", "JPEG ", "TIFF", "WebP", "BMP", "PNM"))]


@pytest.mark.parametrize("name", [n for n in WITH_AN_END if "text" not in n])
def test_truncated_files_are_refused_wherever_they_end(name):
    data = FILES[name]
    cuts = {1, 2, 8, 20, 33, len(data) // 2, len(data) - 12, len(data) - 2, len(data) - 1}
    cuts |= set(np.random.default_rng(1).integers(1, len(data), 9).tolist())
    for cut in sorted(cuts):
        with pytest.raises(UserError, match="bird"):
            read_image(data[:cut], label=f"bird/{name}")


@pytest.mark.parametrize("name", ["PNG 8 RGB ", "PNG 8 palette one level", "PNG 16 grey "])
def test_any_flipped_bit_in_a_png_is_noticed(name):
    data = bytearray(FILES[name])
    for at in np.random.default_rng(2).integers(0, len(data), 60).tolist():
        data[at] ^= 0x10
        with pytest.raises(UserError, match="image in memory: "):
            read_image(bytes(data))
        data[at] ^= 0x10
    assert read_image(bytes(data)).shape == (*SIZE, 3)


def test_faults_of_files_name_the_file_and_the_fault(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "page.png").write_text("<!DOCTYPE html><html>Not found</html>")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "float.tif")
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(1 << 40)  # sparse: reading it all would not end
    for name, fault in {
        "absent.png": "no such image",
        "empty.png": "an empty file",
        "page.png": "not an image in a known format; it begins with '<!DOCTYPE",
        "folder.png": "a folder, not a file",
        "float.tif": r"expected in \[0, 1\]",
        "page.png/below.png": "not a folder",
        "huge.png": "not an image in a known format",
    }.items():
        for read in (read_image, image_header)[: 1 + (name != "float.tif")]:
            with pytest.raises(UserError, match=fault) as caught:
                read(tmp_path / name)
            assert str(tmp_path / name) in str(caught.value)


def test_the_limit_on_pixels(monkeypatch):
    with pytest.raises(UserError, match=r"53x37 pixels are more than the limit.*SUPERRES_MAX_PIX"):
        read_image(PNG, max_pixels=37 * 53 - 1)
    assert read_image(PNG, max_pixels=37 * 53).shape == (37, 53, 3)
    for value, message in (("100", "limit of 100"), ("many", "not a positive whole number")):
        monkeypatch.setenv("SUPERRES_MAX_PIXELS", value)
        with pytest.raises(UserError, match=message):
            read_image(PNG)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_lossless_formats_come_back_equal(tmp_path, suffix):
    path = tmp_path / f"bird{suffix}"
    write_image(path, RGB)
    assert np.array_equal(read_image(path), RGB)
    write_image(path, GREY[..., None])
    assert np.array_equal(read_image(path, "grey")[..., 0], GREY)
    assert np.array_equal(np.asarray(Image.open(path).convert("L")), GREY)
    if suffix in (".png", ".tif", ".ppm"):
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
        ("a.jpg", four, "1 or 3 channels of uint8"),
        ("a.pgm", RGB, "1 channels of"),
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
