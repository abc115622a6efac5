"""Finding, reading and completing a config.

A config is an mmengine text config (``_base_`` lists of files to inherit from). Two things are
added. What is written once at its top, such as ``scale``, reaches every part that takes it
(:func:`hand_on`), after ``--cfg-options``. And every error names the file, the key and, where
there is one, the near match.
"""

from __future__ import annotations

import ast
import copy
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.utils import import_modules_from_strings

from superres.errors import UserError, did_you_mean
from superres.interop.configs import recipe_of
from superres.interop.openmmlab import evaluation
from superres.paths import share_dir

from .ecosystem import REFUSED, SCALARS, SECTIONS, overrule, translate
from .reading import SETS, Source, read_config
from .values import accepted_arguments, blame, get, put, to_plain, use_scope, walk

logger = logging.getLogger("superres")

KEYS = (
    *("scale", "model", "num_workers", "data_root", *SETS, "lq_patch_size", "margin"),
    *("degradation", "train_pipeline", "train_dataloader", "published", "max_iters"),
    *("global_batch_size", "val_interval", "checkpoint_interval", "optim_wrapper"),
    *("param_scheduler", "default_scope", "seed", "log_interval", "max_keep_checkpoints"),
    *("tensorboard", "visualizer", "vis_backends", "freeze", "eval_dataset", "load_from"),
    *("load_format", "work_dir", "custom_imports"),
    *("custom_hooks", "ema", "amp", "speed", "deterministic", "accumulate", "recompute"),
    *("save_best", "protocols", "metrics", "auto_scale_lr", *SCALARS, *SECTIONS),
)
"""Top-level keys that the program reads."""

_BACKBONE = {"scale": "scale", "scales": "scale"}
_DATASET = {"name": "train_set", "data_root": "data_root", "pipeline": "train_pipeline"}
_DATASET |= _BACKBONE
_TRANSFORM = {key: key for key in ("lq_patch_size", "margin", "global_batch_size")}
_SCHEDULES_TO_THE_END = ("Linear", "Poly")  # mmengine's default end is never: their rate would stay

TOP_LEVEL = (*_DATASET.values(), *_TRANSFORM, "max_iters", "num_workers", "degradation")
"""Keys whose values are handed on."""


def planned_size(launcher: str | None) -> int:
    """Number of processes that the run will have, before they are joined."""
    if launcher in (None, "none") and "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)


def shipped_configs() -> dict[str, Path]:
    """The configs that come with the package, by their bare names."""
    files = sorted(share_dir("configs").rglob("*.py"))
    return {path.stem: path for path in files if "_base_" not in path.parts}


def find_config(name: str) -> Path:
    """The path of a config given as a path or by its bare name.

    A bare name is looked up among the configs that come with the package.

    Raises:
        UserError: there is no such file; near matches are named.
    """
    path, root, known = Path(name), share_dir("configs"), shipped_configs()
    # Under an installed package `configs/edsr/x.py` is not below the working directory.
    shipped = root.joinpath(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    for found in (path, shipped, known.get(name.removesuffix(".py"), path)):
        if os.path.isfile(found):  # Path.is_file raises where the name is too long
            return found
    what = "is a folder, not a config file" if os.path.isdir(path) else "does not exist"
    near = did_you_mean(path.stem, known) or f". Configs are in {root}."
    raise UserError(f"config {name!r} {what}{near}")


def load_config(
    name: str | Config,
    options: list[str] | dict[str, Any] | None = None,
    launcher: str | None = None,
    warn: Callable[[str], None] | None = None,
) -> Config:
    """Read a config, apply ``KEY=VALUE`` options, and hand on what stands at its top.

    Keys in OpenMMLab's spelling are translated; see :mod:`.ecosystem`.

    Args:
        name: path or bare name (see :func:`find_config`), or a Config object, which is copied.
        options: as given to ``--cfg-options``, e.g. ``['scale=2', 'test_sets=[Set5,Set14]']``, or
            values by dotted key.
        launcher: instead of the config's, which says how many processes there are.
        warn: called with what has no effect; default: a warning of rank 0.

    Raises:
        UserError: no such file, a syntax error (with file and line), an unknown key in the file
            or in ``options`` (with near matches).
    """
    changes = to_plain(parse_options(options))
    first = (os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0") == "0"
    warn = warn or (logger.warning if first else lambda _: None)
    use_scope()
    cfg, source = _opened(name, warn)
    root = cfg._cfg_dict
    if "fast" in root:  # what speed was called; an option may set a part of it
        root["speed"] = root.pop("fast")
    _check_keys(cfg, source, warn)
    before, tree = to_plain({key: cfg[key] for key in TOP_LEVEL if key in cfg}), ConfigDict()
    changes = {re.sub(r"^fast(?=\.|$)", "speed", k): v for k, v in changes.items()}
    for key, value in changes.items():
        _check_option(cfg, key)
        put(tree, key, value)
    overrule(tree, root)
    for key, value in changes.items():
        put(root, key, value)
    for path, value in walk(cfg):
        if hasattr(value, "__qualname__"):  # registries take full names of classes, too
            put(root, path, f"{value.__module__}.{value.__qualname__}")
        elif isinstance(value, str) and "${" in value:
            raise UserError(
                f"config {cfg.filename}: {path} = {value!r}: such references are no longer read. "
                "Leave the key out (scale and its like reach all parts), or let Python compute it"
            )
    if cfg.get("custom_imports"):  # of an option; mmengine imports those of a file
        with blame("custom_imports", None):
            import_modules_from_strings(**cfg.custom_imports)
    notes = translate(cfg, source.defaults, planned_size(launcher or cfg.get("launcher")))
    if notes:
        warn(f"config {cfg.filename}: has no effect here: {'; '.join(notes)}")
    for key in cfg.keys() & SETS:  # a set called 291 is a name, not a number
        if isinstance(cfg[key], list | tuple):
            cfg[key] = [str(one) if isinstance(one, int) else one for one in cfg[key]]
        elif isinstance(cfg[key], int):
            cfg[key] = str(cfg[key])
    hand_on(cfg, before)
    return cfg


def _opened(name: str | Config, warn: Callable[[str], None]) -> tuple[Config, Source]:
    """A config as its files or the Config object state it; another toolbox's in our words."""
    if isinstance(name, Config):
        there = os.path.isfile(name.filename or "")
        return copy.deepcopy(name), read_config(Path(name.filename))[1] if there else Source()
    if not isinstance(name, str | os.PathLike):
        what = f"a {type(name).__name__} is not a config"
        raise UserError(f"{what}; pass its path, its name, or a Config")
    path = find_config(os.fspath(name))
    cfg, source = read_config(path)
    recipe = recipe_of(cfg._cfg_dict, path)
    messages = recipe.notes if recipe else evaluation(cfg._cfg_dict, str(path))
    if recipe:
        with recipe.file() as leaf:
            cfg, source = read_config(leaf)
        cfg.__dict__.update(_filename=str(path), _paths=recipe.paths)
    if messages:
        warn(f"config {path}: {'; '.join(messages)}")
    return cfg, source


@contextmanager
def their_keys(cfg: Config) -> Iterator[None]:
    """Have a mistake about a path of a translated config name the key in its file.

    Raises:
        UserError: instead of one that names such a path.
    """
    try:
        yield
    except UserError as error:
        paths = getattr(cfg, "_paths", {})
        named = max((path for path in paths if path in str(error)), key=len, default=None)
        if named is None:
            raise
        raise UserError(f"{error}; {cfg.filename} has it as {paths[named]}") from error


def _check_keys(cfg: Config, source: Source, warn: Callable[[str], None]) -> None:
    """Tell of top-level keys that neither the program nor the config's own Python code reads.

    A leading underscore silences this. A config as a run leaves it in its work dir has lost that
    code, so it is only warned about what looks like a slip.

    Raises:
        UserError: a key of OpenMMLab's that has another form here, or that resembles a known one.
            Others cause a warning.
    """
    unread = [key for key in cfg if key not in KEYS and not key.startswith("_")]
    read = source.words() if unread else ()
    saved = len(source.files) < 2
    for key in unread:
        near = did_you_mean(key, KEYS, 0.8)
        text = f"config {cfg.filename}: nothing reads its key {key!r}"
        if key in read or (key in REFUSED and not cfg[key]):
            continue
        if key in REFUSED:
            raise UserError(f"config {cfg.filename}: {key} is not read here; {REFUSED[key]}")
        if near and not saved:
            raise UserError(f"{text}{near} (A value of your own starts with an underscore.)")
        if near or not saved:
            warn(text)


def _check_option(cfg: Config, key: str) -> None:
    """An option may set a key that something reads; :mod:`.check` knows what a type accepts."""
    first = key.split(".")[0]
    if first in KEYS or first.startswith("_"):
        return
    near = did_you_mean(first, KEYS) or f"; known: {', '.join(sorted(KEYS))}"
    text = f"the config has no key {first!r}{near}"
    if first in REFUSED:
        text = f"{first} is not read here; {REFUSED[first]}"
    elif first in cfg:
        text = f"only the config's own Python code uses {first!r}, before options are put in"
    raise UserError(f"--cfg-options {key}: {text}")


def parse_options(options: list[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """``['a.b=1', 'c=[x,y]', 'd=dict(e=1)']`` to ``{'a.b': 1, 'c': ['x', 'y'], 'd': {'e': 1}}``.

    Values are Python literals, ``dict(...)``, or mmengine's notation: text without quotes. What is
    a dict already is copied.

    Raises:
        UserError: an option without ``=``, or that cannot be read.
    """
    if isinstance(options, Mapping):
        return dict(options)
    parsed = {}
    for option in options or ():
        key, sign, value = option.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--cfg-options takes KEY=VALUE, found {option!r}")
        try:
            parsed[key.strip()] = _value(value.strip())
        except (AssertionError, IndexError, TypeError, ValueError, MemoryError, RecursionError):
            hint = "Write quotes around names and paths: [dict(gt='/a')]"
            raise UserError(f"--cfg-options {option[:200]}: cannot be read. {hint}") from None
    return parsed


class _Words(ast.NodeTransformer):
    """``dict(a=b)`` as ``{'a': 'b'}``: what makes a literal of it."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(DictAction._parse_int_float_bool(node.id))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if getattr(node.func, "id", "") != "dict" or node.args:
            raise ValueError
        keys = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [self.visit(keyword.value) for keyword in node.keywords])


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(_Words().visit(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError):
        if "dict(" in text:
            raise ValueError(text) from None
        return DictAction._parse_iterable(text)


def hand_on(cfg: Config, before: Mapping[str, Any]) -> None:
    """Give each part of a config the values that stand at its top and that it takes, in place.

    A part gets a value that it does not state itself, and only where its signature declares the
    argument. The config that a run saves states all of them. There, and in configs that repeat a
    value by hand, a part follows its key: ``--cfg-options scale=2`` replaces every ``scale`` that
    was equal to the one at the top.

    ====================================  =======================================================
    at the top                            goes to
    ====================================  =======================================================
    scale                                 ``scale`` or ``scales`` of the backbone and the dataset
    train_set, data_root, train_pipeline  ``name``, ``data_root``, ``pipeline`` of the dataset
    lq_patch_size, margin                 the crop
    global_batch_size                     transforms that take it
    degradation                           a ``dict(type='Degrade')`` of the pipeline without steps,
                                          and ``eval_dataset.make_lq``
    num_workers                           ``train_dataloader``
    max_iters                             ends of schedules: ``T_max`` (less ``begin``) of cosines,
                                          ``end`` of LinearLR and PolyLR, ``total_steps``
    ====================================  =======================================================

    Args:
        cfg: complete, with ``--cfg-options``; modules of a user's own are imported.
        before: the values at the top before ``--cfg-options``; a part that states one of them
            follows the new one.
    """
    root = cfg._cfg_dict

    def give(node: Any, argument: str, key: str) -> None:
        """One value, where the node states none or the one from before."""
        if not isinstance(node, dict):
            return
        known = before.get(key)
        followed = known is not None and to_plain(node.get(argument)) in (known, [known])
        if key in root and (argument not in node or followed):
            one = argument == "scales" and isinstance(root[key], int)
            node[argument] = [root[key]] if one else copy.deepcopy(root[key])

    def fill(node: Any, takes: Mapping[str, str]) -> None:
        accepted = accepted_arguments(node) if isinstance(node, dict) and "type" in node else ()
        for argument in [argument for argument in takes if argument in (accepted or ())]:
            if argument != "lq_patch_size" or node.get("gt_patch_size") is None:
                give(node, argument, takes[argument])

    def entries(key: str) -> list:
        return root[key] if isinstance(root.get(key), list) else []

    steps, degradation = entries("train_pipeline"), root.get("degradation")
    if steps and degradation is not None:
        same = (before.get("degradation"), {"type": "Degrade"})
        copies = [degradation if to_plain(step) in same else step for step in steps]
        steps[:] = copy.deepcopy(copies)
        give(root.setdefault("eval_dataset", ConfigDict()), "make_lq", "degradation")
    for step in steps:
        fill(step, _TRANSFORM)
    fill(get(root, "model.backbone"), _BACKBONE)
    dataset = get(root, "train_dataloader.dataset")
    while isinstance(dataset, dict):
        fill(dataset, _DATASET)
        dataset = dataset.get("dataset")
    if isinstance(root.get("train_dataloader"), dict) and "num_workers" in root:
        root["train_dataloader"]["num_workers"] = root["num_workers"]
    for schedule in entries("param_scheduler"):
        if isinstance(schedule, dict) and "type" in schedule:
            _end(schedule, root.get("max_iters"), before.get("max_iters"))


def _end(schedule: dict, max_iters: Any, before: Any) -> None:
    accepted, begin = accepted_arguments(schedule) or (), schedule.get("begin", 0)
    ends = {"total_steps": begin} if "end" in schedule else {"total_steps": begin, "T_max": begin}
    if str(schedule["type"]).startswith(_SCHEDULES_TO_THE_END):
        ends["end"] = 0
    for argument, less in ends.items():
        if argument not in accepted or type(max_iters) is not int or type(less) is not int:
            continue
        if argument not in schedule or schedule[argument] == (before or math.inf) - less:
            schedule[argument] = max(1, max_iters - less)
