"""The option line of EDSR-PyTorch: ``--model EDSR --scale 2 --patch_size 96``.

Also that of authierj's ablation study, a fork whose epochs are passes over its sub-images
(``--model BICUBIC_INPUT_MODEL_GRC --n_resblock 3``).
"""

from __future__ import annotations

import argparse
import re
import shlex
from typing import Any

from superres.errors import UserError
from superres.interop.recipe import FLIPS, Recipe, Tree

_BENCHMARKS = ("Set5", "Set14", "B100", "Urban100")
_DEFAULTS: dict[str, Any] = {
    **{"model": "EDSR", "scale": "4", "n_resblocks": 16, "n_feats": 64, "res_scale": 1.0},
    **{"n_resgroups": 10, "reduction": 16, "G0": 64, "RDNconfig": "B", "act": "relu"},
    **{"rgb_range": 255, "n_colors": 3, "patch_size": 192, "batch_size": 16, "n_threads": 6},
    **{"dir_data": "../../../dataset", "data_train": "DIV2K", "data_test": "DIV2K"},
    **{"data_range": "1-800/801-810", "epochs": 300, "test_every": 1000, "lr": 1e-4},
    **{"decay": "200", "gamma": 0.5, "optimizer": "ADAM", "momentum": 0.9, "epsilon": 1e-8},
    **{"weight_decay": 0.0, "gclip": 0.0, "loss": "1*L1", "seed": 1, "split_batch": 1},
    **{"n_train": 32_208, "lr_decay": 0, "save": "", "pre_train": "", "print_every": 100},
    "template": ".",
}
_RDN = {"A": (20, 6, 32), "B": (16, 8, 64)}
_STUDY = {"BICUBIC_INPUT_MODEL": False, "BICUBIC_INPUT_MODEL_GRC": True}
"""The study's networks that upscale first, and whether they add the upscaled input."""
_ONE_VALUE = ("gan_k", "RDNkSize", "batch_norm", "ext", "n_GPUs", "shift_mean", "decay_type")
_NOTHING_TO_DO = {**dict.fromkeys(_ONE_VALUE, 1), "reset": 0, "save_models": 0, "cpu": 0}
_ELSEWHERE = {
    **dict.fromkeys(("load", "resume", "extend", "precision", "skip_threshold", "dir_demo"), 1),
    **dict.fromkeys(("test_only", "self_ensemble", "chop", "save_results", "save_gt", "debug"), 0),
}
"""Options, and how many values they take, that are no part of a training."""


def translate(line: str) -> Recipe:
    """The training that ``python main.py LINE`` runs, in superres's keys.

    Args:
        line: what stands behind ``main.py``; that and what is before it may be there.

    Raises:
        UserError: an option that is unknown, or that would train otherwise here.
    """
    try:
        # '[pre-trained EDSR model dir]' of their script is one word, to be replaced.
        words = shlex.split(re.sub(r"\[[^]]*]?", lambda found: shlex.quote(found[0]), line))
    except ValueError as error:
        raise UserError(f"the option line {line!r}: {error}") from None
    words = words[next((i for i, w in enumerate(words) if w.startswith("--")), 0) :]
    given, recipe = _parse(words)
    elsewhere = [key for key in _ELSEWHERE if getattr(given, key) not in (None, False)]
    recipe.notes += [f"--{key} does not belong to a training" for key in elsewhere]
    _template(given)
    scales = [int(s) for s in str(given.scale).split("+") if s.isdecimal()]
    if not scales or (len(scales) > 1 and given.model != "MDSR"):
        raise _refusal("scale", given.scale)
    config = recipe.config
    config["scale"] = scales if given.model == "MDSR" else scales[0]
    kind = "MultiScaleRestorer" if given.model == "MDSR" else "Restorer"
    loss = _loss(given.loss, given.rgb_range)
    config["model"] = {"type": kind, "backbone": _network(given), "loss": loss}
    _data(given, config, scales)
    _schedule(given, config)
    return recipe


def _parse(words: list[str]) -> tuple[argparse.Namespace, Recipe]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=True, exit_on_error=False)
    for key, value in _DEFAULTS.items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    for key, values in {**_NOTHING_TO_DO, **_ELSEWHERE}.items():
        parser.add_argument(f"--{key}", **({} if values else {"action": "store_true"}))
    parser.add_argument("--no_augment", action="store_true")
    try:
        given, unknown = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UserError(f"the option line: {error}") from None
    if unknown:
        raise UserError(f"the option line: {unknown[0]} is not a training option of EDSR-PyTorch")
    return given, Recipe("EDSR-PyTorch")


def _refusal(key: str, value: Any) -> UserError:
    return UserError(f"the option line: --{key} {value} has no counterpart here")


def _template(given: argparse.Namespace) -> None:
    """What ``--template`` sets, over what the line says."""
    name = given.template
    if "EDSR_paper" in name:
        given.model, given.n_resblocks, given.n_feats, given.res_scale = "EDSR", 32, 256, 0.1
    elif "MDSR" in name:
        given.model, given.patch_size, given.epochs = "MDSR", 48, 650
    elif "RCAN" in name:
        given.model, given.n_resgroups, given.n_resblocks, given.n_feats = "RCAN", 10, 20, 64
    elif name != ".":
        raise _refusal("template", name)


def _network(given: argparse.Namespace) -> Tree:
    """The network, whose weights start as torch's."""
    found: Tree = {
        **{"type": given.model, "in_channels": given.n_colors, "out_channels": given.n_colors},
        **{"channels": given.n_feats, "num_blocks": given.n_resblocks},
        **{"img_range": float(given.rgb_range)},
    }
    if given.act != "relu":
        raise _refusal("act", given.act)
    if given.model in _STUDY:  # its numbers of blocks count the first and the last convolution
        found |= {"type": "SRCNNAblation", "num_blocks": given.n_resblocks - 2}
        found |= {"upsample": "before", "global_skip": _STUDY[given.model]}
    elif given.model == "SRCNN":
        raise UserError(
            "the option line: --model SRCNN is another network in each row of the ablation study, "
            "which its options do not tell; the rows are configs here: configs/ablation"
        )
    elif given.model == "EDSR":
        found["res_scale"] = given.res_scale
    elif given.model == "RCAN":
        found |= {"num_groups": given.n_resgroups, "reduction": given.reduction}
    elif given.model == "RDN":
        if given.RDNconfig not in _RDN:
            raise _refusal("RDNconfig", given.RDNconfig)
        sizes = dict(zip(("num_blocks", "num_layers", "growth"), _RDN[given.RDNconfig]))
        up = {"up_channels": sizes["growth"]} if sizes["growth"] != given.G0 else {}
        found |= {"channels": given.G0, **sizes, **up}
    elif given.model != "MDSR":
        raise _refusal("model", given.model)
    return found


def _loss(text: str, peak: int) -> Tree:
    """In their unit: Adam's epsilon, clipping and weight decay see gradients of that size."""
    weight, _, name = text.partition("*")
    kinds = {"L1": ("L1Loss", peak), "MSE": ("MSELoss", peak**2)}
    if name not in kinds or not weight.replace(".", "", 1).isdecimal():
        raise _refusal("loss", text)
    kind, unit = kinds[name]
    scaled = {} if float(weight) * unit == 1 else {"loss_weight": float(weight) * unit}
    return {"type": kind, **scaled}


def _data(given: argparse.Namespace, config: Tree, scales: list[int]) -> None:
    config["data_root"] = given.dir_data
    ranges = [part for part in given.data_range.split("/") if part]
    study = given.model in _STUDY and given.data_train == "DIV2KSUB"
    first = ranges[0] if len(ranges) > 1 else "1-800"
    train = [
        _set("data_train", n, first) for n in ("DIV2K" if study else given.data_train).split("+")
    ]
    config["train_set"] = train
    if len(train) == 1:
        (config["train_set"],) = train
        config["train_set"].pop("name")
    config["val_sets"] = [_set("data_test", n, ranges[-1]) for n in given.data_test.split("+")]
    config["test_sets"] = []
    config["global_batch_size"], config["num_workers"] = given.batch_size, given.n_threads
    config["accumulate"] = given.split_batch
    config["lq_patch_size"] = given.patch_size // (1 if len(scales) > 1 else scales[0])
    flips = [] if given.no_augment else FLIPS
    config["train_pipeline"] = [{"type": "PairedRandomCrop"}, *flips, {"type": "PackInputs"}]
    if given.model == "MDSR":
        part = {"type": "MultiScaleDataset", "dataset": {"type": "PairedDataset"}}
        config["train_dataloader"] = {"dataset": part}


def _set(option: str, name: str, only: str) -> Tree:
    """A data set by its name there; ``DIV2K-Q75`` has JPEG files of quality 75 as LR."""
    if name in _BENCHMARKS:
        folder = f"benchmark/{name}"
        return {"gt": f"{folder}/HR", "lq": f"{folder}/LR_bicubic/X{{scale}}", "name": name}
    quality = re.fullmatch(r"DIV2K(?:-(Q\d+))?", name)
    if not quality:
        raise _refusal(option, name)
    low = f"DIV2K/DIV2K_{quality[1] or 'train_LR_bicubic'}/X{{scale}}"
    return {"gt": "DIV2K/DIV2K_train_HR", "lq": low, "only": only, "name": name}


def _schedule(given: argparse.Namespace, config: Tree) -> None:
    # A pass over its sub-images; upstream an epoch is any number of batches.
    study = given.model in _STUDY
    every = given.n_train // given.batch_size if study else given.test_every
    config["max_iters"] = given.epochs * every
    config["val_interval"] = config["checkpoint_interval"] = every
    kinds: dict[str, Tree] = {
        "ADAM": {"type": "Adam", "eps": given.epsilon, "betas": (0.9, 0.999)},
        "SGD": {"type": "SGD", "momentum": given.momentum},
        "RMSprop": {"type": "RMSprop", "eps": given.epsilon},
    }
    if given.optimizer not in kinds:
        raise _refusal("optimizer", given.optimizer)
    optimizer = {**kinds[given.optimizer], "lr": given.lr}
    if given.weight_decay:
        optimizer["weight_decay"] = given.weight_decay
    config["optim_wrapper"] = {"type": "OptimWrapper", "optimizer": optimizer}
    if given.gclip:
        config["optim_wrapper"]["clip_grad"] = {"type": "value", "clip_value": given.gclip}
    decay = given.decay.split("-")
    if given.lr_decay:  # of older versions: again and again
        decay = range(given.lr_decay, given.epochs, given.lr_decay)
    steps = [int(step) * every for step in decay]
    config["param_scheduler"] = [
        {"type": "MultiStepLR", "by_epoch": False, "milestones": steps, "gamma": given.gamma}
    ]
    config["seed"], config["log_interval"] = given.seed, given.print_every
    if given.save:
        config["work_dir"] = f"work_dirs/{given.save}"
    if given.pre_train:
        config["load_from"] = given.pre_train
