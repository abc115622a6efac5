"""What files say beside their pixels arrives in the result, from each format to each."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from superres.imaging.io import load_image
from superres.upscaling.writing import SUFFIX_FORMATS, save

from .conftest import icc, scene

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:title>a bird</dc:title></x:xmpmeta>'
IPTC = b"\x1c\x02\x78\0\x07caption"
PHOTOSHOP = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\x0c" + IPTC


class Same:
    """Upscales by 1, in two bands."""

    def size(self, height, width):
        return height, width

    def rows(self, pixels, progress):
        yield from (pixels[:9], pixels[9:])


def source(suffix: str) -> bytes:
    image, file = Image.fromarray(scene()), io.BytesIO()
    exif = Image.Exif()
    exif[271] = "a maker"
    options = {"icc_profile": icc(), "dpi": (300, 240), "exif": exif}
    if suffix == ".jpg":
        extra = b"\xff\xed" + (len(PHOTOSHOP) + 2).to_bytes(2, "big") + PHOTOSHOP
        image.save(file, "JPEG", xmp=XMP, comment=b"a note", extra=extra, **options)
    elif suffix == ".png":
        texts = PngInfo()
        texts.add_text("Comment", "a note")
        texts.add_text("Title", "a title")
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        image.save(file, "PNG", pnginfo=texts, **options)
    elif suffix == ".tif":
        tags = {700: XMP, 33723: IPTC, 270: "a note", 271: "a maker"}
        del options["exif"]  # which Pillow leaves out beside tags
        image.save(file, "TIFF", tiffinfo=tags, **options)
    return file.getvalue()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("out", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("given", [".jpg", ".png", ".tif"])
def test_metadata_goes_from_any_format_to_any(given, out, deep):
    if deep and out not in (".png", ".tif"):
        return
    picture = load_image(source(given))
    pixels = picture.pixels.astype(np.uint16) * 257 if deep else picture.pixels
    picture.pixels = pixels
    save(file := io.BytesIO(), Same(), picture, SUFFIX_FORMATS[out])
    again = load_image(file.getvalue())
    assert again.icc == icc()
    assert again.exif[271] == "a maker"
    xmp = again.info["xmp"]
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    assert xmp.rstrip(b"\0") == XMP
    if out == ".webp":
        return
    assert np.allclose(again.info["dpi"], (300, 240), atol=0.1)
    with Image.open(file) as image:
        if given != ".png" and out in (".jpg", ".tif"):
            assert IptcImagePlugin.getiptcinfo(image)[2, 120] == b"caption"
        texts = {**image.info, "comment_of_a_tiff": getattr(image, "tag_v2", {}).get(270)}
    assert any(f"{v}".removeprefix("b'").startswith("a note") for v in texts.values())
    assert given != ".png" or out != ".png" or texts["Title"] == "a title"
    assert np.array_equal(again.pixels, pixels) or out == ".jpg"


@pytest.mark.parametrize("given", ["PNG", "TIFF"])
def test_all_that_a_format_holds_goes_to_it_and_the_rest_is_said(given):
    exif, texts = Image.Exif(), PngInfo()
    exif[270], exif[306], exif[0x8825] = "a bird", "2020:01:01 00:00:00", {1: "N"}
    exif[0x8769] = {0xA002: 1, 0x9003: "2020"}
    texts.add_text("Title", "a title")
    image, file, words = Image.fromarray(scene()), io.BytesIO(), "a bird\nTitle: a title"
    image.save(file, "PNG", exif=exif, pnginfo=texts, dpi=(300, 240))
    if given == "TIFF":
        picture, file = load_image(file.getvalue()), io.BytesIO()
        save(file, Same(), picture, "tiff")
    for kind in ("tiff", "webp", "jpeg"):
        lost = save(made := io.BytesIO(), Same(), load_image(file.getvalue()), kind)
        assert not lost
        found = load_image(made.getvalue())
        assert found.exif.get_ifd(0x8825) == {1: "N"}
        assert found.exif.get_ifd(0x8769)[0x9003] == "2020"
        assert found.exif[270] == ("a bird" if (kind, given) == ("jpeg", "PNG") else words)
        dpi = found.info.get("dpi") or (found.exif[282], found.exif[283])
        assert [round(float(value)) for value in dpi] == [300, 240]
        assert kind != "jpeg" or given != "PNG" or found.info["comment"] == b"Title: a title"
    (said,) = save(io.BytesIO(), Same(), load_image(file.getvalue()), "pnm")
    assert said == "PNM has no room for EXIF, texts, a resolution: left out"


def test_what_is_too_long_for_a_jpeg_is_said_and_kept_elsewhere():
    exif, texts = Image.Exif(), PngInfo()
    exif[271], exif[0x8769] = "a maker", {0x927C: bytes(70_000)}
    texts.add_text("workflow", "{}" * 40_000)
    texts.add_itxt("XML:com.adobe.xmp", "<x>" * 30_000)
    Image.fromarray(scene()).save(file := io.BytesIO(), "PNG", exif=exif, pnginfo=texts)
    picture = load_image(file.getvalue())
    for kind in ("png", "tiff", "webp"):
        lost = save(made := io.BytesIO(), Same(), picture, kind)
        assert not lost
        again = load_image(made.getvalue())
        assert len(again.exif.get_ifd(0x8769)[0x927C]) == 70_000
        assert len(again.info["xmp"]) >= 90_000
    said = save(made := io.BytesIO(), Same(), picture, "jpeg", record="superres {}")
    assert said == ["JPEG has no room for EXIF, XMP, texts: left out"]
    assert load_image(made.getvalue()).exif[0x000B] == "superres {}"


def test_floats_in_and_out():
    values = np.linspace(0, 1, 40 * 56 * 3, dtype=np.float32).reshape(40, 56, 3)
    given = load_image(source(".tif"))
    given.pixels = values
    for kind, dtype in (("tiff", np.float32), ("png", np.uint16), ("jpeg", np.uint8)):
        lost = save(file := io.BytesIO(), Same(), given, kind)
        again = load_image(file.getvalue()).pixels
        assert again.dtype == dtype
        peak = 1 if dtype == np.float32 else np.iinfo(dtype).max
        assert np.abs(again / peak - values).max() < (0.02 if kind == "jpeg" else 1e-4)
        assert ("reduced from float" in str(lost)) == (kind != "tiff")
