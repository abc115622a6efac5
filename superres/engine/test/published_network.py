"""Whether a test is of a published network, and its label in tables.

A config carries ``published`` and hands it on to every config that inherits from it, so the key
alone says nothing. What counts are the facts: the network, its training set and its recipe, as
the checkpoint states them, or a file whose SHA-256 its authors publish. They are compared with
those that ``superres.evaluation.published.load_networks`` describes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.checkpoints import LoadedWeights
from superres.checkpoints.formats import OWN
from superres.checkpoints.networks import full_config
from superres.checkpoints.weight_files import sha256
from superres.datasets.layouts import read_side
from superres.engine.config.check import network_differences
from superres.engine.config.values import differing, to_plain
from superres.errors import UserError
from superres.evaluation import published
from superres.evaluation.published import STATED, PublishedNetwork, Standing, is_published_name
from superres.registry import MODELS, registered

# What goes with the weights in a file, so that an export may have folded it in.
_FOLDED = {"rgb_mean", "rgb_std", "img_range", "res_scale"}
# Where a training set lies and how it is read, which changes no sample.
_PLACE = {
    *("type", "name", "data_root", "scale", "seed", "pipeline", "cache", "gt", "lq", "check_pairs")
}
_USUAL = {"make_lq": "auto", "border": "reflect", "dtype": "uint8", "channels": "rgb"}
_OURS = {"PairedDataset", "MultiScaleDataset", "Restorer", "MultiScaleRestorer"}
_HARMLESS_HOOKS = {"TraceHook", "TensorboardHook", "LoggerHook"}
_SIZES = ("num_groups", "num_blocks", "num_layers", "channels")


def standing_of_weights(
    cfg: Config, loaded: LoadedWeights, self_ensemble: bool = False, stated: bool = False
) -> Standing:
    """What the weights of a file are.

    Args:
        cfg: names the method, by ``published``.
        loaded: the file.
        stated: the user says that these are the published weights, of a file that cannot tell.

    Raises:
        UserError: ``stated``, and the config names no method or the file says otherwise.
    """
    found, network = _named(cfg, self_ensemble)
    doubts: list[str] = []
    if network is not None and sha256(loaded.path).startswith(network.files):
        found.known_by = "SHA-256 of the file"
    elif network is not None:
        found.known_by = "the training that the checkpoint states"
        folded = _FOLDED if loaded.format == OWN and not loaded.meta else set()
        found.why += _network_differences(loaded.config, network, folded)
        doubts = [] if loaded.meta else ["the file does not tell what it was trained on"]
        earlier, done = loaded.meta.get("earlier"), _iterations(loaded)  # of a resumed training
        parts = (loaded.meta, *(earlier if isinstance(earlier, list) else ()))
        for part in () if doubts or found.why else parts:
            found.why += _training_differences(part, network, done)
            doubts += _odd_sides(part)
    if stated and (network is None or found.why):
        reason = "; ".join(found.why) or "the config names no published method"
        raise UserError(f"--published: {loaded.path} is not a published network: {reason}")
    if stated and doubts:
        found.known_by = STATED
    elif doubts and not found.why:
        found.why = [f"{doubts[0]}. Where it is the published network, say so by --published"]
    return found


def standing_of_training(
    cfg: Config, images: int | None = None, self_ensemble: bool = False
) -> Standing:
    """What a config trains; ``images`` counts the training set, where it is there."""
    found, network = _named(cfg, self_ensemble)
    if network is not None:
        found.why += _network_differences(to_plain(cfg.model)["backbone"], network, set())
        if network.training is not None or images is not None:
            part = {"config": to_plain(cfg), "pictures": images}
            found.why += _training_differences(part, network, cfg.get("max_iters"))
    return found


def _named(cfg: Config, self_ensemble: bool) -> tuple[Standing, PublishedNetwork | None]:
    """The scores of the method that a config names, and what that method is."""
    wanted = to_plain(cfg.get("published") or {})
    if not wanted:
        return Standing(), None
    if not isinstance(wanted, dict) or not {"method", "tables"} <= wanted.keys():
        form = "dict(method='NAME', tables=['TABLE', ...])"
        raise UserError(f"config: published = {wanted!r} must be {form}")
    name = wanted["method"] + "+" * self_ensemble
    degradation = wanted.get("degradation", "bicubic")
    scores = [s for table in wanted["tables"] for s in published.load_table(table)]
    scores = [s for s in scores if (s.method, s.degradation) == (name, degradation)]
    network = published.find_network(wanted["method"], wanted["tables"])
    why = [] if network else ["the method that the config names is not described here"]
    return Standing(wanted["method"], scores, why, degradation=degradation), network


def _network_differences(
    found: Mapping[str, Any], network: PublishedNetwork, ignored: set[str]
) -> list[str]:
    wanted = dict(network.network)
    skipped = ignored | {"init", "scale"} | ({"scales"} - wanted.keys())
    changed = network_differences(found, wanted, skipped)
    own = registered(MODELS, wanted["type"]).__module__
    if "type" not in changed and not own.startswith("superres."):
        return [f"the network is one of your own by the name of {wanted['type']}"]
    return _said("network", {k: tuple(map(repr, pair)) for k, pair in changed.items()})


def _said(what: str, changed: Mapping[str, tuple[str, str]]) -> list[str]:
    texts = {key: [textwrap.shorten(str(x), 60) for x in pair] for key, pair in changed.items()}
    pairs = "; ".join(f"{key} {here} instead of {there}" for key, (here, there) in texts.items())
    return [f"the {what} differs: {pairs}"] if changed else []


def _iterations(loaded: LoadedWeights) -> Any:
    """After how many the training ended that a checkpoint is of.

    The best weights are those of the whole training where its last checkpoint lies beside them.
    """
    planned = to_plain(loaded.meta.get("config") or {}).get("max_iters")
    last = loaded.path.with_name(f"iter_{planned}.pth")
    whole = loaded.path.name == "best.pth" and last.is_file()
    return planned if whole else loaded.meta.get("iter")


def _training_differences(
    part: Mapping[str, Any], network: PublishedNetwork, iterations: Any
) -> list[str]:
    """What differs in a training of so many iterations on ``pictures=`` images (None: unknown)."""
    if network.training is None:
        return ["the published training is not known, or not one that a config here repeats"]
    try:
        config, images = to_plain(part["config"]), part.get("pictures")
        found, scale = _training(config), config["scale"]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        return ["the checkpoint does not tell how it was trained"]
    wanted = {**network.training, "iterations": network.training["max_iters"], "max_iters": None}
    if isinstance(wanted["lq_patch_size"], Mapping):
        wanted["lq_patch_size"] = wanted["lq_patch_size"].get(str(scale))
    if scale in network.warm_start:
        del found["load_from"]
    found |= {"images": wanted["images"] if images is None else images, "iterations": iterations}
    # What is None is not there.
    pair = differing(found, wanted, lambda value: None if value is None else repr(value))
    return _said("training", pair)


def _training(config: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a training from its resolved config; None, or nothing, is what is usual."""
    model, dataset = config["model"], config["train_dataloader"]["dataset"]
    inner = dataset.get("dataset", dataset)
    pipeline = [dict(transform) for transform in inner["pipeline"]]
    crop = pipeline.pop(0) if pipeline[0]["type"] == "PairedRandomCrop" else {}
    wrapper = dict(config["optim_wrapper"])
    loss = model.get("loss") or {"type": "L1Loss"}
    if isinstance(loss, Mapping):
        loss = {key: value for key, value in loss.items() if key != "weights"}  # where VGG's lie
    hooks = [hook.get("type") for hook in config.get("custom_hooks") or []]
    return {
        "train_set": _set_name(inner),
        "dataset": {k: v for k, v in inner.items() if k not in _PLACE and v != _USUAL.get(k)},
        "lq_patch_size": crop.get("lq_patch_size"),
        "transforms": pipeline,
        "loss": loss,
        "init": model["backbone"].get("init", "pytorch"),
        "optimizer": wrapper.pop("optimizer"),
        "optim_wrapper": {k: v for k, v in wrapper.items() if k != "type" and v},
        "global_batch_size": config["global_batch_size"],
        **{key: config.get(key) or None for key in ("param_scheduler", "ema", "load_from")},
        "data_preprocessor": model.get("data_preprocessor"),
        "custom_hooks": [name for name in hooks if name not in _HARMLESS_HOOKS],
        "types": [of["type"] for of in (dataset, inner, model) if of["type"] not in _OURS],
    }


def _set_name(dataset: Mapping[str, Any]) -> str:
    """A set's name, whether it was given by its name, as a path or by the paths of its sides."""
    sides = [str(dataset[side]) for side in ("gt", "lq") if dataset.get(side)]
    names = dataset["name"] if isinstance(dataset["name"], list) else [dataset["name"]]
    own = " + ".join(Path(str(name)).name.removesuffix("_HR") for name in names)
    return " and ".join(sides) or own


def _odd_sides(part: Mapping[str, Any]) -> list[str]:
    """Low-quality images of a training that were read, from no place that is called bicubic."""
    paths = part.get("lq") if isinstance(part, Mapping) else ()
    sides = {path: read_side(Path(path).parts[-2:]) for path in map(str, paths or ())}
    odd = [path for path, side in sides.items() if side is None or side.kind != "bicubic"]
    return [f"its training took low-quality images from {path}" for path in odd]


def method_label(cfg: Config, loaded: LoadedWeights, standing: Standing, plus: bool) -> str:
    """What tables call a method; ``+`` with self-ensemble.

    The published name where it is the published network; else the first word of the config's name
    (of a file that only spandrel knows, its name) where that is nobody's, or the network with its
    size.
    """
    name = re.split(r"_|[ -]?x\d", Path(cfg.filename or "").stem)[0]
    name = loaded.path.stem if loaded.network is not None else name
    own = name not in ("", "config") and not is_published_name(name) and not cfg.get("published")
    label = standing.method or (name if own else network_label(loaded.config))
    return label + "+" * plus


def network_label(config: Mapping[str, Any]) -> str:
    """A network by its type and size: ``EDSR 16x64``, ``SRCNN 9-5-5``."""
    known = registered(MODELS, config["type"]) is not None  # not a network of spandrel's
    full = full_config(config) if known else config
    sizes = "x".join(str(full[key]) for key in _SIZES if type(full.get(key)) is int)
    sizes = "-".join(map(str, full.get("kernel_sizes") or ())) or sizes
    name = f"{config['type']} {sizes}".strip()
    return f"own {name}" if is_published_name(name) else name
