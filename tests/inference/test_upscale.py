"""Whole picture, tiles and low memory."""

from __future__ import annotations

import itertools

import pytest
import torch

from superres.errors import UserError
from superres.inference import parse_tile, upscale_tensor, upscale_with_record
from superres.inference.backends import as_network
from superres.inference.memory import is_out_of_memory
from superres.inference.tiles import SMALLEST_TILE
from superres.inference.windows import Axis


def picture(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(41, 61), (23, 101)])
def test_tiles_equal_the_whole_picture(make_edsr, scale, size):
    net, x = make_edsr(scale, span=1.0), picture(*size)
    whole = upscale_tensor(net, x, tile="off")
    for tile in (13, SMALLEST_TILE, 32):
        y, record = upscale_with_record(net, x, tile=tile)
        assert not y.requires_grad
        assert record.exact
        assert (record.mode, record.tile, record.notes) == ("tiles", tile, [])
        assert relative(y, whole) <= 1e-5


def test_too_little_overlap_shows_and_is_said(make_edsr):
    net, x = make_edsr(2, span=1.0), picture(41, 61)
    whole = upscale_tensor(net, x, tile="off")
    y, record = upscale_with_record(net, x, tile=16, overlap=1)
    assert not record.exact
    assert "overlap of 1 px" in record.notes[0]
    assert relative(y, whole) > 1e-4
    # Further in than the overlap and the radius reach, a tile's own pixels are untouched.
    assert torch.allclose(y[:, :, :8, :8], whole[:, :, :8, :8], atol=1e-5)


def test_tiles_of_a_pooling_network_are_blended(pooled_net):
    x = picture(61, 83)
    whole = upscale_tensor(pooled_net, x, tile="off")
    y, record = upscale_with_record(pooled_net, x, tile=24, overlap=6)
    assert record.mode == "blended-tiles"
    assert not record.exact
    assert "may look at the whole picture" in record.notes[0]
    assert relative(y, whole) < 0.1


@pytest.mark.parametrize(("tile", "overlap"), [(24, 6), (7, 11), (16, 0)])
def test_blending_weights_add_up_to_one(tile, overlap):
    """Blending tiles of a network that only repeats pixels gives just those pixels."""

    def repeat(x):
        return x.repeat_interleave(3, 2).repeat_interleave(3, 3)

    repeat.scale, repeat.receptive_radius = 3, None
    x = picture(50, 71, count=2)
    y = upscale_tensor(repeat, x, tile=tile, overlap=overlap)
    assert torch.allclose(y, repeat(x), atol=1e-6)


@pytest.mark.parametrize("tile", ["off", 16])
def test_self_ensemble_is_the_mean_of_eight_views(make_edsr, tile):
    net, x = make_edsr(2, span=1.0), picture(23, 31)
    views = []
    for turns in range(4):
        for flip in (False, True):
            seen = torch.rot90(x, turns, (2, 3))
            seen = seen.flip(3) if flip else seen
            y = net(seen)
            y = y.flip(3) if flip else y
            views.append(torch.rot90(y, -turns, (2, 3)))
    expected = torch.stack(views).mean(0)
    assert relative(upscale_tensor(net, x, tile=tile, self_ensemble=True), expected) <= 1e-5
    assert relative(net(x), expected) > 1e-3


def test_chop_of_a_small_picture_and_of_a_narrow_one(make_edsr):
    net = make_edsr(2, span=1.0)
    for size in ((5, 7), (19, 300), (1, 1)):
        x = picture(*size)
        y, record = upscale_with_record(net, x, tile="edsr-chop")
        assert record.mode == "edsr-chop"
        assert y.shape[2:] == (size[0] * 2, size[1] * 2)
        # Shave 10 exceeds what this network sees, so here the chop is exact.
        assert relative(y, upscale_tensor(net, x, tile="off")) <= 1e-5


def test_auto_takes_tiles_that_fit_the_budget(make_edsr):
    net, x = make_edsr(2, span=1.0), picture(160, 200)
    each = as_network(net).bytes_per_pixel + 8 * 3 * 2**2
    y, record = upscale_with_record(net, x, memory_budget=int(each * 60 * 60))
    assert record.mode == "tiles"
    rows, columns = record.tile
    assert (rows + 2 * record.overlap) * (columns + 2 * record.overlap) <= 60 * 60
    assert relative(y, upscale_tensor(net, x, tile="off")) <= 1e-5
    _, record = upscale_with_record(net, x, memory_budget=int(each * 160 * 201))
    assert record.mode == "whole"


def test_bytes_per_pixel_of_a_known_network():
    conv = torch.nn.Conv2d(3, 64, 3, padding=1)

    def net(x):
        return conv(x)[:, :3]

    net.scale, net.receptive_radius = 1, 1
    # 64 float32 maps, and the same again for the library's own copies; the slice shares memory.
    assert as_network(net).bytes_per_pixel == pytest.approx(2 * 64 * 4, rel=0.05)


class Hungry:
    """A network that runs out of memory beyond so many input pixels."""

    scale = 2
    receptive_radius = 0

    def __init__(self, limit: int, error: BaseException) -> None:
        self.limit, self.error, self.largest = limit, error, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] * x.shape[3] > self.limit:
            raise self.error
        self.largest = max(self.largest, x.shape[2] * x.shape[3])
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "cpu", "python"])
@pytest.mark.parametrize("tile", ["auto", 100])
def test_retries_with_smaller_tiles(error, tile):
    x = picture(150, 210)
    net = Hungry(3000, error)
    y, record = upscale_with_record(net, x, tile=tile)
    assert net.largest <= 3000
    assert torch.equal(y, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert record.exact
    assert "memory ran out" in record.notes[0]
    assert f"tiles of {record.tile} px" in record.notes[0]


def test_memory_too_small_even_to_measure_the_network():
    _, record = upscale_with_record(Hungry(1000, ERRORS[1]), picture(150, 210))
    assert record.tile == SMALLEST_TILE


def test_gives_up_with_one_message():
    with pytest.raises(
        UserError, match=r"not enough memory on cpu for tiles of 16 px \(of 210x150 px\)"
    ):
        upscale_tensor(Hungry(3, ERRORS[0]), picture(150, 210), tile=64)
    for tile in ("off", "edsr-chop"):
        with pytest.raises(UserError, match="use tile='auto'"):
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
        (torch.rand(1, 3, 8, 8), {"tile": 0}, "tile must be auto"),
        (torch.rand(1, 3, 8, 8), {"tile": "chop"}, "edsr-chop or a positive number"),
        (torch.rand(1, 3, 8, 8), {"overlap": -1}, "overlap must be at least 0"),
    ],
)
def test_bad_input(make_edsr, x, options, message):
    with pytest.raises(UserError, match=message):
        upscale_tensor(make_edsr(2), x, **options)


def test_a_network_that_breaks_its_promise(make_edsr):
    net = make_edsr(2)
    net.scale = 3
    with pytest.raises(UserError, match=r"scale is 3.*should give 30x24.*16, 20"):
        upscale_tensor(net, picture(8, 10))


@pytest.mark.parametrize("text", ["0", "-3", "big", "1.5", ""])
def test_parse_tile(text):
    assert parse_tile("96") == 96
    with pytest.raises(UserError, match="tile must be"):
        parse_tile(text)


def test_windows_cover_without_gaps():
    for length in (1, 16, 17, 100):
        spans = [(window.start, window.stop) for window in Axis(length, 1, length).windows(16)]
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
        assert max(b - a for a, b in spans) <= 16
