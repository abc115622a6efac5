"""Whether a test is of a published network, the scores that then stand beside it, and its label.

A config carries ``published`` and hands it on to every config that inherits from it, so the key
alone says nothing. What counts are the facts: the network, its training set and its recipe, as
the checkpoint states them, or a file whose SHA-256 its authors publish. They are compared with
those that ``superres.evaluation.published.load_networks`` describes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.checkpoints import LoadedWeights
from superres.checkpoints.formats import OWN
from superres.checkpoints.networks import full_config
from superres.checkpoints.weight_files import sha256
from superres.datasets.fingerprint import CONVENTIONS
from superres.datasets.layouts import read_side
from superres.engine.config.check import network_differences
from superres.engine.config.values import to_plain, walk
from superres.errors import UserError
from superres.evaluation import published
from superres.evaluation.published import PublishedNetwork, PublishedScore, is_published_name
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
TOLERANCE = 0.3
"""dB between bicubic's scores of one set: roundings, and MATLAB's two borders, are within it."""
_SIZES = ("num_groups", "num_blocks", "num_layers", "channels")


@dataclass
class Standing:
    """What a tested network is, as far as it is known.

    Attributes:
        named: the published method that its config names.
        scores: the published scores of its config's method, with or without self-ensemble.
        why: reasons for which they are left out.
        known_by: how the published network was recognised.
    """

    named: str | None = None
    scores: list[PublishedScore] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    known_by: str | None = None

    @property
    def method(self) -> str | None:
        """Its published name; None where it is not, or may not be, the published network."""
        return None if self.why else self.named


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
        if not loaded.meta:
            doubts.append("the file does not tell what it was trained on")
        elif not found.why:
            found.why, doubts = _of_training(loaded, network)
    if stated and (network is None or found.why):
        reason = "; ".join(found.why) or "the config names no published method"
        raise UserError(f"--published: {loaded.path} is not a published network: {reason}")
    if stated and doubts:
        found.known_by = "--published"
    elif doubts and not found.why:
        found.why = [f"{doubts[0]}. Where it is the published network, say so by --published"]
    return found


def standing_of_training(
    cfg: Config, pictures: int | None = None, self_ensemble: bool = False
) -> Standing:
    """What a config trains; ``images`` are those of the training set, where it is there."""
    found, network = _named(cfg, self_ensemble)
    if network is None:
        return found
    found.why += _network_differences(to_plain(cfg.model)["backbone"], network, set())
    if network.training is not None or pictures is not None:
        part = {"config": to_plain(cfg), "pictures": pictures}
        found.why += _training_differences(part, network, cfg.get("max_iters"))
    return found


def _of_training(loaded: LoadedWeights, network: PublishedNetwork) -> tuple[list[str], list[str]]:
    """What differs in the training that a checkpoint states, and what it leaves open."""
    meta, path, why, doubts = loaded.meta, loaded.path, [], []
    done, planned = meta.get("iter"), (meta.get("config") or {}).get("max_iters")
    if path.name == "best.pth" and done != planned:  # the end of the training counts
        done = planned
        if not path.with_name(f"iter_{planned}.pth").is_file():
            doubts = ["best.pth does not tell whether its training was finished"]
    earlier = meta.get("earlier")  # of a resumed training
    for part in (meta, *(earlier if isinstance(earlier, list) else ())):
        why += _training_differences(part, network, done)
        doubts += _odd_sides(part)
    return why, doubts


def _named(cfg: Config, self_ensemble: bool) -> tuple[Standing, PublishedNetwork | None]:
    """The scores of the method that a config names, and what that method is."""
    wanted = to_plain(cfg.get("published") or {})
    if not wanted:
        return Standing(), None
    if not isinstance(wanted, dict) or not {"method", "tables"} <= wanted.keys():
        form = "dict(method='NAME', tables=['TABLE', ...])"
        raise UserError(f"config: published = {wanted!r} must be {form}")
    name = wanted["method"] + ("+" if self_ensemble else "")
    scores = [
        score
        for table in wanted["tables"]
        for score in published.load_table(table)
        if score.method == name and score.degradation == wanted.get("degradation", "bicubic")
    ]
    network = published.find_network(wanted["method"], wanted["tables"])
    why = [] if network else ["the method that the config names is not described here"]
    return Standing(wanted["method"], scores, why), network


def _network_differences(
    found: Mapping[str, Any], network: PublishedNetwork, ignored: set[str]
) -> list[str]:
    wanted = dict(network.network)
    skipped = ignored | {"init", "scale"} | ({"scales"} - wanted.keys())
    differing = network_differences(found, wanted, skipped)
    own = registered(MODELS, wanted["type"]).__module__
    if "type" not in differing and not own.startswith("superres."):
        return [f"the network is one of your own by the name of {wanted['type']}"]
    return [f"the network differs: {_shown(differing)}"] if differing else []


def _shown(differing: Mapping[str, tuple[Any, Any]]) -> str:
    shown = {key: [textwrap.shorten(repr(x), 60) for x in xs] for key, xs in differing.items()}
    return "; ".join(f"{key} {here} instead of {there}" for key, (here, there) in shown.items())


def _training_differences(
    part: Mapping[str, Any], network: PublishedNetwork, iterations: Any
) -> list[str]:
    """What differs in a training of so many iterations on ``pictures=`` images (None: unknown)."""
    if network.training is None:
        return ["the published training is not known, or not one that a config here repeats"]
    try:
        config = to_plain(part["config"])
        found, scale = _training(config), config["scale"]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        return ["the checkpoint does not tell how it was trained"]
    wanted = dict(network.training)
    if isinstance(wanted["lq_patch_size"], Mapping):
        wanted["lq_patch_size"] = wanted["lq_patch_size"].get(str(scale))
    if scale in network.warm_start:
        del found["load_from"]
    images = part.get("pictures")
    found["images"] = wanted["images"] if images is None else images
    found["iterations"], wanted["iterations"] = iterations, wanted.pop("max_iters")
    ours, theirs = (
        {path: value for path, value in walk(facts) if not isinstance(value, dict | list)}
        for facts in (found, wanted)
    )
    pairs = {key: (ours.get(key), theirs.get(key)) for key in {**ours, **theirs}}
    changed = {key: (here, there) for key, (here, there) in pairs.items() if here != there}
    return [f"the training differs: {_shown(changed)}"] if changed else []


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
    odd = {k: v for k, v in inner.items() if k not in _PLACE and v != _USUAL.get(k)}
    return {
        "train_set": _set_name(inner),
        "images": None,
        "dataset": odd,
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
    paths = part.get("lq") if isinstance(part, Mapping) else None
    paths = map(str, paths if isinstance(paths, list) else ())
    sides = {path: read_side(Path(path).parts[-2:]) for path in paths}
    odd = [path for path, side in sides.items() if side is None or side.kind != "bicubic"]
    return [f"its training took low-quality images from {path}" for path in odd]


def method_label(cfg: Config, loaded: LoadedWeights, standing: Standing, plus: bool) -> str:
    """What tables call a method; ``+`` with self-ensemble.

    The published name where it is the published network; else the first word of the config's name
    where that is nobody's, or the network with its size.
    """
    foreign = loaded.network is not None
    whole = loaded.path.stem if foreign else Path(cfg.filename or "").stem
    name = re.split(r"_|[ -]?x\d", whole)[0]
    nobodys = name not in ("", "config") and not is_published_name(name)
    own = (whole if foreign else name) if nobodys and not cfg.get("published") else None
    return (standing.method or own or network_label(loaded.config)) + "+" * plus


def network_label(config: Mapping[str, Any]) -> str:
    """A network by its type and size: ``EDSR 16x64``, ``SRCNN 9-5-5``."""
    known = registered(MODELS, config["type"]) is not None  # not a network of spandrel's
    full = full_config(config) if known else config
    sizes = "x".join(str(full[key]) for key in _SIZES if type(full.get(key)) is int)
    sizes = "-".join(map(str, full.get("kernel_sizes") or ())) or sizes
    name = f"{config['type']} {sizes}".strip()
    return f"own {name}" if is_published_name(name) else name


def comparison(
    sets: list[dict[str, Any]],
    standing: Standing,
    degradation: str,
    baselines: Sequence[dict[str, Any]],
) -> Callable[..., dict[str, Any]]:
    """The one rule of when a published score stands beside a result.

    Args:
        sets: of results.json: how their low-quality images were made.
        standing: of what was tested.
        degradation: of the published scores of its method.
        baselines: the entries of bicubic.

    Returns:
        A function that puts the published scores beside an entry (and, with ``ours``, of the
        tested network) where they are of the same thing, and notes where they are not.
    """
    bicubic = published.find_published("Bicubic")
    others = _of_other_images(baselines)
    known = {(line["set"], line["scale"]): _lq_made_by(line) for line in sets}

    def compared(entry: dict[str, Any], ours: bool) -> dict[str, Any]:
        where = entry["set"], entry["scale"]
        made_by, notes = known.get(where, (None, []))
        of, scores = (degradation, standing.scores) if ours else ("bicubic", bicubic)
        why = []
        if made_by not in (None, of):
            why.append(f"published scores are of {of} LR, so they are left out")
        elif of == "bicubic" and where in others:
            why.append(others[where])
        if ours:
            why += [f"published scores are left out: {reason}" for reason in standing.why]
        if "published" in published.with_published(entry, scores):
            notes = [*notes, *why]
        if ours and standing.known_by == "--published":
            notes = [*notes, "published network as stated by --published"]
        if ours and not standing.method and is_published_name(entry["method"]):
            notes = [*notes, "named by --name: not known to be the published network"]
        if notes := [*entry.get("notes", ()), *notes]:
            entry = {**entry, "notes": notes}
        return published.with_published(entry, [] if why else scores)

    return compared


def _of_other_images(baselines: Sequence[dict[str, Any]]) -> dict[tuple[str, int], str]:
    """Why sets cannot be those of publications: by the same luma, bicubic reaches another score."""
    found = {}
    for entry in baselines:
        by = "classical-y" if entry["protocol"] == "edsr-y" else entry["protocol"]
        place = entry["set"], entry["scale"]
        name = published.ON_DISK.get(place[0], place[0])
        for score in published.find_published("Bicubic", name, place[1], by):
            if entry["psnr"] is not None and abs(entry["psnr"] - score.psnr) > TOLERANCE:
                scores = f"{entry['psnr']:.2f} dB here and {score.psnr} dB in publications"
                why = f"bicubic has {scores}: these are not the images of {score.set}"
                found[place] = f"{why}, so published scores are left out"
    return found


def _lq_made_by(line: dict[str, Any]) -> tuple[str | None, list[str]]:
    """How a set's LR was made (bicubic, blur-down, other; None: not known), and what to say."""
    fingerprint = line.get("lq_fingerprint") or {}
    names = fingerprint.get("convention")
    if names is None:
        return None, []
    ways = [CONVENTIONS[name] for name in names]
    if any(way.family in ("matlab", "rounding") for way in ways):
        return "bicubic", []
    kind = "blur-down" if "bd" in names else "other"
    if fingerprint["made_here"]:  # EvalSet's notes tell
        return kind, []
    how = f"is not MATLAB's bicubic but {ways[0].text}" if ways else "made in no way known here"
    return kind, [f"LR {how} (judged by {', '.join(fingerprint['checked'])})"]
