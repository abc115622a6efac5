"""Configs of other toolboxes: minimal ones of our own writing, in those toolboxes' layouts."""

import json
import re

import pytest

from superres.cli.main import main
from superres.engine.config.load import load_config
from superres.engine.config.values import MISSING, get, to_plain
from superres.imaging.io import write_image
from superres.imaging.resize import imresize
from superres.registry import MODELS

from ..engine.conftest import picture

MMEDITING = """
exp_name = 'twin'
scale = 4
model = dict(
    type='BasicRestorer',
    generator=dict(type='EDSR', in_channels=3, out_channels=3, mid_channels=8, num_blocks=1,
                   upscale_factor=scale, res_scale=1, rgb_mean=[0.4488, 0.4371, 0.4040],
                   rgb_std=[1.0, 1.0, 1.0]),
    pixel_loss=dict(type='L1Loss', loss_weight=1.0, reduction='mean'))
train_cfg = None
test_cfg = dict(metrics=['PSNR', 'SSIM'], crop_border=scale)
train_dataset_type = 'SRAnnotationDataset'
train_pipeline = [
    dict(type='LoadImageFromFile', io_backend='disk', key='lq', flag='unchanged'),
    dict(type='LoadImageFromFile', io_backend='disk', key='gt', flag='unchanged'),
    dict(type='RescaleToZeroOne', keys=['lq', 'gt']),
    dict(type='Normalize', keys=['lq', 'gt'], mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True),
    dict(type='PairedRandomCrop', gt_patch_size=36),
    dict(type='Flip', keys=['lq', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='Flip', keys=['lq', 'gt'], flip_ratio=0.5, direction='vertical'),
    dict(type='RandomTransposeHW', keys=['lq', 'gt'], transpose_ratio=0.5),
    dict(type='Collect', keys=['lq', 'gt'], meta_keys=['lq_path', 'gt_path']),
    dict(type='ImageToTensor', keys=['lq', 'gt'])
]
data = dict(
    workers_per_gpu=0,
    train_dataloader=dict(samples_per_gpu=2, drop_last=True),
    train=dict(type='RepeatDataset', times=1000, dataset=dict(
        type=train_dataset_type, lq_folder='data/LR/X4_sub', gt_folder='data/HR_sub',
        ann_file='data/list.txt', pipeline=train_pipeline, scale=scale)),
    val=dict(type='SRFolderDataset', lq_folder='data/val_set5/Set5_bicLRx4',
             gt_folder='data/val_set5/Set5', scale=scale, filename_tmpl='{}'),
    test=dict(type='SRFolderDataset', lq_folder='data/gone', gt_folder='data/Set14', scale=scale))
optimizers = dict(generator=dict(type='Adam', lr=3e-4, betas=(0.9, 0.98)))
total_iters = 4
lr_config = dict(policy='Step', by_epoch=False, step=[2], gamma=0.25)
checkpoint_config = dict(interval=2, save_optimizer=True, by_epoch=False)
evaluation = dict(interval=4, save_image=True, gpu_collect=True)
log_config = dict(interval=1, hooks=[dict(type='TextLoggerHook', by_epoch=False)])
dist_params = dict(backend='nccl')
work_dir = f'./work_dirs/{exp_name}'
load_from = 'work_dirs/x2/iter_300000.pth'
resume_from = None
workflow = [('train', 1)]
"""
MMAGIC = """
scale = 4
model = dict(
    type='BaseEditModel',
    generator=dict(type='RDNNet', in_channels=3, out_channels=3, mid_channels=8, num_blocks=1,
                   num_layers=2, channel_growth=4, upscale_factor=scale),
    pixel_loss=dict(type='L1Loss', loss_weight=1.0, reduction='mean'),
    train_cfg=dict(), test_cfg=dict(metrics=['PSNR'], crop_border=scale),
    data_preprocessor=dict(
        type='DataPreprocessor', mean=[0., 0., 0.], std=[255., 255., 255.]))
train_pipeline = [
    dict(type='LoadImageFromFile', key='img', color_type='color', channel_order='rgb'),
    dict(type='SetValues', dictionary=dict(scale=scale)),
    dict(type='PairedRandomCrop', gt_patch_size=36),
    dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='PackInputs')]
train_dataloader = dict(
    num_workers=0, batch_size=2, drop_last=True, persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='BasicImageDataset', ann_file='list.txt', data_root='data',
                 metainfo=dict(dataset_type='div2k', task_name='sisr'),
                 data_prefix=dict(img='LR/X4_sub', gt='HR_sub'), pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=4, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='BasicImageDataset', metainfo=dict(dataset_type='set5', task_name='sisr'),
                 data_root='data/val_set5', data_prefix=dict(img='Set5_bicLRx4', gt='Set5')))
val_evaluator = dict(type='Evaluator', metrics=[
    dict(type='MAE'), dict(type='PSNR', crop_border=scale), dict(type='SSIM', crop_border=scale)])
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
val_cfg = dict(type='MultiValLoop')
optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor', type='OptimWrapper',
    optimizer=dict(type='Adam', lr=3e-4, betas=(0.9, 0.98)))
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[2], gamma=0.25)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False, out_dir='./work_dirs/'),
    logger=dict(type='LoggerHook', interval=1))
visualizer = dict(type='ConcatImageVisualizer', fn_key='gt_path')
custom_hooks = [dict(type='BasicVisualizationHook', interval=1)]
"""
BASICSR = """
name: 201_twin
model_type: SRModel
scale: 4
num_gpu: 1
manual_seed: 10
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: data/HR_sub
    dataroot_lq: data/LR/X4_sub
    meta_info_file: data/list.txt
    filename_tmpl: '{}'
    io_backend:
      type: disk
    gt_size: 36
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 0
    batch_size_per_gpu: 2
    dataset_enlarge_ratio: 100
  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: data/val_set5/Set5
    dataroot_lq: data/val_set5/Set5_bicLRx4
network_g:
  type: MSRResNet
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 8
  num_block: 1
  upscale: 4
path:
  pretrain_network_g: ~
  strict_load_g: true
train:
  ema_decay: 0.9
  optim_g:
    type: Adam
    lr: !!float 3e-4
    weight_decay: 0
    betas: [0.9, 0.98]
  scheduler:
    type: MultiStepLR
    milestones: [2]
    gamma: 0.25
  total_iter: 4
  warmup_iter: -1
  pixel_opt:
    type: L1Loss
    loss_weight: 1.0
    reduction: mean
val:
  val_freq: !!float 4
  save_img: false
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 4
      test_y_channel: false
    niqe:
      type: calculate_niqe
      crop_border: 4
logger:
  print_freq: 1
  save_checkpoint_freq: !!float 2
  use_tb_logger: true
"""
LINE = (
    "--model EDSR --scale 4 --patch_size 36 --n_feats 8 --n_resblocks 1 --res_scale 0.1 "
    "--dir_data . --data_test Set5+DIV2K --data_range 1-3/801-810 --n_threads 0 --batch_size 2 "
    "--epochs 2 --test_every 2 --decay 1-2 --gamma 0.25 --lr 3e-4 --print_every 1 --save twin "
    "--reset --chop"
)
TEST = BASICSR[: BASICSR.index("  train:")] + BASICSR[BASICSR.index("  val:") :]
TEST = TEST[: TEST.index("train:")] + TEST[TEST.index("\nval:") :]
TEST = TEST.replace("  val:", "  test_1:").replace("SRModel", "ESRGANModel")
FILES = {"mmediting.py": MMEDITING, "mmagic.py": MMAGIC, "basicsr.yml": BASICSR}
STEPS = [{"type": "MultiStepLR", "by_epoch": False, "milestones": [2], "gamma": 0.25}]
EXPECTED = {
    "mmediting.py": {
        **{"model.backbone.init": "mmediting", "model.backbone.img_range": 1.0},
        **{"train_set.only": "data/list.txt", "param_scheduler": STEPS},
        "protocols": ["mmediting-rgb", "mmediting-ssim-bug"],
    },
    "mmagic.py": {
        **{"model.backbone.growth": 4, "protocols.sr_rounding": "clamp", "param_scheduler": STEPS},
    },
    "basicsr.yml": {
        **{"model.backbone.init": "basicsr", "model.backbone.upsample_act": True, "ema": 0.9},
        **{"seed": 10, "protocols": "mmediting-rgb", "param_scheduler": STEPS},
    },
    "line.py": {
        **{"model.backbone.res_scale": 0.1, "train_set.only": "1-3"},
        "model.loss": {"type": "L1Loss", "loss_weight": 255.0},
        "param_scheduler": [{**STEPS[0], "milestones": [2, 4]}],
    },
}
COMMON = {
    **{"scale": 4, "lq_patch_size": 9, "global_batch_size": 2, "max_iters": 4},
    **{"checkpoint_interval": 2, "optim_wrapper.optimizer.type": "Adam"},
    **{"optim_wrapper.optimizer.lr": 3e-4, "model.loss": {"type": "L1Loss"}},
    **{"model.backbone.channels": 8, "model.backbone.num_blocks": 1},
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The folders that the twins name, as the current folder; the line's config among them."""
    sides = {
        "data": ("data/HR_sub", "data/LR/X4_sub", ""),
        "set5": ("data/val_set5/Set5", "data/val_set5/Set5_bicLRx4", ""),
        "bench": ("benchmark/Set5/HR", "benchmark/Set5/LR_bicubic/X4", "x4"),
        "div2k": ("DIV2K/DIV2K_train_HR", "DIV2K/DIV2K_train_LR_bicubic/X4", "x4"),
    }
    for gt, lq, suffix in sides.values():
        for folder in (gt, lq):
            (tmp_path / folder).mkdir(parents=True)
        for seed in (1, 2, 801):
            image = picture(seed)
            write_image(tmp_path / gt / f"{seed:04}.png", image)
            write_image(tmp_path / lq / f"{seed:04}{suffix}.png", imresize(image, scale=1 / 4))
    (tmp_path / "data/list.txt").write_text("0001.png (64,72,3)\n0002.png (64,72,3)\n")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain(path):
    return to_plain(load_config(str(path)))


def converted(argument, tree):
    out = tree / "line.py"
    assert main(["convert-config", argument, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("name", EXPECTED)
def test_converted_trained_resumed_tested(name, tree, capsys):
    leaf = converted(name if name in FILES else LINE, tree)
    file = tree / name
    assert len(leaf.read_text().splitlines()) <= 30
    if file != leaf:
        assert plain(leaf) == plain(file)
    config = plain(file)
    for key, value in {**COMMON, **EXPECTED[name]}.items():
        assert get(config, key) == value, key
    capsys.readouterr()
    assert main(["train", name, "--work-dir", "run"]) == 0
    said = capsys.readouterr()
    said = said.out + said.err
    assert "EDSR x4" in said or "RDN x4" in said or "MSRResNet x4" in said
    assert "2 training images" in said  # of three: the list, or the range
    assert (
        main(["train", name, "--work-dir", "run", "--resume", "--cfg-options", "max_iters=6"]) == 0
    )
    assert main(["test", name, "run/iter_6.pth", "--out", "scores", "--sets", "Set5"]) == 0
    results = json.loads((tree / "scores/results.json").read_text())["results"]
    assert {entry["set"] for entry in results} == {"Set5"}
    assert all(entry["psnr"] > 5 for entry in results)


def test_basicsr_options_of_a_test(tree, capsys):
    (tree / "test.yml").write_text(TEST)
    assert main(["train", "basicsr.yml", "--work-dir", "run"]) == 0
    scores = []
    for name in ("basicsr.yml", "test.yml"):
        assert main(["test", name, "run/iter_4.pth", "--out", "scores"]) == 0
        results = json.loads((tree / "scores/results.json").read_text())["results"]
        scores += [[(entry["set"], entry["protocol"], entry["psnr"]) for entry in results]]
    assert scores[0] == scores[1]
    assert main(["train", "test.yml"]) == 2
    assert "train_set" in capsys.readouterr().err
    (tree / "test.yml").write_text(TEST.replace("PairedImage", "SingleImage"))
    assert main(["test", "test.yml", "run/iter_4.pth"]) == 2
    assert "nothing to score by; superres upscale" in capsys.readouterr().err


def test_what_has_no_counterpart_is_named_once(tree, caplog):
    for name, words in (
        ("mmediting.py", ["x2/iter_300000.pth", "blue channel"]),
        ("mmagic.py", ["MAE", "BasicVisualizationHook"]),
        ("basicsr.yml", ["calculate_niqe"]),
    ):
        caplog.clear()
        load_config(str(tree / name))
        told = caplog.text
        assert [w for w in words if told.count(w) != 1] == [], told


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("mmediting.py", "type='BasicRestorer'", "type='SRGAN'", r"model\.type = 'SRGAN'"),
        ("mmediting.py", "type='EDSR'", "type='IconVSR'", r"generator\.type = 'IconVSR'"),
        ("mmediting.py", "res_scale=1", "blocks=1", r"generator\.blocks = 1"),
        ("mmediting.py", "'RandomTransposeHW'", "'GaussianBlur'", "train_pipeline.*GaussianBlur"),
        ("mmediting.py", "policy='Step', by_epoch=False", "policy='Step'", "lr_config"),
        ("mmediting.py", "    dict(type='RescaleToZeroOne', keys=['lq', 'gt']),\n", "", "0..255"),
        ("mmagic.py", "std=[255., 255., 255.]", "std=[1., 1., 1.]", "data_preprocessor.*std 255"),
        ("mmagic.py", "type='BasicVisual", "type='Exponential", "custom_hooks.*Exponential"),
        ("basicsr.yml", "SRModel", "ESRGANModel", "model_type = 'ESRGANModel'"),
        ("basicsr.yml", "MSRResNet", "SwinIR", r"network_g\.type = 'SwinIR'"),
        ("basicsr.yml", "network_g", "net", "not a config of superres.*MMEditing.*BasicSR"),
    ],
)
def test_what_would_train_otherwise_is_one_message(name, old, new, words, tree, capsys):
    file = tree / name
    file.write_text(file.read_text().replace(old, new, 1))
    assert main(["train", name]) == 2
    told = capsys.readouterr().err
    assert re.search(words, told), told
    assert name in told
    assert "Traceback" not in told


def test_an_option_without_counterpart(tree, capsys):
    for option, words in (
        ("--model DDBPN", "--model DDBPN"),
        ("--loss 5*VGG54+0.15*GAN", "--loss 5"),
        ("--nresblocks 3", "--nresblocks"),
        ("--lr fast", "lr"),
        ("--optimizer Lion", "--optimizer"),
        ("--scale 2+3", "--scale 2.3"),
    ):
        assert main(["convert-config", f"--model EDSR {option}"]) == 2
        assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "missing", "key"),
    [
        ("mmediting.py", "data/LR/X4_sub", "data.train.lq_folder"),
        ("mmediting.py", "data/list.txt", "data.train.ann_file"),
        ("mmagic.py", "data/HR_sub", "train_dataloader.dataset.data_prefix.gt"),
        ("basicsr.yml", "data/val_set5/Set5", "datasets.val.dataroot_gt"),
    ],
)
def test_missing_data_is_named_as_in_the_file(name, missing, key, tree, capsys):
    (tree / missing).rename(tree / "elsewhere")
    assert main(["train", name]) == 2
    message = capsys.readouterr().err
    assert missing in message
    assert f"{name} has it as {key}\n" in message


def test_sets_that_are_scored_differently(tree):
    """MMagic 1.0's first configs of x4 score their tests with the border of x2."""
    (tree / "mmagic.py").write_text(
        f"{MMAGIC}\ntest_dataloader = [dict(dataset=dict(type='BasicImageDataset',"
        " data_prefix=dict(img='Set14_x4', gt='Set14')))]\n"
        "test_evaluator = [[dict(type='PSNR', crop_border=2, prefix='Set14')]]"
    )
    protocols = plain(tree / "mmagic.py")["protocols"]
    assert {name: way.get("border_extra") for name, way in protocols.items()} == {
        **{"Set5": None, "Set14": 2}
    }


def test_what_their_runtime_says_is_honoured_or_told(tree, caplog):
    environment = "mp_cfg=dict(mp_start_method='spawn', opencv_num_threads=4)"
    (tree / "mmagic.py").write_text(f"{MMAGIC}\nenv_cfg = dict({environment})\nlog_level = 'ERROR'")
    old = "mp_start_method = 'spawn'\nopencv_num_threads = 4\nlog_level = 'ERROR'\n"
    (tree / "mmediting.py").write_text(MMEDITING + old)
    for name in ("mmagic.py", "mmediting.py"):
        caplog.clear()
        config = plain(tree / name)
        assert config["train_dataloader"]["start_method"] == "spawn"
        assert config["log_level"] == "ERROR"
        assert "no effect here: env_cfg.mp_cfg.opencv_num_threads" in caplog.text


def test_mdsr_by_its_template(tree):
    line = "--template MDSR --model MDSR --scale 2+3+4 --save MDSR_baseline --reset --save_models"
    config = plain(converted(line, tree))
    assert config["model"]["type"] == "MultiScaleRestorer"
    assert (config["scale"], config["lq_patch_size"]) == ([2, 3, 4], 48)
    assert config["max_iters"] == 650_000
    assert config["train_dataloader"]["dataset"]["type"] == "MultiScaleDataset"
    assert get(config, "ema") in (MISSING, None)


def test_a_line_of_the_ablation_study(tree):
    """Row 2, as configs/ablation has it."""
    line = "--model BICUBIC_INPUT_MODEL_GRC --scale 2 --patch_size 96 --n_resblock 3 --save row2"
    config = plain(converted(line, tree))
    shipped = to_plain(load_config("ablation-task2_x2c64b1_g1_604k_div2k"))
    built = [str(MODELS.build(one["model"]["backbone"])) for one in (config, shipped)]
    assert built[0] == built[1]
    for key in ("max_iters", "lq_patch_size", "global_batch_size"):
        assert config[key] == shipped[key]
    assert config["param_scheduler"][0]["milestones"] == shipped["param_scheduler"][0]["milestones"]
    assert main(["convert-config", "--model SRCNN --n_resblocks 8"]) == 2


def test_the_demo_scripts_placeholders_and_jpeg_sets(tree):
    line = "--scale 3 --pre_train [pre-trained EDSR model dir] --data_train DIV2K+DIV2K-Q75"
    config = plain(converted(line, tree))
    assert config["load_from"] is None
    assert [s["lq"].split("/")[1] for s in config["train_set"]] == [
        *("DIV2K_train_LR_bicubic", "DIV2K_Q75")
    ]


def test_rdn_of_configuration_a(tree):
    network = plain(converted("--model RDN --RDNconfig A --scale 2", tree))["model"]["backbone"]
    assert [network[k] for k in ("num_blocks", "num_layers", "growth")] == [20, 6, 32]
    assert MODELS.build(network).conv_last.in_channels == 32


def test_their_data_and_metrics_in_a_config_of_ours(tree, caplog):
    theirs = MMAGIC[MMAGIC.index("val_dataloader") : MMAGIC.index("train_cfg = dict(type=")]
    bases = [base for base in converted(LINE, tree).read_text().splitlines() if "_base_/" in base]
    head = "_base_ = [" + " ".join(bases).replace("_base_ = [", "").rstrip("]") + "]\nscale = 4\n"
    (tree / "ours.py").write_text(head + theirs)
    config = plain(tree / "ours.py")
    (found,) = config["val_sets"]
    assert found == {
        "gt": "data/val_set5/Set5",
        "lq": "data/val_set5/Set5_bicLRx4",
        "name": "Set5",
    }
    assert config["protocols"]["sr_rounding"] == "clamp"
    assert "MAE is not computed" in caplog.text


def test_read_base_with_classes(tree, capsys):
    base = load_config(str(converted(LINE, tree)))
    (tree / "base.py").write_text(base.pretty_text)
    (tree / "modern.py").write_text(
        "from mmengine.config import read_base\n"
        "with read_base():\n    from .base import *\n"
        "from torch.optim import AdamW\n"
        "from superres.models.backbones.edsr import EDSR\n"
        "optim_wrapper.update(optimizer=dict(type=AdamW, lr=5e-4))\n"
        "model.update(backbone=dict(type=EDSR, num_blocks=2))\n"
    )
    assert main(["train", "modern.py", "--work-dir", "run"]) == 0
    assert "EDSR x4, 8,035 parameters" in capsys.readouterr().out
    (tree / "base.py").unlink()
    assert main(["train", "modern.py"]) == 2
    assert "base.py not found" in capsys.readouterr().err


def test_names_of_the_config_itself(tree):
    text = converted(LINE, tree).read_text() + "work_dir = 'runs/{{ fileBasenameNoExtension }}'\n"
    (tree / "mine.py").write_text(text.replace("work_dirs/twin", "elsewhere"))
    assert load_config(str(tree / "mine.py")).work_dir == "runs/mine"


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("basicsr.yml", "total_iter:", "total_itr:", "basicsr.yml: a value is not as"),
        (
            "basicsr.yml",
            "gt_size: 36",
            "gt_size: 35",
            "gt_size = 35 is not a multiple of scale = 4",
        ),
        ("mmagic.py", "gt_patch_size", "gt_patch", "it lacks the key 'gt_patch_size'"),
        ("mmagic.py", "'SSIM', crop_border", "'SSIM', border", "has the key border"),
        ("basicsr.yml", "datasets:", "datasets: [", "basicsr.yml, line "),
        ("basicsr.yml", BASICSR, "- 1", "basicsr.yml must hold lines of KEY: VALUE"),
    ],
)
def test_mistakes_in_their_files_are_one_message(name, old, new, words, tree, capsys):
    text = FILES[name]
    assert old in text
    (tree / name).write_text(text.replace(old, new))
    assert main(["train", name]) == 2
    assert words in capsys.readouterr().err


def test_what_is_misspelt_in_their_data_sets_is_named(tree, capsys):
    (tree / "basicsr.yml").write_text(FILES["basicsr.yml"].replace("use_hflip", "use_hflp"))
    assert main(["convert-config", "basicsr.yml"]) == 0
    assert "use_hflp is not read" in capsys.readouterr().out
