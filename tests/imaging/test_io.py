"""Reading and writing pictures: every kind that is read, every fault that is named."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from superres.errors import UserError
from superres.imaging import io as image_io
from superres.imaging._cv2 import explain_import_error, import_cv2
from superres.imaging.io import image_header, image_shape, read_image, write_image
from superres.imaging.listing import list_images

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
GREY = RGB[..., 0]
ALPHA = RNG.integers(0, 256, (37, 53), dtype=np.uint8)


def encode(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def cv_encode(suffix: str, image: np.ndarray) -> bytes:
    return import_cv2().imencode(suffix, image)[1].tobytes()


COLOUR, GREYS = Image.fromarray(RGB), Image.fromarray(GREY)
RGBA = Image.fromarray(np.dstack([RGB, ALPHA]))
BILEVEL = Image.fromarray(GREY > 100)
PALETTE = COLOUR.quantize(16)

# name -> (file, (channels, bits, alpha), the RGB that must come out, tolerance)
KINDS = {
    "rgb.png": (encode(COLOUR, "PNG"), (3, 8, False), RGB, 0),
    "grey.png": (encode(GREYS, "PNG"), (1, 8, False), np.dstack([GREY] * 3), 0),
    "greyalpha.png": (
        encode(Image.merge("LA", (GREYS, Image.fromarray(ALPHA))), "PNG"),
        (4, 8, True),
        np.dstack([GREY] * 3),
        0,
    ),
    "palette.png": (encode(PALETTE, "PNG"), (3, 8, False), PALETTE.convert("RGB"), 0),
    "palette_alpha.png": (
        encode(PALETTE, "PNG", transparency=3),
        (4, 8, True),
        PALETTE.convert("RGB"),
        0,
    ),
    "rgba.png": (encode(RGBA, "PNG"), (4, 8, True), RGB, 0),
    "bilevel.png": (encode(BILEVEL, "PNG"), (1, 8, False), BILEVEL.convert("RGB"), 0),
    "grey16.png": (
        encode(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
        (1, 16, False),
        np.dstack([GREY] * 3),
        0,
    ),
    "rgb16.png": (cv_encode(".png", RGB[..., ::-1].astype("u2") * 257), (3, 16, False), RGB, 0),
    "rgb.jpg": (encode(COLOUR, "JPEG", quality=95), (3, 8, False), None, 1),
    "progressive.jpg": (encode(COLOUR, "JPEG", progressive=True), (3, 8, False), None, 1),
    "grey.jpg": (encode(GREYS, "JPEG", quality=95), (1, 8, False), None, 1),
    "cmyk.jpg": (encode(COLOUR.convert("CMYK"), "JPEG"), (3, 8, False), None, 2),
    "rgb.bmp": (encode(COLOUR, "BMP"), (3, 8, False), RGB, 0),
    "palette.bmp": (encode(PALETTE, "BMP"), (3, 8, False), PALETTE.convert("RGB"), 0),
    "grey.bmp": (encode(GREYS, "BMP"), (1, 8, False), np.dstack([GREY] * 3), 0),
    "rgba.bmp": (encode(RGBA, "BMP"), (3, 8, False), RGB, 0),
    "rgb.tif": (encode(COLOUR, "TIFF"), (3, 8, False), RGB, 0),
    "lzw.tif": (encode(COLOUR, "TIFF", compression="tiff_lzw"), (3, 8, False), RGB, 0),
    "rgba.tif": (encode(RGBA, "TIFF"), (4, 8, True), RGB, 0),
    "rgb16.tif": (cv_encode(".tif", RGB[..., ::-1].astype("u2") * 257), (3, 16, False), RGB, 0),
    "lossless.webp": (encode(COLOUR, "WEBP", lossless=True), (3, 8, False), RGB, 0),
    "lossy.webp": (encode(COLOUR, "WEBP"), (3, 8, False), None, 0),
    "alpha.webp": (encode(RGBA, "WEBP", lossless=True, exact=True), (4, 8, True), RGB, 0),
    "rgb.ppm": (encode(COLOUR, "PPM"), (3, 8, False), RGB, 0),
    "grey.pgm": (encode(GREYS, "PPM"), (1, 8, False), np.dstack([GREY] * 3), 0),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_reads_as_pillow_reads_it(tmp_path, name):
    data, (channels, bits, alpha), expected, tolerance = KINDS[name]
    path = tmp_path / name
    path.write_bytes(data)
    if expected is None:  # lossy: Pillow's own decoder is the reference
        expected = Image.open(io.BytesIO(data)).convert("RGB")
    image = read_image(path)
    assert image.shape == (37, 53, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert np.abs(image.astype(int) - np.asarray(expected).astype(int)).max() <= tolerance

    header = image_header(path)
    assert (header.height, header.width) == (37, 53)
    assert (header.channels, header.bits, header.has_alpha) == (channels, bits, alpha)
    for how in ("rgb", "grey", "unchanged"):
        kept = read_image(path, how, "keep")
        assert kept.shape == image_shape(path, how)
        assert kept.dtype == (np.uint16 if bits == 16 else np.uint8)
    assert image_shape(path) == (37, 53, channels)
    assert np.array_equal(read_image(data), image)


def test_alpha_is_dropped_without_blending_and_kept_when_asked_for():
    for name in ("rgba.png", "rgba.tif", "alpha.webp"):
        data = KINDS[name][0]
        assert np.array_equal(read_image(data), RGB)
        assert np.array_equal(read_image(data, "unchanged"), np.dstack([RGB, ALPHA]))


def test_sixteen_bits_round_to_eight():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = cv_encode(".png", levels)
    assert np.array_equal(read_image(data, "grey", "keep")[..., 0], levels)
    assert np.array_equal(read_image(data, "grey")[..., 0], np.rint(levels / 257.0))


def test_grey_is_bt601_luma():
    expected = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(KINDS["rgb.png"][0], "grey")[..., 0] - expected).max() <= 0.51


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


@pytest.mark.parametrize("name", KINDS)
def test_truncated_files_are_refused_wherever_they_end(name):
    data = KINDS[name][0]
    cuts = {1, 2, 3, 8, 20, 33, len(data) // 2, len(data) - 12, len(data) - 2, len(data) - 1}
    cuts |= set(np.random.default_rng(1).integers(1, len(data), 30).tolist())
    for cut in sorted(cuts):
        with pytest.raises(UserError, match="bird"):
            read_image(data[:cut], label=f"bird/{name}")


def test_truncated_jpeg_with_a_thumbnail_that_has_its_own_end_marker():
    thumbnail = encode(COLOUR.resize((8, 8)), "JPEG")
    data = KINDS["rgb.jpg"][0]
    app = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    with_thumbnail = data[:2] + app + data[2:]
    assert read_image(with_thumbnail).shape == (37, 53, 3)
    with pytest.raises(UserError, match="end marker is missing"):
        read_image(with_thumbnail[:-2])


@pytest.mark.parametrize("name", ["rgb.png", "palette_alpha.png", "grey16.png"])
def test_any_flipped_bit_in_a_png_is_noticed(name):
    data = bytearray(KINDS[name][0])
    for at in np.random.default_rng(2).integers(0, len(data), 60).tolist():
        data[at] ^= 0x10
        with pytest.raises(UserError, match="picture in memory: "):
            read_image(bytes(data))
        data[at] ^= 0x10
    assert read_image(bytes(data)).shape == (37, 53, 3)


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
    path.write_bytes(KINDS["rgb.png"][0])
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
    data = KINDS["rgb.png"][0]
    with pytest.raises(UserError, match="SUPERRES_MAX_PIXELS"):
        read_image(data, max_pixels=37 * 53 - 1)
    assert read_image(data, max_pixels=37 * 53).shape == (37, 53, 3)
    monkeypatch.setenv("SUPERRES_MAX_PIXELS", "100")
    with pytest.raises(UserError, match="limit of 100"):
        read_image(data)
    monkeypatch.setenv("SUPERRES_MAX_PIXELS", "many")
    with pytest.raises(UserError, match="not a positive whole number"):
        read_image(data)


def test_zero_sized_header_is_refused():
    header = struct.pack(">II", 0, 4) + b"\x08\x02\0\0\0"
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    data += struct.pack(">I", zlib.crc32(b"IHDR" + header)) + b"\0\0\0\0IEND\xae\x42\x60\x82"
    with pytest.raises(UserError, match="damaged in its PNG header"):
        read_image(data)


def test_random_damage_never_ends_in_anything_but_a_user_error():
    rng = np.random.default_rng(3)
    for data, *_ in KINDS.values():
        for _ in range(60):
            broken = bytearray(data)
            for at in rng.integers(0, min(len(data), rng.choice([40, 400, 10**9])), 3):
                broken[at] = rng.integers(256)
            try:
                image = read_image(bytes(broken), max_pixels=10**6)
            except UserError:
                continue
            assert image.dtype == np.uint8
            assert image.shape[2] == 3


def test_long_metadata_before_the_jpeg_size(tmp_path):
    data = KINDS["rgb.jpg"][0]
    comment = b"\xff\xfe" + struct.pack(">H", 65535) + b"x" * 65533
    (tmp_path / "long.jpg").write_bytes(data[:2] + comment * 3 + data[2:])
    assert image_shape(tmp_path / "long.jpg") == (37, 53, 3)


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


def test_views_and_one_pixel_pictures_can_be_written(tmp_path):
    write_image(tmp_path / "flipped.png", RGB[::-1, ::-2])
    assert np.array_equal(read_image(tmp_path / "flipped.png"), RGB[::-1, ::-2])
    write_image(tmp_path / "dot.jpg", RGB[:1, :1], quality=100)
    assert image_shape(tmp_path / "dot.jpg") == (1, 1, 3)


def test_writing_what_cannot_be_written(tmp_path):
    deep = RGB.astype(np.uint16)
    four = np.dstack([RGB, ALPHA])
    for name, image, fault in [
        ("a.gif", RGB, "cannot write the format .gif"),
        ("a", RGB, "no suffix"),
        ("a.jpg", deep, "cannot hold 16-bit"),
        ("a.jpg", four, "cannot hold an alpha"),
        ("a.pgm", RGB, "grey pictures only"),
        ("a.png", RGB.astype(np.float32), "float32 samples"),
        ("a.png", RGB[:0], "cannot write an array of shape"),
        ("missing/a.png", RGB, "its folder does not exist"),
    ]:
        with pytest.raises(UserError, match=fault):
            write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "bird.png"
    write_image(path, RGB)
    before = path.read_bytes()
    code = (
        "import resource, sys, numpy as np\n"
        "from superres.imaging.io import write_image\n"
        "from superres.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "noise = np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)\n"
        "try: write_image(sys.argv[1], noise)\n"
        "except UserError as error: print(error); sys.exit(7)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert run.returncode == 7, run.stderr
    assert "cannot be written" in run.stdout
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_obey_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_image(tmp_path / "a.png", RGB)
    finally:
        os.umask(old)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


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
    for name in ("rgb.png", "rgb.jpg", "rgb.tif", "rgb.bmp"):
        data = KINDS[name][0]
        with pytest.raises(UserError):
            read_image(data[: len(data) // 2])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("message", "package"),
    [
        ("libGL.so.1: cannot open shared object file: No such file or directory", "libgl1"),
        ("libgthread-2.0.so.0: cannot open shared object file", "libglib2.0-0"),
        ("libSM.so.6: cannot open shared object file", "libsm6"),
        ("libodd.so.3: cannot open shared object file", "libodd.so.3"),
        ("No module named 'cv2'", "pip install opencv-python"),
    ],
)
def test_a_missing_system_library_is_explained(monkeypatch, message, package):
    assert package in explain_import_error(ImportError(message))

    import builtins

    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "cv2":
            raise ImportError(message)
        return real(name, *args, **kwargs)

    import_cv2.cache_clear()
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(UserError, match="OpenCV cannot be imported"):
        read_image(KINDS["rgb.png"][0])
    monkeypatch.undo()
    import_cv2.cache_clear()
    assert read_image(KINDS["rgb.png"][0]).shape == (37, 53, 3)
