"""A config that cannot work says so at once, in one message."""

from __future__ import annotations

import pytest

from superres.cli.main import main
from superres.engine.config.load import load_config, parse_options
from superres.errors import UserError

from .conftest import CONFIG, ROOT


def failing(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    """The one message of a command that must end with 2."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err.startswith("error: ")
    return captured.err


def test_the_scale_is_written_once_and_reaches_everything():
    cfg = load_config(CONFIG, ["scale=3"])
    assert cfg.model.backbone.scale == 3
    assert cfg.train_dataloader.dataset.scale == 3
    assert load_config(CONFIG).model.backbone.scale == 2


@pytest.mark.parametrize(
    ("whole", "preset"), [("'max'", "max"), ("False", "off"), ("True", "auto")]
)
def test_a_part_of_a_preset_is_set_by_itself(whole, preset, tmp_path):
    path = tmp_path / "c.py"
    path.write_text(f"fast = {whole}\n")
    cfg = load_config(str(path), ["fast.channels_last=False", "fast.compile=False"])
    assert cfg.fast == {"preset": preset, "channels_last": False, "compile": False}


def test_configs_with_references_are_still_read(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(
        "scale = 2\nroot = 'data'\nsizes = [1, 2]\n"
        "a = '${scale}'\nb = '${root}/x${scale}'\nc = dict(d='${sizes}', e='${inner.f}')\n"
        "inner = dict(f=0.5)\nnum_workers = 3\n"
        "train_dataloader = dict(num_workers='${num_workers}')"
    )
    cfg = load_config(str(path), ["num_workers=1"])
    assert (cfg.a, cfg.b, list(cfg.c.d), cfg.c.e) == (2, "data/x2", [1, 2], 0.5)
    assert cfg.train_dataloader.num_workers == 1
    for text, words in (
        ("a = '${scal}'\nscale = 2", "scale"),
        ("a = '${b}'\nb = '${a}'", "itself"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            load_config(str(path))


OPTIONS = [
    "scale=3",
    "data_root=elsewhere",
    "train_set=mine",
    "lq_patch_size=20",
    "num_workers=0",
    "max_iters=70",
]


@pytest.mark.parametrize("saved", [False, True], ids=["as written", "as saved"])
def test_what_is_written_once_reaches_every_part(saved, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        f"_base_ = '{CONFIG}'\nparam_scheduler = [\n"
        "    dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=50),\n"
        "    dict(type='CosineAnnealingLR', by_epoch=False, begin=50),\n"
        "    dict(type='PolyLR', by_epoch=False),\n"
        "    dict(type='OneCycleLR', by_epoch=False, eta_max=1)]"
    )
    if saved:
        path.write_text(load_config(str(path)).pretty_text)
    cfg = load_config(str(path), OPTIONS)
    dataset = cfg.train_dataloader.dataset
    assert (cfg.model.backbone.scale, dataset.scale) == (3, 3)
    assert (dataset.data_root, dataset.name) == ("elsewhere", "mine")
    assert (dataset.pipeline[0].lq_patch_size, cfg.train_dataloader.num_workers) == (20, 0)
    warm_up, cosine, poly, one_cycle = cfg.param_scheduler
    assert (warm_up.end, cosine.T_max, poly.end, one_cycle.total_steps) == (50, 20, 70, 70)
    if not saved:
        again = load_config(str(path), ["model.backbone.scale=4"])
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


def test_only_what_a_class_declares_is_given_to_it(tmp_path, monkeypatch):
    (tmp_path / "plain_parts.py").write_text(
        "from superres.registry import DATASETS, MODELS\n"
        "@MODELS.register_module()\nclass NoScaleNet:\n    def __init__(self, width=1): ...\n"
        "@DATASETS.register_module()\nclass FolderOnly:\n    def __init__(self, data_root): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "c.py"
    path.write_text(
        f"_base_ = '{CONFIG}'\ncustom_imports = dict(imports=['plain_parts'])\n"
        "model = dict(backbone=dict(_delete_=True, type='NoScaleNet'))\n"
        "train_dataloader = dict(dataset=dict(_delete_=True, type='FolderOnly'))\n"
    )
    cfg = load_config(str(path))
    assert cfg.model.backbone == {"type": "NoScaleNet"}
    assert cfg.train_dataloader.dataset == {"type": "FolderOnly", "data_root": "data"}


def test_what_python_code_has_used_up_is_no_option(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(f"_base_ = '{CONFIG}'\nhalf = 5\nmax_iters = 2 * half\n")
    with pytest.raises(UserError, match="only the config's own Python code uses 'half'"):
        load_config(str(path), ["half=6"])


def test_options_in_mmengines_notation():
    assert parse_options(
        ["a.b=1", "c=[x,y]", "d=None", "e=(1,2)", "f=1e-4", "g=a=b", "h=[dict(a=1)]"]
    ) == {
        "h": [{"a": 1}],
        "a.b": 1,
        "c": ["x", "y"],
        "d": None,
        "e": (1, 2),
        "f": 1e-4,
        "g": "a=b",
    }
    with pytest.raises(UserError, match="KEY=VALUE"):
        parse_options(["nonsense"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("max_iter=3", "max_iters"),
        ("model.backbone.chanels=8", "channels"),
        ("model.bakbone.channels=8", "backbone"),
        ("train_pipeline.7.prob=1", "list of 5"),
        ("scale.x=3", "no key 'x'"),
        ("optim_wrapper.optimizer.lrr=1", "lr"),
        ("optim_wrapper.optimizer.lr=abc", "optimizer.lr = 'abc' must be a number"),
        ("optim_wrapper.optimizer.weight_decay=True", "weight_decay = True must be a number"),
        ("optim_wrapper.optimizer.betas=[0.9,x]", "must be a list such as [0.9, 0.999]"),
        ("fast.channel_last=False", "did you mean channels_last"),
        ("model.backbone.scale=3", "disagrees with scale = 2"),
        ("train_dataloader.dataset.scale=4", "disagrees with scale = 2"),
        ("scale=5", "scale"),
        ("scale=abc", "whole number"),
        ("global_batch_size=0", "at least 1"),
        ("max_iters=1.5", "whole number"),
        ("num_workers=-1", "num_workers"),
        ("seed=-3", "seed"),
        ("model.backbone.type=EDRS", "EDSR"),
        ("model.type=Restorr", "Restorer"),
        ("train_pipeline.0.type=PairedRandomCorp", "PairedRandomCrop"),
        ("optim_wrapper.optimizer.type=Adm", "Adam"),
        ("param_scheduler.0.by_epoch=True", "by_epoch=False"),
        ("save_best=valid/pnsr", "valid/psnr"),
        ("ema=1.5", "between 0 and 1"),
    ],
)
def test_options_that_cannot_work(option, words, options, tmp_path, capsys):
    arguments = ["train", CONFIG, "--work-dir", str(tmp_path), "--cfg-options", *options, option]
    assert words in failing(arguments, capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = (1,\nb = 2\n", "line 1"),
        ("a = 1\nb = undefined_name\n", "line 2"),
        ("_base_ = './missing.py'\n", "missing.py"),
        ("a = 1/0\n", "division"),
        ("scale = 2\n", "'model'"),
        ("", "'model'"),
    ],
)
def test_configs_that_cannot_be_read(text, words, tmp_path, capsys):
    path = tmp_path / "broken_config.py"
    path.write_text(text)
    message = failing(["train", str(path)], capsys)
    assert words in message
    if words != "'model'":
        assert "broken_config.py" in message or "missing.py" in message


def test_an_error_in_a_base_file_names_that_file(tmp_path, capsys):
    (tmp_path / "base.py").write_text("x = 1\ny = [1, 2\nz = 3\n")
    (tmp_path / "leaf.py").write_text("_base_ = './base.py'\nscale = 2\n")
    message = failing(["train", str(tmp_path / "leaf.py")], capsys)
    assert "base.py, line 2" in message


def test_config_names(tmp_path, capsys):
    assert load_config("edsr_x4c64b16_g1_300k_div2k").scale == 4
    message = failing(["train", "edsr_x4c64b16_g1_300k_div2"], capsys)
    assert "edsr_x4c64b16_g1_300k_div2k" in message
    assert "is a folder" in failing(["train", str(tmp_path)], capsys)
    (tmp_path / "README.md").write_text("# Not a config")
    assert "they end in .py" in failing(["train", str(tmp_path / "README.md")], capsys)


def test_missing_sets_name_the_command_that_makes_them(tmp_path, capsys):
    arguments = ["train", CONFIG, "--work-dir", str(tmp_path / "w"), "--cfg-options"]
    message = failing([*arguments, f"data_root={tmp_path}"], capsys)
    assert "DIV2K_train" in message
    assert f"superres data prepare div2k --root ARCHIVES --out {tmp_path}" in message
    (tmp_path / "empty").mkdir()
    message = failing([*arguments, f"train_set={tmp_path}/empty"], capsys)
    assert "holds no images" in message


def test_an_optional_set_may_be_missing_another_may_not(train, capsys):
    assert train("max_iters=1", "test_sets=[nowhere?]") == 0
    assert "nowhere: left out" in capsys.readouterr().out
    assert train("max_iters=1", "test_sets=[nowhere]") == 2


def test_print_config_prints_a_config_that_loads_again(tmp_path, capsys):
    assert main(["print-config", CONFIG, "--cfg-options", "scale=3"]) == 0
    path = tmp_path / "printed.py"
    path.write_text(capsys.readouterr().out)
    assert load_config(str(path)).model.backbone.scale == 3


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_leaf_states_its_keys(path):
    if "_base_" in path.parts:
        pytest.skip("a part of configs")
    cfg = load_config(str(path))
    for key in [
        "scale",
        "max_iters",
        "global_batch_size",
        "num_workers",
        "data_root",
        "train_set",
        "test_sets",
        "val_interval",
        "checkpoint_interval",
        "seed",
    ]:
        assert key in cfg, key
