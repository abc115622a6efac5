"""One weight file, one result: superres upscale, load_model(...).upscale and superres test."""

from __future__ import annotations

import copyreg
import importlib.util
import json
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

import superres
from superres.checkpoints import save_safetensors
from superres.cli.main import main
from superres.errors import UserError
from superres.imaging.io import read_image, write_image
from superres.imaging.resize import imresize
from superres.models.backbones.srcnn import SRCNN
from superres.models.backbones.srcnn_ablation import SRCNNAblation
from superres.models.backbones.vdsr import VDSR

from ..engine.conftest import picture

VDSR_RGB = {"in_channels": 3, "out_channels": 3, "bias": True}
IN_255 = {"img_range": 255.0, "rgb_mean": (0.4488, 0.4371, 0.404)}
BEFORE = {"channels": 8, "num_blocks": 6, "upsample": "before"}
ROW_1 = {**BEFORE, "num_blocks": 1, "global_skip": False}
ROW_5 = {"channels": 8, "num_blocks": 7, "batch_norm": True}
SMALL = {"channels": (8, 6)}
FLAT = {"num_layers": 4, "channels": 8}
SRCNN_CONFIG, VDSR_CONFIG = "srcnn_x2k915_g1_1000k_div2k", "vdsr_x2c64b20_g1_80k_291"
TASK_1 = "ablation-task1_x2c64b1_g1_604k_div2k"
TASK_3 = "ablation-task3_x2c64b6_g1_604k_div2k"
TASK_5 = "ablation-task5_x2c64b7_g1_302k_div2k"

# Format, network and its arguments, --format where keys alone cannot tell, a config of that kind.
FILES = {
    "mmediting": ("SRCNN", SMALL, None, SRCNN_CONFIG),
    "twtygqyy": ("VDSR", FLAT, None, VDSR_CONFIG),
    "edsr-pytorch": ("VDSR", {**FLAT, **IN_255, **VDSR_RGB}, None, VDSR_CONFIG),
    "authierj-task1": ("SRCNNAblation", ROW_1, "authierj-task1", TASK_1),
    "authierj task 3": ("SRCNNAblation", BEFORE, None, TASK_3),
    "authierj task 5": ("SRCNNAblation", ROW_5, None, TASK_5),
    "superres": ("SRCNN", SMALL, None, SRCNN_CONFIG),
    "superres, stored at x1": ("VDSR", {**FLAT, "scale": 1}, None, VDSR_CONFIG),
}
NETWORKS = {x.__name__: x for x in (SRCNN, VDSR, SRCNNAblation)}
ASKED = [name for name in FILES if "task 5" not in name and name[:3] != "sup"]
"""Files that do not tell their scale."""


@pytest.fixture(autouse=True)
def _quiet(one_thread):
    """For all tests here."""


@pytest.fixture
def pairs(tmp_path):
    """``set(channels)``: a set of two images, HR and LR, as files; gives its folder."""

    def make(channels):
        root = tmp_path / "pairs"
        for name, seed in (("a", 30), ("b", 31)):
            hr = picture(seed, 64, 72)[..., :channels]
            for folder, image in (("HR", hr), ("LR_bicubic/X2", imresize(hr, scale=1 / 2))):
                (root / folder).mkdir(parents=True, exist_ok=True)
                write_image(root / folder / f"{name}.png", image)
        return root

    return make


def carrying(kind, options):
    """A small network whose output looks like its input, with all its weights in play."""
    torch.manual_seed(0)
    network = NETWORKS[kind](**{"scale": 2, **options}).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.dirac_(module.weight)
                module.weight += 0.03 * torch.randn_like(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.05)
                module.running_var.uniform_(0.7, 1.3)
        if kind == "VDSR" or (kind == "SRCNNAblation" and options.get("global_skip", True)):
            network.conv_last.weight *= 0.2  # its input is added
    return network


def written(name, folder):
    """The file of an entry of FILES."""
    kind, options, _, _ = FILES[name]
    own = folder / "own.safetensors"
    config = {"type": kind, "scale": 2, **options}
    save_safetensors(own, carrying(kind, options), config)
    if name.startswith("superres"):
        return own
    file = folder / "weights.pth"
    assert main(["convert", str(own), str(file), "--to", name.split(" ")[0], "--scale", "2"]) == 0
    return file


def config_options(options):
    """The config of a network of that size; of RGB, where the config is of luma."""
    sizes = [f"model.backbone.{k}={v!r}" for k, v in options.items() if k != "scale"]
    channels = "rgb" if options.get("in_channels") == 3 else None
    keys = ("train_dataloader.dataset.channels", "eval_dataset.channels")
    return [
        *(text.replace(" ", "") for text in sizes),
        *(f"{k}={channels}" for k in keys if channels),
    ]


def everywhere(file, folder, format, config, options, out):
    """Name -> result, by each of the three ways."""
    found = {}
    lq = sorted((folder / "LR_bicubic/X2").glob("*.png"))
    model = superres.load_model(file, scale=2, format=format, device="cpu")
    for path in lq:
        found[path.stem] = [model.upscale(read_image(path, channels="unchanged"), backend="torch")]
    arguments = ["upscale", str(lq[0].parent), "-o", str(out / "up"), "--model", str(file)]
    arguments += ["--weights-format", format] if format else []
    assert main([*arguments, "--scale", "2", "--backend", "torch"]) == 0
    arguments = ["test", *([config] if config else []), str(file), "--sets", str(folder)]
    arguments += [] if config else ["--scale", "2"]
    arguments += ["--format", format] if format else []
    arguments += ["--out", str(out / "test"), "--save-images"]
    arguments += ["--cfg-options", *options] if options else []
    assert main(arguments) == 0
    record = json.loads((out / "test/results.json").read_text())
    assert all(image["psnr"] is not None for e in record["results"] for image in e["images"])
    for name, results in found.items():
        results.append(read_image(out / "up" / f"{name}.png", channels="unchanged"))
        saved = out / "test/images/pairs/x2" / f"{name}.png"
        results.append(read_image(saved, channels="unchanged"))
    assert len(found) == 2
    return found


def assert_equal(found, spread=15):
    """All the same: a float that lies on a half may round either way."""
    for by_api, by_command, by_test in found.values():
        assert by_api.std() >= spread
        assert (by_api == by_command).all()
        difference = np.abs(by_api.astype(int) - by_test)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("name", [name for name in FILES if name != "twtygqyy"])
def test_three_ways_to_one_result(name, pairs, tmp_path):
    kind, options, format, config = FILES[name]
    file = written(name, tmp_path)
    folder = pairs(options.get("in_channels", 1 if kind == "VDSR" else 3))
    found = everywhere(file, folder, format, config, config_options(options), tmp_path)
    assert_equal(found)
    with torch.no_grad():
        for path in (folder / "LR_bicubic/X2").glob("*.png"):
            lq = read_image(path, channels="unchanged")
            x = torch.from_numpy(lq).permute(2, 0, 1)[None].float() / 255
            network = carrying(kind, {**options, "scale": 2})
            expected = network(x)[0].permute(1, 2, 0).clamp(0, 1).mul(255).numpy()
            assert np.abs(found[path.stem][0] - expected).max() < 0.51


class Layer(nn.Module):
    """Of `Net`."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)

    def forward(self, x):
        return self.conv(x).relu()


class Net(nn.Module):
    """VDSR as twtygqyy's program has it, narrow; its files are this object, pickled."""

    def __init__(self):
        super().__init__()
        self.residual_layer = nn.Sequential(Layer(), Layer())
        self.input = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.output = nn.Conv2d(8, 1, 3, padding=1, bias=False)

    def forward(self, x):
        return self.output(self.residual_layer(self.input(x).relu())) + x


class Copied(nn.Module):
    """SRCNN as yjn870's program has it, narrow."""

    def __init__(self, middle):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 9, padding=4)
        self.conv2 = nn.Conv2d(8, 6, middle, padding=middle // 2)
        self.conv3 = nn.Conv2d(6, 1, 5, padding=2)

    def forward(self, x):
        return self.conv3(self.conv2(self.conv1(x).relu()).relu())


def published(network, lq, scale):
    """(h, w, 3) uint8 by a program of MATLAB's: rgb2ycbcr, imresize, the network on Y alone."""
    to_ycbcr = [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]
    offset = np.array([16.0, 128.0, 128.0])
    large = imresize(lq / 255 @ np.transpose(to_ycbcr) + offset, scale=scale)
    with torch.no_grad():
        y = network(torch.from_numpy(large[None, None, ..., 0] / 255).float())
    large[..., 0] = y[0, 0].clamp(0, 1).numpy() * 255
    return ((large - offset) @ np.linalg.inv(to_ycbcr).T).clip(0, 1) * 255


@pytest.mark.parametrize("kind", ["vdsr pickled", "vdsr of PyTorch 0.3", "vdsr", "915", "955"])
def test_published_networks_on_luma_equal_their_programs(kind, pairs, tmp_path, monkeypatch):
    torch.manual_seed(1)
    network = Net() if "vdsr" in kind else Copied(int(kind[1]))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(std=0.05)
            if name.startswith("conv") and "weight" in name:  # SRCNN has no skip
                parameter += nn.init.dirac_(torch.empty_like(parameter))
    file, tree = tmp_path / "net.pth", network.state_dict()
    if "vdsr " in kind:
        tree = {"epoch": 50, "model": network}
    if "0.3" in kind:  # parameters by their data alone, and a call in each module
        old = types.ModuleType("torch.nn.backends.thnn")
        old._get_thnn_function_backend = lambda: None
        old._get_thnn_function_backend.__module__ = old.__name__
        old._get_thnn_function_backend.__qualname__ = "_get_thnn_function_backend"
        monkeypatch.setitem(sys.modules, "torch.nn.backends", old)
        monkeypatch.setitem(sys.modules, old.__name__, old)
        backend = type("Backend", (), {})()
        copyreg.pickle(type(backend), lambda _: (old._get_thnn_function_backend, ()))
        for module in network.modules():
            module._backend = backend
        reduce = lambda self, _: (nn.Parameter, (self.data,), (True, False, {}))  # noqa: E731
        monkeypatch.setattr(nn.Parameter, "__reduce_ex__", reduce)
    torch.save(tree, file, _use_new_zipfile_serialization="0.3" not in kind)
    monkeypatch.undo()
    for name in ("Net", "Layer"):
        monkeypatch.delattr(sys.modules[__name__], name)
    folder = pairs(3)
    found = everywhere(file, folder, None, None, [], tmp_path)
    assert_equal(found)
    x = torch.rand(1, 1, 9, 8)
    with torch.no_grad():
        assert torch.allclose(superres.load_model(file, 1, device="cpu")(x), network(x), atol=1e-6)
    own = superres.checkpoints.convert(file, tmp_path / "own.safetensors", scale=2).path
    for path in (folder / "LR_bicubic/X2").glob("*.png"):
        lq = read_image(path)
        expected = published(network, lq, 2)
        assert np.abs(found[path.stem][0] - expected).max() < 0.51
        assert np.abs(superres.upscale(lq, own, backend="onnxruntime") - expected).max() < 0.51
        onnx = tmp_path / "net.onnx"
        assert main(["export", "onnx", str(own), str(onnx), "--overwrite"]) == 0
        assert np.abs(superres.upscale(lq, str(onnx)) - expected).max() < 0.51
        grey = superres.upscale(lq[..., :1], own)  # as an image of three equal channels
        assert np.abs(grey - published(network, lq[..., [0, 0, 0]], 2)).max() < 0.51


@pytest.mark.parametrize("name", ASKED)
def test_a_scale_that_the_file_does_not_tell_is_asked_for(name, pairs, tmp_path, capsys):
    _, _, format, _ = FILES[name]
    file = str(written(name, tmp_path))
    source = str(pairs(3) / "HR/a.png")
    option = ["--weights-format" if "upscale" else "", format] if format else []
    by_name = ["--format", format] if format else []
    target = str(tmp_path / "o.safetensors")
    for arguments in (
        ["upscale", source, "--model", file, *option],
        ["convert", file, target, *by_name],
        ["export", "safetensors", file, target, *by_name],
        ["models", "info", file, *by_name],
    ):
        capsys.readouterr()
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "scale=2 (--scale 2)" in error
        assert error.count("\n") == 1
    with pytest.raises(UserError, match=r"--scale 2"):
        superres.load_model(file, format=format)
    for scale in (2, 3):
        assert main(["convert", file, target, *by_name, "--scale", f"x{scale}", "--force"]) == 0
        assert superres.load_model(target).scale == scale
        assert main(["models", "info", file, *by_name, "--scale", f"{scale}x"]) == 0
    assert main(["export", "safetensors", file, target, *by_name, "--scale", "2"]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*ASKED, "superres, stored at x1"])
def test_trainings_start_from_such_files(name, pairs, tmp_path, capsys):
    kind, options, format, config = FILES[name]
    file = written(name, tmp_path)
    pairs(3)
    arguments = ["train", config, "--work-dir", str(tmp_path / "work")]
    arguments += ["--cfg-options", *config_options(options), f"load_from={file}"]
    arguments += [f"load_format={format}"] if format else []
    arguments += [f"data_root={tmp_path}", "train_set=pairs", "val_sets=[pairs]", "test_sets=[]"]
    arguments += ["max_iters=1", "lq_patch_size=12", "global_batch_size=2", "num_workers=0"]
    arguments += ["tensorboard=False", "optim_wrapper.optimizer.lr=0"]
    assert main(arguments) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "copied" in said
    trained = superres.load_model(tmp_path / "work/best.pth", device="cpu")
    source = carrying(kind, {**options, "scale": 2}).state_dict()
    for key, value in trained.state_dict().items():
        assert torch.allclose(value, source[key], atol=1e-6), key


def test_a_file_named_after_another_scale(pairs, tmp_path, capsys):
    file = written("mmediting", tmp_path).rename(tmp_path / "srcnn_x4k915_1x16_1000k.pth")
    with pytest.raises(UserError, match=r"scale=4 \(--scale 4\)"):
        superres.load_model(file)
    _, options, format, config = FILES["mmediting"]
    everywhere(file, pairs(3), format, config, config_options(options), tmp_path)
    said = capsys.readouterr().out
    assert "the name of the weights says x4" in said
    assert "its name says x4)" in said


PUBLISHED = {
    "mmagic/srcnn_915_x2": (SRCNN_CONFIG, None, []),
    "twtygqyy/vdsr_y": (VDSR_CONFIG, None, []),
    "edsr_pytorch/vdsr_r20f64": (VDSR_CONFIG, None, config_options(VDSR_RGB)),
    "lornatang/srresnet_bn_x2": ("srresnet_x2c64b16_g1_300k_div2k", None, []),
    "edsr_pytorch/rcan_g10b4_x2": ("ablation-task10_x2c64g10b4_g1_604k_div2k", "edsr-pytorch", []),
    "authierj/task1_x2": (TASK_1, "authierj-task1", []),
    "authierj/task2_x2": ("ablation-task2_x2c64b1_g1_604k_div2k", "authierj-task2", []),
    "authierj/task3_x2": (TASK_3, None, []),
    "authierj/task4_x2": ("ablation-task4_x2c32b6_g1_302k_div2k", None, []),
    "authierj/task5_x2": (TASK_5, None, []),
    "authierj/task6_x2": ("ablation-task6_x2c64b6_g1_604k_div2k", None, []),
    "authierj/task7_leaky_x2": ("ablation-task7-lrelu_x2c64b6_g1_604k_div2k", None, []),
    "authierj/task7_prelu_shared_x2": ("ablation-task7-prelu_x2c64b6_g1_604k_div2k", None, []),
    "authierj/task8_depth16_x2": ("ablation-task8-depth16_x2c64b15_g1_302k_div2k", None, []),
    "authierj/task8_width96_x2": ("ablation-task8-width96_x2c96b7_g1_302k_div2k", None, []),
    "authierj/task9_task11_x2": ("ablation-task9_x2c64b7_g1_302k_div2k", None, []),
}
"""Weights of the published sizes and names, and the config that comes with superres for each."""


@pytest.mark.reference
@pytest.mark.parametrize("net", PUBLISHED)
def test_published_sizes_with_the_configs_as_they_are(net, pairs, reference_dir, tmp_path):
    golden = reference_dir / "golden"
    spec = importlib.util.spec_from_file_location("golden_fill", golden / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    meta = json.loads((golden / f"nets/{net}.json").read_text())
    file = tmp_path / "weights.pth"
    torch.save({k: torch.from_numpy(v) for k, v in fill.state(meta, "hash").items()}, file)
    config, format, options = PUBLISHED[net]
    folder = pairs(1 if net.endswith("vdsr_y") else 3)
    assert_equal(everywhere(file, folder, format, config, options, tmp_path), spread=0)
