"""model.upscale: kinds in and out, equality with the network, tiles, memory."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

import superres
from superres.errors import UserError
from superres.imaging.io import write_image
from superres.imaging.resize import imresize
from superres.models.backbones.srcnn import SRCNN
from superres.upscaling.tiled_upscaler import AnyChannels

from .conftest import cut_out, exif, icc, scene


def reference(model, picture):
    """The network applied by hand: (h, w, 3) uint8 to float (H, W, 3), unclamped."""
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return model(x)[0].permute(1, 2, 0).numpy()


def rounded(y):
    return np.rint(np.clip(y, 0, 1) * 255).astype(np.uint8)


def near(a, b, levels=1, share=1e-3):
    """Equal but for rounding of a few samples that lie between two levels."""
    gap = np.abs(a.astype(int) - b.astype(int))
    return gap.max() <= levels and (gap > 0).mean() <= share


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino", "auto"])
def test_tensors_equal_the_network(backend, network):
    if backend not in ("torch", "auto"):
        pytest.importorskip(backend)
    model = network(4)
    x = torch.rand(2, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(x)
    y = model.upscale(x, backend=backend, clamp=False)
    assert y.shape == (2, 3, 68, 92)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)
    one = model.upscale(x[0], backend=backend)
    torch.testing.assert_close(one, expected[0].clamp(0, 1), rtol=0, atol=1e-4)


def test_arrays_keep_form_and_type(network):
    model, picture = network(2), scene()
    expected = rounded(reference(model, picture))
    assert near(model.upscale(picture), expected)
    stack = model.upscale(np.stack([picture, picture[::-1]]))
    assert stack.shape == (2, 80, 112, 3)
    assert near(stack[0], expected)
    deep = model.upscale(picture.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert near(np.rint(deep / 257), expected, share=0.01)
    for dtype in (np.float32, np.float64, np.float16):
        y = model.upscale((picture / 255).astype(dtype))
        assert y.dtype == dtype
        assert np.abs(y - expected / 255).max() < 0.004
    grey = model.upscale(picture[..., 0])
    assert grey.shape == (80, 112)
    assert model.upscale(picture[..., :1]).shape == (80, 112, 1)
    assert model.upscale(picture[..., :2]).shape == (80, 112, 2)


def test_pillow_and_paths(network, tmp_path):
    model, picture = network(2), scene()
    expected = rounded(reference(model, picture))
    image = Image.fromarray(picture)
    image.info["icc_profile"] = icc()
    y = model.upscale(image)
    assert y.mode == "RGB"
    assert y.info["icc_profile"] == icc()
    assert near(np.array(y), expected)
    for mode, result in (("L", "L"), ("LA", "LA"), ("RGBA", "RGBA"), ("1", "L"), ("CMYK", "RGB")):
        assert model.upscale(image.convert(mode)).mode == result
    deep = Image.fromarray(picture[..., 0].astype(np.uint16) * 257)
    assert model.upscale(deep).mode == "I;16"

    image.save(tmp_path / "a.png", exif=exif(6))
    shown = model.upscale(tmp_path / "a.png")
    assert shown.size == (80, 112)  # upright
    assert near(np.array(shown), np.rot90(expected, -1))
    out = model.upscale(tmp_path / "a.png", out=tmp_path / "b.webp")
    assert out == tmp_path / "b.webp"
    with Image.open(out) as written:
        assert written.size == (112, 80)
        assert written.getexif()[274] == 6
        assert near(np.array(written), expected)
    with pytest.raises(UserError, match="never overwritten"):
        model.upscale(tmp_path / "a.png", out=tmp_path / "a.png")


def test_lists_and_the_context(network, tmp_path):
    model, picture = network(2), scene()
    Image.fromarray(picture).save(tmp_path / "a.png")
    results = model.upscale([picture, Image.fromarray(picture), str(tmp_path / "a.png")])
    assert [type(r) for r in results] == [np.ndarray, Image.Image, Image.Image]
    with model.upscaler(tile=16) as enlarge:
        assert enlarge.backend in ("torch", "onnxruntime", "openvino")
        assert near(enlarge(picture), results[0])
    with pytest.raises(UserError, match="closed"):
        enlarge(picture)


@pytest.mark.parametrize("kind", ["rgb", "alpha", "grey", "deep"])
@pytest.mark.parametrize("scale", [None, 1.5])
def test_tiles_equal_the_whole(kind, scale, network):
    model, picture = network(4), scene()
    picture = {
        "rgb": picture,
        "alpha": cut_out(picture),
        "grey": picture[..., :1],
        "deep": picture.astype(np.uint16) * 255,
    }[kind]
    whole = model.upscale(picture, scale=scale, backend="torch")
    tiles = model.upscale(picture, scale=scale, tile=13, backend="torch")
    assert near(whole, tiles, levels=1 if picture.dtype == np.uint8 else 3, share=2e-3)
    assert whole.shape[:2] == tuple(int(n * (scale or 4) + 0.5) for n in picture.shape[:2])


@pytest.mark.parametrize("scale", [1, 2.5, 3, 6])
def test_other_scales_are_the_exact_resize(scale, network):
    model, picture = network(4), scene()
    size = tuple(int(n * scale + 0.5) for n in picture.shape[:2])
    expected = imresize(reference(model, picture), size=size)
    assert near(model.upscale(picture, scale=scale), rounded(expected))
    x = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
    y = model.upscale(x, scale=scale, clamp=False).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_edges_of_a_cut_out_are_clean(network):
    """On white, the disc must look as if the whole image had been upscaled and then cut."""
    model, picture = network(4), np.full((40, 56, 3), (230, 200, 60), np.uint8)
    result = model.upscale(cut_out(picture)).astype(float)
    seen = result[..., 3] > 8
    assert np.abs(result[seen][:, :3] - (230, 200, 60)).max() <= 3, "a fringe"
    assert (result[60:100, 90:130, 3] == 255).all(), "what is opaque stays opaque"
    assert (result[:8, :, 3] == 0).all()
    assert 0.9 < result[..., 3].sum() / (16 * cut_out(picture)[..., 3].sum()) < 1.1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_no_halo_around_alpha(scale):
    """What a network spills far from an edge is kept out; at the edge it decides."""

    class Spilling:
        receptive_radius, device, bytes_per_pixel = 1, "cpu", 1.0

        def __init__(self):
            self.scale = scale

        def run(self, x):
            wide = x.repeat(scale, 2).repeat(scale, 3)
            return 0.3 + 0.4 * wide

    x = np.zeros((1, 4, 9, 12), np.float32)
    x[..., 6:] = 1
    alpha = AnyChannels(Spilling(), 3, 4).run(x)[0, 3]
    half = scale // 2
    assert (alpha[:, : 6 * scale - half - scale % 2] == 0).all()
    assert (alpha[:, 6 * scale + half + scale % 2 :] == 1).all()
    assert ((alpha > 0) & (alpha < 1)).any(), "the edge itself is the network's"


def test_colour_through_a_grey_network():
    torch.manual_seed(0)
    model = SRCNN(in_channels=1, out_channels=1, scale=2).eval()
    picture = scene()
    grey = model.upscale(picture[..., 0])
    with torch.no_grad():
        expected = model(torch.from_numpy(picture[..., 0])[None, None].float() / 255)[0, 0].numpy()
    assert near(grey, rounded(expected))
    colour = model.upscale(picture)
    assert colour.shape == (80, 112, 3)
    chroma = imresize(picture / 255, scale=2)
    chroma = chroma - (chroma @ [0.299, 0.587, 0.114])[..., None]
    luma = torch.from_numpy(picture / 255 @ [0.299, 0.587, 0.114]).float()[None, None]
    with torch.no_grad():
        luma = model(luma)[0, 0].numpy()
    assert near(colour, rounded(luma[..., None] + chroma), share=0.01)


def test_training_on_is_noticed(network):
    model = network(2)
    before = model.upscale(scene())
    optimiser = torch.optim.SGD(model.parameters(), 0.05)
    model.train()
    model(torch.rand(1, 3, 8, 8)).square().mean().backward()
    optimiser.step()
    after = model.upscale(scene())
    assert model.training
    assert not near(before, after)
    assert near(after, rounded(reference(model, scene())))


def test_models_are_let_go(network):
    model = network(2)
    model.upscale(scene(), backend="torch")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 5), np.uint8), "shape .4, 4, 5."),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.full((4, 4, 3), 255.0), "divide by 255"),
        (np.full((4, 4, 3), np.nan), "array has NaN"),
        (torch.full((3, 4, 4), -0.4), r"-0.4 to -0.4.*\(x \+ 1\) / 2"),
        (np.full((4, 4, 3), 1.5), "1.5 to 1.5.*tone-map"),
        (torch.zeros(4, 4), "shape .4, 4."),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "int32"),
        (Image.new("RGB", (0, 4)), "no pixels"),
        (7, "int is not an image"),
        ("absent.png", "no such image"),
        (["absent.png", np.zeros((4, 4, 3), np.uint8)], "absent.png: no such image"),
        (io.BytesIO(), "BytesIO is not an image"),
    ],
)
def test_what_is_no_picture(image, message, network):
    with pytest.raises(UserError, match=message):
        network(2).upscale(image)


def test_numbers_and_arrays_as_libraries_have_them(network):
    model, picture = network(2), scene()
    expected = model.upscale(picture)
    frozen = picture.copy()
    frozen.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PyTorch warns of memory that is read-only
        assert (model.upscale(frozen) == expected).all()
        assert model.upscale(np.float32(frozen) / 255).shape == expected.shape
    deep = picture.astype(np.uint16) * 257
    other_order = model.upscale(deep.astype(">u2"))
    assert other_order.dtype == np.dtype(">u2")
    assert (other_order == model.upscale(deep)).all()
    for scale, size in ((np.float32(1.5), (60, 84)), (np.int64(3), (120, 168))):
        assert model.upscale(picture, scale=scale).shape[:2] == size
    with pytest.raises(UserError, match="1 to 64"):
        model.upscale(picture, scale=True)
    premultiplied = Image.fromarray(picture[..., 0]).convert("LA").convert("La")
    assert model.upscale(premultiplied).mode == "LA"


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_threads_may_begin_together(backend, network, capfd):
    if backend != "torch":
        pytest.importorskip(backend)
    model, picture, results = network(2), scene(), []

    def work():
        results.append(model.upscale(picture, backend=backend))

    threads = [threading.Thread(target=work) for _ in range(5)]
    others = [threading.Thread(target=lambda: network(3).upscale(picture)) for _ in range(2)]
    for thread in threads + others:
        thread.start()
    for thread in threads + others:
        thread.join()
    assert len(results) == 5
    assert all((result == results[0]).all() for result in results)
    print("still heard")  # preparing a back end silences the output, for a while
    assert "still heard" in capfd.readouterr().out


def test_what_is_reduced_is_warned_of(network, tmp_path):
    model, image = network(2), Image.fromarray(scene())
    image.save(tmp_path / "a.gif", save_all=True, append_images=[image.rotate(90)])
    image.convert("CMYK").save(tmp_path / "a.tif", save_all=True, append_images=[image])
    write_image(tmp_path / "a.png", scene().astype(np.uint16) * 257)
    for source, said in (
        (tmp_path / "a.gif", ["a.gif: animated: only the first of its 2 frames is done"]),
        (tmp_path / "a.tif", ["a.tif: CMYK was turned to RGB", "first of its 2 pages is done"]),
        (tmp_path / "a.png", ["a.png: Pillow's RGB has 8 bits: reduced from 16"]),
        (image.convert("CMYK"), ["image: CMYK was turned to RGB"]),
        (Image.open(tmp_path / "a.gif"), ["only the first of 2 frames"]),
        (Image.fromarray(np.float32(scene()[..., 0]) / 255), ["8 bits: reduced from float"]),
        (image, []),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.upscale(source)
        told = [str(one.message) for one in caught if one.category is UserWarning]
        assert len(told) == len(said)
        assert all(words in text for words, text in zip(said, told, strict=True))


def test_slips_of_the_pen_are_one_message():
    picture = scene()
    assert superres.upscale(picture, "edsr-s", "x2").shape == (80, 112, 3)
    for arguments, options, message in (
        ((), {"scale": (2, 2)}, "1 to 64, or 'x2'"),
        ((), {"scale": "big"}, "1 to 64, or 'x2', not 'big'"),
        *(((), {"scale": scale}, "1 to 64") for scale in (0, 0.5, float("nan"))),
        ((), {"tile": 0}, "tile"),
        ((), {"backend": "abacus"}, "abacus"),
        ((), {"memory_budget": "2G"}, "number of bytes such as 2 << 30, not '2G'"),
        ((2,), {}, "2 is not a model.*scale=2"),
        ((None,), {}, "None is not a model"),
        ((), {"scael": 2}, r"no option 'scael'; did you mean scale.+it has model, scale"),
    ):
        with pytest.raises(UserError, match=message):
            superres.upscale(picture, *arguments, **options)
    for model in ("auto", "edsr-s"):
        match = r"1 of 3 .*\[1\] absent.png: no such image"
        with pytest.raises(superres.SomeFailed, match=match) as caught:
            superres.upscale([picture, "absent.png", picture], model, 2)
        first, none, last = caught.value.results
        assert none is None
        assert first.shape == last.shape == (80, 112, 3)


def test_import_is_cheap():
    code = (
        "import sys, superres; dir(superres);"
        "bad = {'torch', 'cv2', 'PIL', 'numpy'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert superres.upscale.__module__ == "superres.upscaling.python"


def test_a_path_gives_what_its_file_says_beside_the_pixels(tmp_path):
    exif = Image.Exif()
    exif[274], exif[271] = 6, "a maker"
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    given = superres.upscale(tmp_path / "a.jpg", scale=2).info
    assert given["dpi"] == (300, 300)
    exif.load(given["exif"])
    assert (exif[271], exif[274]) == ("a maker", 1)  # it is upright
