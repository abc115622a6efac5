"""Option files of BasicSR: ``train_*.yml`` of trainings by a pixel loss, and ``test_*.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .recipe import FLIPS, Reader, Recipe, Tree, loss_of, patch_of, protocol_of, renamed, set_of

_COMMON = {
    "num_in_ch": "in_channels",
    "num_out_ch": "out_channels",
    "num_feat": "channels",
    "num_block": "num_blocks",
    "upscale": "scale",
}
_RANGE = {"img_range": "img_range", "rgb_mean": "rgb_mean"}
_NETWORKS: dict[str, tuple[dict[str, str | None], Tree]] = {
    "EDSR": ({**_COMMON, **_RANGE, "res_scale": "res_scale"}, {}),
    "MSRResNet": (_COMMON, {"upsample_act": True, "init": "basicsr"}),
    "RCAN": ({**_COMMON, **_RANGE, "num_group": "num_groups", "squeeze_factor": "reduction"}, {}),
    "RRDBNet": ({**_COMMON, "num_grow_ch": "growth", "scale": "scale"}, {}),
    "SRVGGNetCompact": ({**_COMMON, "num_conv": "num_convs", "act_type": "act"}, {}),
}
"""Class -> (argument -> ours; arguments of our class that make it theirs)."""

_DATASET_KEYS = """name type dataroot_gt dataroot_lq meta_info_file filename_tmpl io_backend gt_size
    use_hflip use_rot use_shuffle num_worker_per_gpu batch_size_per_gpu dataset_enlarge_ratio
    prefetch_mode num_prefetch_queue pin_memory mean std color scale phase""".split()  # noqa: SIM905
_NOT_NEEDED = (
    *("name", "num_gpu", "dist_params", "find_unused_parameters"),
    *("path.strict_load_g", "path.param_key_g", "val.save_img", "val.pbar"),
    *("logger.use_tb_logger", "logger.use_wandb", "logger.wandb.resume_id"),
    *("save_img", "val.suffix"),
)


def recognises(tree: Mapping[str, Any]) -> bool:
    """Whether a file's content is one of theirs."""
    return "network_g" in tree and "datasets" in tree


def translate(tree: Mapping[str, Any], where: str) -> Recipe:
    """The options of a training, or of a test, in superres's keys.

    Args:
        tree: the file's content.
        where: names the file in messages.

    Raises:
        UserError: what would train otherwise here.
    """
    reader = Reader(tree, where)
    recipe = Recipe("BasicSR", paths=reader.paths)
    config = recipe.config
    trains = "train" in tree["datasets"]
    config["scale"] = reader.take("scale", 4)
    network, loss = _network(reader, config["scale"]), {"type": "L1Loss"}
    config["model"] = {"type": "Restorer", "backbone": network, "loss": loss}
    config["seed"] = reader.take("manual_seed")
    _scoring(reader, recipe, "val" if trains else "test")
    if trains:
        _training(reader, recipe)
    else:  # which model trained the network does not matter
        reader.take("model_type")
        reader.take("path.pretrain_network_g")
        config["train_set"] = None
    for key in (*_NOT_NEEDED, "datasets"):
        reader.take(key)
    left = reader.left(*list(reader.tree))
    recipe.notes += [f"{key} is not read" for key in left]
    return recipe


def _network(reader: Reader, scale: int) -> Tree:
    """The config of our backbone."""
    node = dict(reader.take("network_g"))
    name = node.pop("type", None)
    if name not in _NETWORKS:
        raise reader.refuse("network_g.type", name)
    words, implied = _NETWORKS[name]
    if name == "RCAN":
        node.setdefault("num_block", 16)  # BasicSR's default; ours is 20
        if node.pop("res_scale", 1) != 1:
            raise reader.refuse("network_g.res_scale", "another than 1")
    backbone = {"type": name, **renamed(reader, "network_g", node, words), **implied}
    if backbone.pop("scale", scale) != scale:
        raise reader.refuse("network_g", dict(node), f"is for another scale than scale = {scale}")
    return backbone


def _scoring(reader: Reader, recipe: Recipe, role: str) -> None:
    config, datasets = recipe.config, reader.tree["datasets"]
    sets = [_set(reader, k, v) for k, v in datasets.items() if k.startswith(role)]
    config |= {"data_root": ".", "val_sets": [], "test_sets": []}
    config[f"{role}_sets"] = sets
    odd = ((key, k) for key, one in datasets.items() for k in one if k not in _DATASET_KEYS)
    recipe.notes += [f"datasets.{key}.{k} is not read" for key, k in odd]
    metrics = {m.pop("type", name): m for name, m in (reader.take("val.metrics") or {}).items()}
    ours = [f"calculate_{name}" for name in ("psnr", "ssim")]
    recipe.notes += [f"the metric {name} is not computed" for name in metrics if name not in ours]
    detail = next((metrics[name] for name in ours if name in metrics), {})
    if detail or role == "val":
        border, luma = detail.get("crop_border", 0), bool(detail.get("test_y_channel"))
        config["protocols"] = protocol_of(config["scale"], border, luma)


def _training(reader: Reader, recipe: Recipe) -> None:
    config, train = recipe.config, reader.tree["datasets"]["train"]
    kind = reader.take("model_type")
    if kind != "SRModel":
        raise reader.refuse("model_type", kind)
    for key in ("network_d", "train.gan_opt", "train.perceptual_opt"):
        value = reader.take(key)
        if value:
            raise reader.refuse(key, value)
    loss = loss_of(reader, "train.pixel_opt", reader.take("train.pixel_opt"))
    config["model"]["loss"] = loss
    config["train_set"] = _set(reader, "train", train)
    config["train_set"].pop("name")
    config["train_dataloader"] = {"batch_size": train.get("batch_size_per_gpu", 1)}
    config["num_workers"] = train.get("num_worker_per_gpu", 0)
    size = train["gt_size"]
    config["lq_patch_size"] = patch_of(reader, "datasets.train.gt_size", size, config["scale"])
    flips = FLIPS[: 1 if train.get("use_hflip") else 0] + (
        FLIPS[1:] if train.get("use_rot") else []
    )
    config["train_pipeline"] = [{"type": "PairedRandomCrop"}, *flips, {"type": "PackInputs"}]
    _schedule(reader, config)
    config["log_interval"] = int(reader.take("logger.print_freq", 100))
    config["checkpoint_interval"] = int(reader.take("logger.save_checkpoint_freq", 5000))
    config["max_keep_checkpoints"] = None  # BasicSR keeps all
    config["val_interval"] = int(reader.take("val.val_freq", config["max_iters"]))
    start = reader.take("path.pretrain_network_g")
    if start:
        config["load_from"] = start


def _set(reader: Reader, key: str, dataset: Tree) -> Tree:
    other = [k for k in ("mean", "std", "color") if dataset.get(k)]
    if dataset.get("type") != "PairedImageDataset" or other:
        shown = {k: dataset[k] for k in ("type", *other) if k in dataset}
        alone = dataset.get("type") == "SingleImageDataset"
        why = ("has nothing to score by; superres upscale FOLDER --model FILE",) if alone else ()
        raise reader.refuse(f"datasets.{key}", shown, *why)
    keys = ("dataroot_gt", "dataroot_lq", "meta_info_file")
    paths = [reader.path(f"datasets.{key}.{k}", dataset.get(k)) for k in keys]
    return set_of(*paths, dataset.get("name", ""))


def _schedule(reader: Reader, config: Tree) -> None:
    """Set ``max_iters``, ``optim_wrapper``, ``ema`` and ``param_scheduler``."""
    config["max_iters"] = int(reader.take("train.total_iter"))
    optimizer = {k: v for k, v in reader.take("train.optim_g").items() if v or k != "weight_decay"}
    config["optim_wrapper"] = {"type": "OptimWrapper", "optimizer": optimizer}
    config["ema"] = reader.take("train.ema_decay") or None
    schedule = dict(reader.take("train.scheduler") or {})
    kind = schedule.pop("type", None)
    names = {"CosineAnnealingRestartLR": "CosineRestartLR"}
    names |= {"MultiStepLR": "MultiStepLR", "MultiStepRestartLR": "MultiStepLR"}
    names |= {"TrueCosineAnnealingLR": "CosineAnnealingLR"}
    if kind not in names or (kind == "MultiStepRestartLR" and schedule.get("restarts", [0]) != [0]):
        raise reader.refuse("train.scheduler", {"type": kind, **schedule})
    for key in ("restarts", "restart_weights") if kind == "MultiStepRestartLR" else ():
        schedule.pop(key, None)
    config["param_scheduler"] = [{"type": names[kind], "by_epoch": False, **schedule}]
    warm = reader.take("train.warmup_iter", -1)
    if warm > 0:
        up = {"type": "LinearLR", "by_epoch": False, "start_factor": 1 / warm, "end": warm}
        config["param_scheduler"].insert(0, up)
