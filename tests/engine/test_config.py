"""A config is read once, completed from its top, and says at once what cannot work."""

from __future__ import annotations

import logging

import pytest
from mmengine.config import Config

from superres.cli.main import main
from superres.engine.config.check import check_config, scale_lr
from superres.engine.config.load import load_config, parse_options
from superres.errors import UserError

from .conftest import CONFIG, ROOT, read_trace

LEAVES = [p for p in sorted((ROOT / "configs").rglob("*.py")) if "_base_" not in p.parts]


@pytest.fixture
def config(tmp_path):
    def write(text, base=CONFIG):
        path = tmp_path / "mine.py"
        path.write_text(f"_base_ = {base!r}\n{text}\n" if base else text)
        return str(path)

    return write


def failing(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    """The one message of a command that must end with 2."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err.startswith("error: ")
    return captured.err


# -- what is written once reaches every part ----------------------------------------------------

OPTIONS = [
    *("scale=3", "data_root=elsewhere", "train_set=mine", "lq_patch_size=20"),
    *("num_workers=0", "max_iters=70"),
]


@pytest.mark.parametrize("saved", [False, True], ids=["as written", "as saved"])
def test_what_is_written_once_reaches_every_part(saved, config):
    path = config(
        "param_scheduler = [\n"
        "    dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=50),\n"
        "    dict(type='CosineAnnealingLR', by_epoch=False, begin=50),\n"
        "    dict(type='PolyLR', by_epoch=False),\n"
        "    dict(type='OneCycleLR', by_epoch=False, eta_max=1)]"
    )
    if saved:
        path = config(load_config(path).pretty_text, base=None)
    cfg = load_config(path, OPTIONS)
    dataset = cfg.train_dataloader.dataset
    assert (cfg.model.backbone.scale, dataset.scale) == (3, 3)
    assert (dataset.data_root, dataset.name) == ("elsewhere", "mine")
    assert (dataset.pipeline[0].lq_patch_size, cfg.train_dataloader.num_workers) == (20, 0)
    warm_up, cosine, poly, one_cycle = cfg.param_scheduler
    assert (warm_up.end, cosine.T_max, poly.end, one_cycle.total_steps) == (50, 20, 70, 70)
    if not saved:
        again = load_config(path, ["model.backbone.scale=4"])
        assert (again.model.backbone.scale, again.train_dataloader.dataset.scale) == (4, 2)


def test_a_degradation_reaches_training_and_validation():
    name = "edsr_x4c64b16_g1_300k_div2k-jpeg"
    cfg = load_config(name, ["degradation.steps.1.quality=[50,60]", "margin=9"])
    again = load_config(cfg, ["degradation.steps.1.quality=[70,80]"])
    for read, quality in ((cfg, [50, 60]), (again, [70, 80])):
        assert read.train_pipeline[1] == read.eval_dataset.make_lq == read.degradation
        assert read.degradation.steps[1].quality == quality
        assert read.train_dataloader.dataset.pipeline == read.train_pipeline
        assert read.train_pipeline[0].margin == 9


def test_only_what_a_class_declares_is_given_to_it(config, tmp_path, monkeypatch):
    (tmp_path / "plain_parts.py").write_text(
        "from superres.registry import DATASETS, MODELS\n"
        "@MODELS.register_module()\nclass NoScaleNet:\n    def __init__(self, width=1): ...\n"
        "@DATASETS.register_module()\nclass FolderOnly:\n    def __init__(self, data_root): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = config(
        "custom_imports = dict(imports=['plain_parts'])\n"
        "model = dict(backbone=dict(_delete_=True, type='NoScaleNet'))\n"
        "train_dataloader = dict(dataset=dict(_delete_=True, type='FolderOnly'))\n"
    )
    cfg = load_config(path)
    assert cfg.model.backbone == {"type": "NoScaleNet"}
    assert cfg.train_dataloader.dataset == {"type": "FolderOnly", "data_root": "data"}


def test_print_config_prints_a_config_that_loads_again(tmp_path, capsys):
    assert main(["print-config", CONFIG, "--cfg-options", "scale=3"]) == 0
    path = tmp_path / "printed.py"
    path.write_text(capsys.readouterr().out)
    assert load_config(str(path)).model.backbone.scale == 3


def test_references_are_told_what_to_write_instead(config):
    with pytest.raises(UserError, match=r"model\.backbone\.scale = '\$\{scale\}'.*Leave the key"):
        load_config(config("model = dict(backbone=dict(scale='${scale}'))"))


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "preset"), [("'max'", "max"), ("False", "off"), ("True", "auto")]
)
def test_a_part_of_a_preset_is_set_by_itself(whole, preset, config):
    path = config(f"speed = {whole}\n", base=None)
    cfg = load_config(path, ["speed.channels_last=False", "speed.compile=False"])
    assert cfg.speed == {"preset": preset, "channels_last": False, "compile": False}


def test_fast_is_an_older_name_of_speed(config):
    cfg = load_config(config("fast = 'max'\n"), ["fast.compile=False"])
    assert cfg.speed == {"preset": "max", "compile": False}
    assert "fast" not in cfg
    assert load_config(config(""), ["fast=off"]).speed == "off"


def test_options_in_mmengines_notation():
    assert parse_options(
        ["a.b=1", "c=[x,y]", "d=None", "e=(1,2)", "f=1e-4", "g=a=b", "h=[dict(a=1,b=x)]"]
    ) == {
        **{"a.b": 1, "c": ["x", "y"], "d": None, "e": (1, 2), "f": 1e-4, "g": "a=b"},
        "h": [{"a": 1, "b": "x"}],
    }
    with pytest.raises(UserError, match="KEY=VALUE"):
        parse_options(["nonsense"])
    with pytest.raises(UserError, match="Write quotes around"):
        parse_options(["train_set=[dict(gt=a/HR),dict(lq=a/LR)]"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("max_iter=3", "max_iters"),
        ("model.backbone.chanels=8", "channels"),
        ("scale.x=3", "no key 'x'"),
        ("optim_wrapper.optimizer.lr=abc", "optimizer.lr = 'abc' must be a number"),
        ("speed.channel_last=False", "did you mean channels_last"),
        ("model.backbone.scale=3", "disagrees with scale = 2"),
        ("scale=abc", "whole number"),
        ("model.backbone.type=EDRS", "EDSR"),
        ("save_best=valid/pnsr", "valid/psnr"),
        ("amp=half", "amp = 'half' must be False or True or 'bfloat16'"),
        ("train_pipeline=[x]", "pipeline.0 = 'x' must be a dict with a type"),
        ("ema=1.5", "between 0 and 1"),
        ("speed=fastest", "'auto', 'max', 'off'"),
        ("train_dataloader.dataset.cache_gib=-1", "a number of at least 0"),
        ("speed.fused=1", "speed.fused = 1"),
        ("recompute=['nothing.*']", "no module 'nothing.*'"),
        ("accumulate=3", "accumulate = 3"),
        ("optim_wrapper.accumulative_counts=2", "write accumulate = N"),
    ],
)
def test_options_that_cannot_work(option, words, options, tmp_path, capsys):
    arguments = ["train", CONFIG, "--work-dir", str(tmp_path), "--cfg-options", *options, option]
    assert words in failing(arguments, capsys)


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = (1,\nb = 2\n", "mine.py, line 1"),
        ("a = 1\nb = undefined_name\n", "mine.py, line 2"),
        ("_base_ = './missing.py'\n", "missing.py"),
        ("_base_ = './mine.py'\n", "mine.py inherits from itself"),
        ("scale = 2\n", "'model'"),
        ("", "'model'"),
    ],
)
def test_configs_that_cannot_be_read(text, words, config, capsys):
    assert words in failing(["train", config(text, base=None)], capsys)


def test_an_error_in_a_base_file_names_that_file(config, tmp_path, capsys):
    (tmp_path / "base.py").write_text("x = 1\ny = [1, 2\nz = 3\n")
    assert "base.py, line 2" in failing(["train", config("scale = 2", "./base.py")], capsys)


def test_config_names(tmp_path, capsys):
    assert load_config("edsr_x4c64b16_g1_300k_div2k").scale == 4
    message = failing(["train", "edsr_x4c64b16_g1_300k_div2"], capsys)
    assert "edsr_x4c64b16_g1_300k_div2k" in message
    assert "is a folder" in failing(["train", str(tmp_path)], capsys)
    (tmp_path / "README.md").write_text("# Not a config")
    assert "expected .py" in failing(["train", str(tmp_path / "README.md")], capsys)


def test_missing_sets_name_the_command_that_makes_them(train, tmp_path, capsys):
    arguments = ["train", CONFIG, "--work-dir", str(tmp_path / "w"), "--cfg-options"]
    message = failing([*arguments, f"data_root={tmp_path}"], capsys)
    assert "DIV2K_train" in message
    assert f"superres data prepare div2k --root ARCHIVES --out {tmp_path}" in message
    (tmp_path / "empty").mkdir()
    message = failing([*arguments, f"train_set={tmp_path}/empty"], capsys)
    assert "holds no images" in message
    # An optional one may be missing.
    assert train("max_iters=1", "test_sets=[nowhere?]") == 0
    assert "nowhere: left out" in capsys.readouterr().out
    assert train("max_iters=1", "test_sets=[nowhere]") == 2


# -- keys that nothing reads --------------------------------------------------------------------


def test_a_slip_is_an_error_that_names_the_near_key(config):
    for slip, meant in (("max_itres = 5", "max_iters"), ("scal = 3", "scale")):
        key = slip.split(" = ")[0]
        with pytest.raises(UserError, match=rf"mine\.py: nothing reads its key '{key}'.*{meant}"):
            load_config(config(slip))


@pytest.mark.parametrize(
    "text",
    [
        "train_sets = ['a']\ntest_sets = train_sets",
        "_max_itres = 5",
        "import math\nmax_iters = math.ceil(3.5)",
        "optimizer = dict(type='SGD')\noptim_wrapper = dict(optimizer=optimizer)",
    ],
)
def test_a_value_of_ones_own_is_no_slip(config, text, caplog):
    with caplog.at_level(logging.WARNING):
        load_config(config(text))
    assert not caplog.records


def test_a_key_like_no_other_is_told(config, caplog):
    cfg = load_config(config("weather = dict()\nhalf = 5\nscal = 2 * half\nmax_iters = scal"))
    assert "nothing reads its key 'weather'" in caplog.text
    with pytest.raises(UserError, match="only the config's own Python code uses 'half'"):
        load_config(config("half = 5\nmax_iters = 2 * half"), ["half=6"])
    # What a run saves has lost the code; only what looks like a slip is told.
    caplog.clear()
    assert load_config(config(cfg.pretty_text, base=None)).max_iters == 10
    assert [r.getMessage().split("key ")[1] for r in caplog.records] == ["'scal'"]


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_every_leaf_states_its_keys(path, caplog):
    cfg = load_config(str(path))
    stated = {"scale", "max_iters", "global_batch_size", "num_workers", "data_root", "train_set"}
    assert stated | {"test_sets", "val_interval", "checkpoint_interval", "seed"} <= cfg.keys()
    assert not caplog.records


@pytest.mark.parametrize(
    ("argument", "words"),
    [("rgb_mean=0.5", "EDSR: 'float' object"), ("channels=10**9", "EDSR: Storage size")],
)
def test_a_backbone_that_cannot_be(config, argument, words):
    cfg = load_config(config(f"model = dict(backbone=dict({argument}))"))
    with pytest.raises(UserError, match=rf"config: model\.backbone.*{words}"):
        check_config(cfg)


# -- the learning rate goes with the batch ------------------------------------------------------


def test_the_linear_rule():
    assert scale_lr(load_config(CONFIG, ["global_batch_size=64"])) == ""
    cfg = load_config(CONFIG, ["global_batch_size=64", "auto_scale_lr.enable=True"])
    line = scale_lr(cfg)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(4e-4)
    assert "4 times the base batch 16" in line
    assert "0.0001 becomes 0.0004" in line
    with pytest.raises(UserError, match="base_batch_size = 0"):
        scale_lr(load_config(CONFIG, {"auto_scale_lr": {"enable": True, "base_batch_size": 0}}))
    # What is saved of it does not scale again.
    again = Config(cfg._cfg_dict.to_dict())
    assert scale_lr(again) == ""
    assert again.optim_wrapper.optimizer.lr == pytest.approx(4e-4)


def test_a_scaled_rate_is_said_and_goes_on_unchanged(train, tmp_path, capsys):
    scaled = ["auto_scale_lr.enable=True", "auto_scale_lr.base_batch_size=2"]
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert train(*scaled, work_dir=tmp_path / "whole", trace=whole) == 0
    assert "learning rate 0.001 becomes 0.002" in capsys.readouterr().out
    assert read_trace(whole)[0]["lr"] == pytest.approx(0.002)
    assert train(*scaled, "max_iters=6", work_dir=tmp_path / "parts", trace=parts) == 0
    capsys.readouterr()
    assert train(*scaled, work_dir=tmp_path / "parts", resume="auto", trace=parts) == 0
    assert "differs from the checkpoint's" not in capsys.readouterr().out
    assert read_trace(parts) == read_trace(whole)
