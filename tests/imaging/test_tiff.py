"""Every kind of TIFF is read as an independent reader reads it, or refused by its name."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superres.errors import UserError
from superres.imaging.io import image_header, load_image, read_image
from superres.imaging.tiff import directory

tifffile = pytest.importorskip("tifffile")

COLOURS = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "separated": 4}
KINDS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["u1", "u2", "u4", "u8", "i1", "i2", "f2", "f4", "f8", "c8"]),
        "photometric": st.sampled_from(list(COLOURS)),
        "extra": st.sampled_from(
            [(), ("unassalpha",), ("assocalpha",), ("unspecified",), ("unspecified", "unassalpha")]
        ),
        "planar": st.sampled_from(["contig", "separate"]),
        "byteorder": st.sampled_from("<>"),
        "bigtiff": st.booleans(),
        "layout": st.sampled_from([{}, {"tile": (16, 32)}, {"rowsperstrip": 5}]),
        "packed": st.sampled_from(
            [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": 1}]
        ),
        "orientation": st.integers(1, 8),
        "size": st.tuples(st.integers(1, 40), st.integers(1, 40)),
    }
)


def written(kind: dict) -> bytes:
    dtype = np.dtype(kind["dtype"])
    bands = COLOURS[kind["photometric"]] + len(kind["extra"])
    values = np.random.default_rng(1).random((*kind["size"], bands))
    if dtype.kind in "ui":
        values = values * np.iinfo(dtype).max
    values = values.astype(dtype)
    if kind["planar"] == "separate":
        values = np.moveaxis(values, -1, 0)
    packed = dict(kind["packed"])
    predictor = bool(packed.pop("predictor", 0)) and dtype.kind != "c"
    file = io.BytesIO()
    tifffile.imwrite(
        file, values if bands > 1 else values.reshape(kind["size"]), metadata=None,
        photometric=kind["photometric"], extrasamples=kind["extra"] or None,
        planarconfig=kind["planar"] if bands > 1 else None, byteorder=kind["byteorder"],
        bigtiff=kind["bigtiff"], predictor=predictor or None, **kind["layout"], **packed,
        extratags=[(274, 3, 1, kind["orientation"], True)],
    )  # fmt: skip
    return file.getvalue()


def expected(data: bytes) -> np.ndarray:
    """(H, W, C) on a scale of 255: what the specification says the samples mean."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        bands = page.asarray().astype(np.float64)
        peak = 1 if page.dtype.kind == "f" else np.iinfo(page.dtype).max
        if bands.ndim == 2:
            bands = bands[..., None]
        elif page.planarconfig == 2:
            bands = np.moveaxis(bands, 0, -1)
        colours = 1 if page.photometric in (0, 1) else 3
        extra = page.extrasamples[:1]
        bands = bands[..., : colours + (extra[:1] in ((1,), (2,)))] / peak
        if page.photometric == 0:
            bands[..., 0] = 1 - bands[..., 0]
        if extra == (1,):
            alpha = bands[..., -1:]
            bands[..., :-1] = np.clip(bands[..., :-1] / np.maximum(alpha, 1e-12), 0, 1) * (
                alpha > 0
            )
        return bands * 255


@settings(max_examples=250, deadline=None)
@given(KINDS)
def test_generated_files_are_read_right_or_refused_by_name(kind):
    try:
        data = written(kind)
    except (ValueError, NotImplementedError, KeyError):  # no such TIFF can be written
        return
    picture, refused = None, ""
    try:
        picture = load_image(data)
    except UserError as error:
        refused = str(error)
    if picture is None:
        apart = kind["planar"] == "separate" and kind["dtype"] != "u1"
        common = kind["dtype"] in ("u1", "u2", "f4") and kind["photometric"] == "rgb" and not apart
        common = common and not (kind["bigtiff"] and kind["byteorder"] == ">")
        assert "TIFF" in refused
        assert not (common and kind["extra"] in ((), ("unassalpha",))), f"{kind}: {refused}"
        return
    assert kind["dtype"] in ("u1", "u2", "f4", "f8")
    assert picture.orientation == kind["orientation"]
    header = image_header(data)
    assert (header.height, header.width) == picture.pixels.shape[:2] == kind["size"]
    assert header.has_alpha == (picture.pixels.shape[2] in (2, 4))
    assert (len(kind["extra"]) > header.has_alpha) == any(
        "bands left out" in n for n in picture.notes
    )
    if kind["photometric"] == "separated":
        assert "CMYK was turned to RGB" in picture.notes
        return
    peak = 1 if picture.pixels.dtype == np.float32 else np.iinfo(picture.pixels.dtype).max
    right = expected(data)
    assert picture.pixels.shape == right.shape
    # The colour of what is fully transparent is nobody's.
    shows = right[..., -1:] > 0 if header.has_alpha else np.ones_like(right[..., :1], bool)
    off = np.abs(picture.pixels / peak * 255 - right)
    assert (off[..., : right.shape[2] - header.has_alpha] * shows).max() <= 1
    assert off[..., -1].max() <= 1 or not header.has_alpha
    read = read_image(data, "unchanged").astype(float)[..., : right.shape[2]]
    assert (np.abs(read - right)[..., :1] * shows).max() <= 1


def raw_tiff(bits: int, photometric: int, rows: np.ndarray) -> bytes:
    """One band of less than 8 bits, written by hand."""
    every = np.unpackbits(rows[..., None], axis=-1)[..., 8 - bits :].reshape(len(rows), -1)
    pixels = np.packbits(every, axis=1).tobytes()
    levels = np.arange(2**bits) * 65535 // (2**bits - 1)
    tags = [
        (256, 4, (rows.shape[1],)), (257, 4, (len(rows),)), (258, 3, (bits,)), (259, 3, (1,)),
        (262, 3, (photometric,)), (273, 4, (0,)), (277, 3, (1,)), (278, 4, (len(rows),)),
        (279, 4, (len(pixels),)),
    ]  # fmt: skip
    if photometric == 3:
        tags.append((320, 3, (*levels, *levels[::-1], *levels // 2)))
    return directory(b"II*\0\0\0\0\0", tags) + pixels


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("photometric", [0, 1, 3])
def test_few_bits_and_palettes(bits, photometric):
    rows = np.random.default_rng(bits).integers(0, 2**bits, (9, 13), np.uint8)
    levels = np.arange(2**bits) * 255 // (2**bits - 1)
    right = {
        0: np.dstack([levels[::-1][rows]] * 3), 1: np.dstack([levels[rows]] * 3),
        3: np.dstack([levels[rows], levels[::-1][rows], levels[rows] // 2]),
    }[photometric]  # fmt: skip
    assert np.abs(read_image(raw_tiff(bits, photometric, rows)).astype(int) - right).max() <= 1


def test_jpeg_inside():  # other packings: tests/maintain/test_formats.py
    file = io.BytesIO()
    Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50).convert("RGB").save(
        file, "TIFF", compression="jpeg"
    )
    with Image.open(file) as again:
        assert np.array_equal(read_image(file.getvalue()), np.asarray(again.convert("RGB")))


def test_the_full_page_is_taken_and_raw_is_refused():
    rgb = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    for below in (0, 1):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as out:
            out.write(rgb[::2, ::2], photometric="rgb", subfiletype=1, subifds=below)
            out.write(rgb, photometric="rgb")
        assert np.array_equal(read_image(file.getvalue()), rgb)
        assert image_header(file.getvalue()).width == 30
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as out:
        out.write(rgb[::2, ::2], photometric="rgb", subfiletype=1, subifds=1)
        pattern = [(33421, 3, 2, (2, 2)), (33422, 1, 4, (0, 1, 1, 2))]
        out.write(rgb[..., 0], photometric=32803, extratags=pattern)
    for read in (read_image, image_header):
        with pytest.raises(UserError, match="a camera raw file; develop it to TIFF first"):
            read(file.getvalue())
    file = io.BytesIO()
    Image.fromarray(rgb).convert("LAB").save(file, "TIFF")
    with pytest.raises(UserError, match="CIE"):
        read_image(file.getvalue())


def test_what_is_wrong_with_bands_and_floats(capfd):
    rgb = np.zeros((9, 9, 3), np.float32)
    for values, photometric, said in (
        (np.zeros((9, 9, 7), np.uint8), "minisblack", "7 grey bands of 8 bits, interleaved"),
        (np.zeros((9, 9, 3), np.uint8), "minisblack", "3 grey bands of 8 bits, interleaved"),
        (np.zeros((9, 9, 8), np.uint8), "rgb", "8 RGB bands of 8 bits, interleaved"),
        (rgb + np.float32(np.nan), "rgb", "it has NaN samples"),
        (rgb - 0.4, "rgb", "samples from -0.4 to -0.4"),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, values, photometric=photometric, planarconfig="contig")
        with pytest.raises(UserError, match=said):
            read_image(file.getvalue())
    assert capfd.readouterr().err == ""
