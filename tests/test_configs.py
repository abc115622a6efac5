"""Every config in the repository: it loads, it builds, it trains."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from superres.cli.main import main
from superres.engine.config.check import check_config
from superres.engine.config.load import load_config
from superres.engine.config.values import scales_of, to_plain
from superres.imaging.io import write_image
from superres.registry import MODELS
from tests.engine.conftest import picture

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted(p for p in (ROOT / "configs").rglob("*.py") if "_base_" not in p.parts)
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)

# A network of each kind that is trained in no time.
SMALL = {
    "EDSR": ["channels=16", "num_blocks=1"],
    "MDSR": ["channels=16", "num_blocks=1"],
    "DRLN": ["channels=4"],
    "RCAN": ["channels=16", "num_groups=1", "num_blocks=1"],
    "SRResNet": ["channels=8", "num_blocks=1"],
    "MSRResNet": ["channels=8", "num_blocks=1"],
    "SRCNNAblation": ["channels=8"],
    "SRCNN": [],
    "VDSR": ["channels=8"],
    "RRDBNet": ["channels=8", "num_blocks=1", "growth=4"],
}


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("world")
    for folder, seeds in (("train", range(2)), ("valid", (10,))):
        (root / folder).mkdir()
        for seed in seeds:
            write_image(root / folder / f"p{seed}.png", picture(seed))
    return [
        f"data_root={root}",
        "train_set=train",
        "val_sets=[valid]",
        "test_sets=[]",
        "lq_patch_size=8",
        "global_batch_size=2",
        "num_workers=0",
        "max_iters=2",
        "tensorboard=False",
    ]


@functools.cache
def load(path):
    """Read once: none of the tests changes it."""
    return load_config(str(path))


def train(path, options, work_dir):
    """Two iterations and a validation; the log's lines."""
    code = main(["train", str(path), "--work-dir", str(work_dir), "--cfg-options", *options])
    assert code == 0
    assert (work_dir / "iter_2.pth").is_file()
    lines = [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]
    shutil.rmtree(work_dir)
    (training,) = (line for line in lines if line["mode"] == "train")
    assert training["iter"] == 2
    assert 0 < training["loss"] < 1e6
    (validation,) = (line for line in lines if line["mode"] == "val")
    return validation["results"]


def without_downloads(cfg):
    """Options that leave a perceptual loss's VGG random."""
    losses = (
        {"model.loss": cfg.model.loss}
        if "type" in cfg.model.loss
        else {f"model.loss.{key}": loss for key, loss in cfg.model.loss.items()}
    )
    found = [f"{key}.weights=None" for key, loss in losses.items() if loss.type == "PerceptualLoss"]
    follows = "patch" in cfg.model.get("discriminator", ())
    return [*found, *["model.discriminator.patch=32"] * follows]


def backbone_options(path, settings):
    return [f"model.backbone.{setting}" for setting in settings]


@EACH
def test_loads_and_builds(path):
    cfg = load(path)
    check_config(cfg)
    with torch.device("meta"):
        network = MODELS.build(to_plain(cfg.model)["backbone"])
    assert list(getattr(network, "scales", [network.scale])) == scales_of(cfg)
    assert load_config(path.stem).filename == str(path)  # by its bare name
    if path.parent.name != "quickstart":
        text = path.read_text()
        assert 3 <= len(text.splitlines()) <= 24
        leaf = "_base_ = './" in text  # a variation of another config has its scale
        assert text.count("\nscale = ") in ((0, 1) if leaf else (1,))  # written once
        assert f"x{scales_of(cfg)[0]}" in path.stem


def quick_and_slow():
    """The first config of each recipe is tried in every run, its other scales in slow ones."""
    seen = {("drln", "div2k"), ("drln-superimage", "div2k")}  # for them stands drln-bam
    for path in PATHS:
        recipe = (path.stem.split("_")[0], path.stem.split("_")[-1])  # method and data
        yield pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if recipe in seen else [])
        seen.add(recipe)


@pytest.mark.parametrize("path", list(quick_and_slow()))
def test_trains(path, options, tmp_path):
    cfg = load(path)
    extra = without_downloads(cfg)
    if "patch" in cfg.model.get("discriminator", {}):
        extra += ["model.discriminator.patch=32"]  # four times lq_patch_size
    small = backbone_options(path, SMALL[cfg.model.backbone.type])
    results = train(path, [*options, *extra, *small], tmp_path / "work")
    assert [r["scale"] for r in results] == scales_of(cfg)


def heavy_ones():
    """One config for each different network, so that sizes are tried once."""
    chosen = {}
    for path in PATHS:
        backbone = to_plain(load(path).model)["backbone"]
        backbone.pop("scale", None)
        backbone.pop("scales", None)
        chosen.setdefault(json.dumps(backbone, sort_keys=True), path)
    return sorted(chosen.values())


@pytest.mark.slow
@pytest.mark.parametrize("path", heavy_ones(), ids=lambda p: p.stem)
def test_trains_at_its_own_size(path, options, tmp_path):
    extra = without_downloads(load(path))
    train(path, [*options, *extra, "global_batch_size=1"], tmp_path / "work")


def test_names_say_what_the_configs_hold():
    for path in PATHS:
        cfg = load(path)
        parts = path.stem.split("_")
        if path.parent.name == "quickstart":
            continue
        length = int(parts[-2].removesuffix("k")) * 1000
        assert abs(length - cfg.max_iters) < 1000, path
        backbone = cfg.model.backbone
        expected = f"c{backbone.channels}b{backbone.get('num_blocks', 20)}"
        if backbone.type == "RCAN":
            expected = f"c{backbone.channels}g{backbone.num_groups}b{backbone.num_blocks}"
        elif backbone.type == "SRCNN":
            expected = "k" + "".join(map(str, backbone.kernel_sizes))
        elif backbone.type == "VDSR":
            expected = f"c{backbone.channels}b{backbone.num_layers}"
        assert parts[1].endswith(expected), (path, expected)


@pytest.mark.parametrize(
    ("name", "lrs"),
    [
        ("edsr_x2c64b16_g1_300k_div2k", {0: 1e-4, 199_999: 1e-4, 200_001: 5e-5, 299_999: 5e-5}),
        ("mdsr_x2x3x4c64b16_g1_650k_div2k", {0: 1e-4, 200_001: 5e-5, 649_999: 5e-5}),
        ("edsr-superimage_x4c64b16_g1_250k_div2k", {199_999: 1e-4, 200_001: 1e-5, 249_999: 1e-5}),
        ("ablation-task1_x2c64b1_g1_604k_div2k", {402_599: 1e-4, 402_601: 5e-5}),
        ("ablation-task4_x2c32b6_g1_302k_div2k", {201_199: 1e-4, 201_201: 5e-5}),
        ("rcan_x2c64g10b20_g1_1000k_div2k", {199_999: 1e-4, 200_001: 5e-5, 800_001: 6.25e-6}),
        ("drln_x4c64b20_g1_3000k_div2k", {199_999: 1e-4, 400_001: 2.5e-5}),
        (
            "msrresnet_x4c64b16_g1_1000k_div2k",
            {0: 2e-4, 125_000: 1.0005e-4, 249_999: 1e-7, 250_000: 2e-4},
        ),
        ("vdsr_x2c64b20_g1_80k_291", {0: 0.1, 20_001: 0.01, 79_999: 1e-4}),
    ],
)
def test_learning_rates_of_the_published_schedules(name, lrs):
    from mmengine.registry import PARAM_SCHEDULERS

    cfg = load_config(name)
    lr = to_plain(cfg.optim_wrapper)["optimizer"]["lr"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedulers = [
        PARAM_SCHEDULERS.build(
            {**to_plain(s), "verbose": False}, default_args={"optimizer": optimizer}
        )
        for s in cfg.param_scheduler
    ]
    found = {}
    for iteration in range(cfg.max_iters):
        if iteration in lrs:
            found[iteration] = optimizer.param_groups[0]["lr"]
        if iteration >= max(lrs):
            break
        for scheduler in schedulers:
            scheduler.step()
    assert found == pytest.approx(lrs, rel=1e-3)


def deep(seed: int) -> np.ndarray:
    """An image of 16 bits per channel whose low bytes are no multiple of its high ones."""
    noise = np.random.default_rng(seed).uniform(-128, 128, (64, 72, 3))
    return np.clip(picture(seed) * 257.0 + noise, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("name", "make", "dtype", "shape"),
    [
        ("edsr-grey_x2c64b16_g1_300k_div2k", lambda s: picture(s)[..., :1], np.uint8, (64, 72)),
        ("edsr-grey_x2c64b16_g1_300k_div2k", picture, np.uint8, (64, 72)),
        ("edsr-16bit_x2c64b16_g1_300k_div2k", deep, np.uint16, (64, 72, 3)),
    ],
    ids=["grey images", "luma of colour images", "16 bit"],
)
def test_grey_and_deep_pictures_train_and_test(name, make, dtype, shape, options, tmp_path):
    for folder, seeds in (("train", range(2)), ("valid", (10,))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            write_image(tmp_path / folder / f"p{seed}.png", make(seed))
    options = [*options, f"data_root={tmp_path}", *backbone_options(name, SMALL["EDSR"])]
    options += ["max_iters=25", "optim_wrapper.optimizer.lr=0.002", "lq_patch_size=16"]
    work = tmp_path / "work"
    assert main(["train", name, "--work-dir", str(work), "--cfg-options", *options]) == 0
    test = ["test", name, str(work / "iter_25.pth"), "--out", str(tmp_path / "out")]
    assert main([*test, "--save-images", "--cfg-options", *options]) == 0
    saved = cv2.imread(str(tmp_path / "out/images/valid/x2/p10.png"), cv2.IMREAD_UNCHANGED)
    assert saved.dtype == dtype
    assert saved.shape == shape
    if dtype == np.uint16:
        assert len(np.unique(saved % 257)) > 200  # not a multiple of 8-bit levels
    # Range and channels were right all the way: what it has learnt looks like the image.
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["results"][0]["psnr"] > 18


def test_every_method_has_its_readme():
    folders = {path.parent.name for path in (ROOT / "configs").glob("*/README.md")}
    assert folders == {p.parent.name for p in PATHS} - {"quickstart"}
