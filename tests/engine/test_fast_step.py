"""The fast step gives what the plain one gives."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch

from superres.engine.train.optim import AutocastOptimWrapper
from superres.engine.train.speed import (
    Fast,
    optimizer_options,
    prefetched,
    resolve,
    torch_settings,
)
from superres.engine.train.step import TrainStep, compile_backbone
from superres.inference.backends.pytorch import has_bfloat16
from superres.models.restorers.restorer import Restorer

from .conftest import differences, picture, read_trace

CPU = torch.device("cpu")
NETWORKS = {
    "EDSR": {"type": "EDSR", "channels": 16, "num_blocks": 2, "scale": 2},
    "SRCNN": {"type": "SRCNN", "scale": 2},
}


def batches(count: int, size: int = 8, patch: int = 12) -> list[dict]:
    """Random crops of images with structure, x2, as the loader gives them."""
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.from_numpy(picture(i, 64, 72)) for i in range(4)]
    found = []
    for _ in range(count):
        crops = []
        for _ in range(size):
            which, top, left = torch.randint(0, 16, (3,), generator=generator).tolist()
            crops.append(pictures[which % 4][top:, left:][: 2 * patch, : 2 * patch])
        gt = torch.stack(crops)
        low = gt.permute(0, 3, 1, 2).float()
        low = torch.nn.functional.avg_pool2d(low, 2).round().to(torch.uint8).permute(0, 2, 3, 1)
        found.append({"inputs": low.contiguous(), "gt": gt, "meta": [{}] * size})
    return found


def step_of(backbone: dict, fast: Fast, accumulate: int = 1, lr: float = 1e-3) -> TrainStep:
    torch.manual_seed(0)
    module = Restorer(dict(backbone))
    if fast.channels_last:
        module.backbone.to(memory_format=torch.channels_last)
    options = optimizer_options(torch.optim.Adam, {}, fast, CPU)
    optimizer = torch.optim.Adam(module.parameters(), lr=lr, **options)
    clip = {"max_norm": 1e9}  # of no effect
    wrapper = AutocastOptimWrapper(
        optimizer=optimizer, clip_grad=clip, dtype=fast.amp or "float32", device_type="cpu"
    )
    return TrainStep(module, wrapper, CPU, fast, accumulate)


def curve(step: TrainStep, data: list[dict]) -> torch.Tensor:
    return torch.stack([step(batch, i)["loss"] for i, batch in enumerate(data)])


def contiguous(data: list[dict]) -> list[dict]:
    """The same numbers, laid out so that the network gets contiguous tensors."""
    return [
        {k: v.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1) if k != "meta" else v
         for k, v in batch.items()}
        for batch in data
    ]  # fmt: skip


def test_bfloat16_and_channels_last_stay_within_noise_of_float32():
    data = batches(100)
    backbone = NETWORKS["EDSR"]
    plain = curve(step_of(backbone, Fast()), contiguous(data))
    fast = Fast(amp="bfloat16", channels_last=True, fused=True)
    quick = curve(step_of(backbone, fast), data)
    # What batches and orders change: the same training with its data in another order.
    noise = (curve(step_of(backbone, Fast()), data[50:] + data[:50])[-30:].mean()
             - plain[-30:].mean()).abs()  # fmt: skip
    assert plain[-30:].mean() < 0.5 * plain[:5].mean()  # it learns
    assert (quick[-30:].mean() - plain[-30:].mean()).abs() < max(noise, 0.05 * plain[-30:].mean())
    # Each step on its own is close, too: a bfloat16 has 8 bits.
    assert (quick - plain).abs().median() < 0.03 * plain.median()
    assert not torch.equal(quick, plain)  # bfloat16 was really used


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_is_the_same_up_to_rounding(name):
    data = batches(6)
    plain = curve(step_of(NETWORKS[name], Fast(), lr=1e-4), contiguous(data))
    last = step_of(NETWORKS[name], Fast(channels_last=True, fused=True), lr=1e-4)
    torch.testing.assert_close(curve(last, data), plain, rtol=2e-4, atol=1e-6)
    weights = [p for p in last.module.backbone.parameters() if p.dim() == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


@pytest.mark.parametrize("parts", [2, 8])
def test_accumulation_is_the_whole_batch(parts):
    data = batches(5)
    fast = Fast(channels_last=True)
    whole, cut = step_of(NETWORKS["EDSR"], fast), step_of(NETWORKS["EDSR"], fast, parts)
    torch.testing.assert_close(curve(cut, data), curve(whole, data), rtol=1e-5, atol=0)
    # One update from equal weights; over several Adam's division upscales rounding errors.
    once = [step_of(NETWORKS["EDSR"], fast, n) for n in (1, parts)]
    for step in once:
        step.optim_wrapper.zero_grad = lambda: None
        step(data[0], 0)
    for a, b in zip(once[0].module.parameters(), once[1].module.parameters()):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-6 * float(a.grad.abs().max()))


def test_a_compiled_backbone_is_the_same_and_keeps_its_keys():
    data = batches(2)
    plain = step_of(NETWORKS["EDSR"], Fast())
    said: list[str] = []
    step = step_of(NETWORKS["EDSR"], Fast())
    step.compiled = compile_backbone(step.module, said.append)
    step.say = said.append
    keys = list(step.module.state_dict())
    torch.testing.assert_close(curve(step, data), curve(plain, data), rtol=1e-5, atol=0)
    if step.module.run_backbone is None:
        pytest.skip(f"no compiler here: {said}")
    assert list(step.module.state_dict()) == keys
    copy.deepcopy(step.module)  # as averaging of weights does


@pytest.mark.parametrize("good", [0, 1])
def test_a_failing_compiler_is_told_in_one_line_and_training_goes_on(good, monkeypatch):
    """At the first shape of batch, and at the second."""

    def compiler(backbone, **how):
        assert (type(backbone).__name__, how["mode"]) == ("EDSR", "reduce-overhead")  # no optimiser
        shapes = set()

        def compiled(x):
            shapes.add(x.shape)
            if len(shapes) > good:  # behind a part of the backward pass
                next(backbone.parameters()).grad = torch.tensor(1e30).expand(16, 3, 3, 3).clone()
                raise RuntimeError("no C++ compiler found\nand a page of details")
            return backbone(x)

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    said: list[str] = []
    data = [*batches(2), *batches(2, size=2)]
    step = step_of(NETWORKS["EDSR"], Fast(compile=True, cuda_graph=True))
    step.say = said.append
    assert torch.equal(curve(step, data), curve(step_of(NETWORKS["EDSR"], Fast()), data))
    assert said == ["speed.compile failed, training continues without it: no C++ compiler found"]


def test_a_batch_that_fails_is_told_in_its_turn(monkeypatch):
    """One batch ahead, with CUDA's streams stood in for."""
    stream = SimpleNamespace(wait_stream=lambda _: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    beside = []

    def entered(_):
        beside.append(True)
        return contextlib.closing(SimpleNamespace(close=beside.pop))

    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)

    def batches(fails: bool):
        for i in range(3):
            assert beside  # what makes them runs on the stream, too
            yield {"gt": torch.tensor(i), "meta": [i]}
        if fails:
            raise OSError("cut")

    assert [int(batch["gt"]) for batch in prefetched(batches(False), CPU)] == [0, 1, 2]
    ahead = prefetched(batches(True), CPU)
    assert [next(ahead)["meta"] for _ in range(3)] == [[0], [1], [2]]
    with pytest.raises(OSError, match="cut"):
        next(ahead)


GPU = torch.device("cuda", 0)
AUTO = Fast(channels_last=True, fused=True, prefetch=True, autotune=True)
MAX = dataclasses.replace(AUTO, amp="bfloat16", compile=True, cuda_graph=True, tf32=True)
ALONE = {"preset": "max", "cuda_graph": True}
RECORDED = {"preset": "off", "cuda_graph": True}
PRESETS = [
    # speed, amp, device and further arguments; what is used; what is said
    ("off", False, CPU, {}, Fast(), ""),
    (False, "bfloat16", CPU, {}, Fast(amp="bfloat16"), ""),
    ({**RECORDED, "channels_last": True}, False, CPU, {}, Fast(channels_last=True), "no GPU"),
    ({"preset": "off", "tf32": True}, False, CPU, {}, Fast(), "speed.tf32"),
    ("auto", False, GPU, {}, AUTO, ""),
    ("auto", False, GPU, {"deterministic": True}, dataclasses.replace(AUTO, autotune=False), ""),
    ("max", False, GPU, {}, MAX, ""),
    (ALONE, False, GPU, {"world_size": 8}, dataclasses.replace(MAX, cuda_graph=False), "8"),
    ({**RECORDED, "compile": False}, False, GPU, {}, Fast(tf32=None), "compile is off"),
    (RECORDED, False, GPU, {}, Fast(compile=True, cuda_graph=True), ""),
]


@pytest.mark.parametrize(("speed", "amp", "device", "more", "wanted", "said"), PRESETS)
def test_presets(speed, amp, device, more, wanted, said, monkeypatch):
    """Nothing runs on a GPU here."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    chosen, notes = resolve(speed, amp, device, **more)
    assert chosen == wanted
    assert len(notes) == bool(said)
    assert said in "".join(notes)


def test_what_a_processor_gets():
    auto, _ = resolve("auto", False, CPU)
    assert (auto.amp, auto.compile, auto.fused) == (None, False, True)
    assert resolve("max", False, CPU)[0].amp == ("bfloat16" if has_bfloat16() else None)
    assert optimizer_options(torch.optim.Adam, {}, auto, CPU) == {"fused": True}
    assert optimizer_options(torch.optim.Adam, {"foreach": True}, auto, CPU) == {}


def test_tf32_is_set_by_the_new_switches_and_put_back():
    """The older ones raise in a process that used the new ones."""
    places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    if not hasattr(places[0], "fp32_precision"):
        pytest.skip("torch before 2.9")
    before = [place.fp32_precision for place in places]
    for wanted, precision in ((True, "tf32"), (False, "ieee")):
        with torch_settings(Fast(tf32=wanted), False, GPU):
            assert [place.fp32_precision for place in places] == [precision] * 2
        assert [place.fp32_precision for place in places] == before


EVERYTHING = [
    "speed=dict(channels_last=True,fused=True)",
    "amp=bfloat16",
    "accumulate=2",
    "recompute=['body.*']",
    "optim_wrapper.clip_grad=dict(max_norm=1.0)",
    "deterministic=True",
]


def test_resume_is_bit_equal_with_every_part(train, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert train(*EVERYTHING, work_dir=whole, trace=tmp_path / "a.jsonl") == 0
    for stop in (5, 9):
        assert train(*EVERYTHING, f"max_iters={stop}", work_dir=resumed, resume="auto") == 0
    trace = tmp_path / "b.jsonl"
    assert train(*EVERYTHING, work_dir=resumed, resume="auto", trace=trace) == 0
    assert read_trace(trace) == read_trace(tmp_path / "a.jsonl")[9:]
    assert differences(whole / "iter_12.pth", resumed / "iter_12.pth") == []
    state = torch.load(whole / "iter_12.pth", weights_only=True)
    assert all(v.is_contiguous() for v in state["ema_state_dict"].values())
    assert not torch.are_deterministic_algorithms_enabled()  # put back


def test_a_plain_run_goes_on_as_a_fast_one(train, tmp_path):
    folder = tmp_path / "work"
    assert train("max_iters=6", "speed='off'") == 0
    trace = tmp_path / "trace.jsonl"
    assert train(resume="auto", trace=trace) == 0
    plain = tmp_path / "plain.jsonl"
    assert train("speed='off'", work_dir=tmp_path / "plain", trace=plain) == 0
    fast = [line["loss"] for line in read_trace(trace)]
    assert fast == pytest.approx([line["loss"] for line in read_trace(plain)][6:], rel=1e-4)
    groups = torch.load(folder / "iter_12.pth", weights_only=True)["optimizer"]["param_groups"]
    assert groups[0]["fused"] is True  # the run's choice, not the file's
