"""Whole image, tiles and low memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.errors import UserError
from superres.inference import Tiler, Tiling
from superres.inference.backends import as_network
from superres.inference.backends.pytorch import upscale_tensor, upscale_with_record
from superres.inference.memory import is_out_of_memory
from superres.inference.windows import spans
from tests.inference import build


def picture(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    scale=st.sampled_from([2, 3, 4]),
    tile=st.integers(5, 40),
    factor=st.sampled_from([1, 0.8, 0.63, 1.7]),
)
@settings(max_examples=40, deadline=None)
def test_tiles_equal_the_whole_picture(size, scale, tile, factor):
    """Also where the result is then resized."""
    net, x = build(scale=scale), picture(*size).numpy()
    target = tuple(max(1, int(length * scale * factor)) for length in size)
    whole, tiler = (Tiler(as_network(net), Tiling(side)) for side in ("off", tile))
    y = tiler.array(x, target)
    assert relative(torch.from_numpy(y), torch.from_numpy(whole.array(x, target))) <= 1e-5
    expected = ("tiles", tile) if tile < max(size) else ("whole", None)
    assert (tiler.record.mode, tiler.record.tile, tiler.record.notes) == (*expected, [])
    assert tiler.record.exact


@given(length=st.integers(1, 200), scale=st.integers(1, 4), size=st.integers(1, 60), data=st.data())
@settings(max_examples=100, deadline=None)
def test_spans_cover_without_gaps(length, scale, size, data):
    target = data.draw(st.integers(1, 2 * length * scale))
    found = spans(length, scale, target, 3, size)
    assert [a.stop for a in found[:-1]] == [b.start for b in found[1:]]
    assert (found[0].start, found[-1].stop) == (0, target)
    assert max(b.stop - b.start for b in found) <= max(1, -(-size * target // length))


def test_too_little_overlap_shows_and_is_said():
    net, x = build(scale=2), picture(41, 61)
    whole = upscale_tensor(net, x, tile="off")
    y, record = upscale_with_record(net, x, tile=16, overlap=1)
    assert not record.exact
    assert "overlap of 1 px" in record.notes[0]
    assert relative(y, whole) > 1e-4
    # Further in than the overlap and the radius reach, a tile's own pixels are untouched.
    assert torch.allclose(y[:, :, :8, :8], whole[:, :, :8, :8], atol=1e-5)


def test_tiles_of_a_pooling_network_are_blended():
    net, x = build("RCAN"), picture(61, 83)
    whole = upscale_tensor(net, x, tile="off")
    y, record = upscale_with_record(net, x, tile=24, overlap=6)
    assert (record.mode, record.exact) == ("blended-tiles", False)
    assert "may look at the whole image" in record.notes[0]
    assert relative(y, whole) < 0.1


def repeat(x):
    return x.repeat_interleave(3, 2).repeat_interleave(3, 3)


repeat.scale, repeat.receptive_radius = 3, None


@pytest.mark.parametrize(("tile", "overlap"), [(24, 6), (7, 11), (16, 0)])
def test_blending_weights_add_up_to_one(tile, overlap):
    """Blending tiles of a network that only repeats pixels gives just those pixels."""
    x = picture(50, 71, count=2)
    y = upscale_tensor(repeat, x, tile=tile, overlap=overlap)
    assert torch.allclose(y, repeat(x), atol=1e-6)


@pytest.mark.parametrize("tile", ["off", 16])
def test_self_ensemble_is_the_mean_of_eight_views(tile):
    net, x = build(scale=2), picture(23, 31)
    views = []
    for turns in range(4):
        for flips in ((), (3,)):
            y = net(torch.rot90(x, turns, (2, 3)).flip(flips)).flip(flips)
            views.append(torch.rot90(y, -turns, (2, 3)))
    expected = torch.stack(views).mean(0)
    assert relative(upscale_tensor(net, x, tile=tile, self_ensemble=True), expected) <= 1e-5
    assert relative(net(x), expected) > 1e-3


@pytest.mark.parametrize("size", [(5, 7), (19, 300), (1, 1)])
def test_chop_of_a_small_picture_and_of_a_narrow_one(size):
    net, x = build(scale=2), picture(*size)
    y, record = upscale_with_record(net, x, tile="edsr-chop")
    assert (record.mode, record.exact) == ("edsr-chop", False)
    # Shave 10 exceeds what this network sees, so here the chop is exact.
    assert relative(y, upscale_tensor(net, x, tile="off")) <= 1e-5


@pytest.mark.parametrize("size", [(160, 200), (20, 900), (900, 20)])
def test_auto_takes_tiles_that_fit_the_budget(size):
    net, x = build(scale=2), picture(*size)
    each = as_network(net).bytes_per_pixel + 8 * 3 * 2**2
    y, record = upscale_with_record(net, x, memory_budget=int(each * 60 * 60))
    assert record.mode == "tiles"
    seen = [min(s, n + 2 * record.overlap) for s, n in zip(size, record.tile, strict=True)]
    assert 60 * 40 < seen[0] * seen[1] <= 60 * 60
    assert relative(y, upscale_tensor(net, x, tile="off")) <= 1e-5
    _, record = upscale_with_record(net, x, memory_budget=int(each * (size[0] * size[1] + 1)))
    assert record.mode == "whole"


def test_a_network_that_looks_too_far_for_exact_tiles_is_blended():
    net, x = build(scale=2), picture(300, 300)
    net.receptive_radius = 100
    budget = int(220**2 * (as_network(net).bytes_per_pixel + 8 * 3 * 2**2))
    y, record = upscale_with_record(net, x, memory_budget=budget)
    assert (record.mode, record.overlap, record.exact) == ("blended-tiles", 32, False)
    assert "less than the receptive radius of 100" in record.notes[0]
    assert 0 < relative(y, upscale_tensor(net, x, tile="off")) < 0.01


def test_bytes_per_pixel_of_a_known_network():
    conv = torch.nn.Conv2d(3, 64, 3, padding=1)

    def net(x):
        return conv(x)[:, :3]

    net.scale, net.receptive_radius = 1, 1
    # 64 float32 maps, and the same again for the library's own copies; the slice shares memory.
    assert as_network(net).bytes_per_pixel == pytest.approx(2 * 64 * 4, rel=0.05)


class Hungry:
    """A network that runs out of memory beyond so many input pixels."""

    scale, receptive_radius = 2, 0

    def __init__(self, limit: int, error: BaseException) -> None:
        self.limit, self.error = limit, error

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] * x.shape[3] > self.limit:
            raise self.error
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "cpu", "python"])
@pytest.mark.parametrize(("tile", "limit"), [("auto", 3000), (100, 3000), ("auto", 1000)])
def test_retries_with_smaller_tiles(error, tile, limit):
    """The last has too little memory even to measure the network."""
    x = picture(150, 210)
    y, record = upscale_with_record(Hungry(limit, error), x, tile=tile)
    assert torch.equal(y, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert record.exact
    assert "memory ran out" in record.notes[0]
    assert f"tiles of {record.tile} px" in record.notes[0]


@pytest.mark.parametrize(
    ("tile", "words"),
    [
        (64, r"on cpu for tiles of 16 px \(of 210x150 px\)"),
        ("off", "use tile='auto'"),
        ("edsr-chop", "use tile='auto'"),
    ],
)
def test_gives_up_with_one_message(tile, words):
    with pytest.raises(UserError, match=words):
        upscale_tensor(Hungry(3, ERRORS[0]), picture(150, 210), tile=tile)


def test_other_faults_are_not_taken_for_lack_of_memory():
    fault = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not is_out_of_memory(fault)
    with pytest.raises(RuntimeError, match="mat1"):
        upscale_tensor(Hungry(3, fault), picture(50, 50), tile=20)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.rand(3, 8, 8), {}, r"\(N, C, H, W\).*\(3, 8, 8\)"),
        (torch.rand(1, 3, 0, 8), {}, "at least one pixel"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), {}, "divide by 255"),
        *[(torch.rand(1, 3, 8, 8), {"tile": t}, "tile must be auto") for t in (0, "-3", 1.5, "")],
        (torch.rand(1, 3, 8, 8), {"tile": "chop"}, "edsr-chop or a positive number"),
        (torch.rand(1, 3, 8, 8), {"overlap": -1}, "overlap must be at least 0"),
        (torch.rand(1, 3, 8, 8), {"memory_budget": "2G"}, "memory_budget must be a positive"),
    ],
)
def test_bad_input(x, options, message):
    with pytest.raises(UserError, match=message):
        upscale_tensor(build(scale=2), x, **options)


def test_a_network_that_breaks_its_promise():
    net = build(scale=2)
    net.scale = 3
    with pytest.raises(UserError, match=r"scale is 3.*should give 30x24.*16, 20"):
        upscale_tensor(net, picture(8, 10))
