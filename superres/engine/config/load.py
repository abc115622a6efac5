"""Finding, reading and completing a config.

A config is an mmengine text config (``_base_`` lists of files to inherit from). Two things are
added. What is written once at its top, such as ``scale``, is handed to the parts that take it,
after ``--cfg-options`` (:mod:`.handed_on`). And every error names the file, the key and, where
there is one, the near match.
"""

from __future__ import annotations

import ast
import copy
import logging
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.utils import import_modules_from_strings

from superres.errors import UserError, did_you_mean
from superres.interop.configs import recipe_of
from superres.interop.openmmlab import evaluation
from superres.paths import share_dir

from .ecosystem import REFUSED, SCALARS, SECTIONS, translate
from .handed_on import TOP_LEVEL, hand_on
from .reading import COMMAND_LINE, SETS, Source, read_config
from .types import use_scope
from .values import get, put, to_plain, walk

logger = logging.getLogger("superres")

KEYS = (
    *("scale", "model", "num_workers", "data_root", *SETS, "lq_patch_size", "margin"),
    *("degradation", "train_pipeline", "train_dataloader", "published", "max_iters"),
    *("global_batch_size", "val_interval", "checkpoint_interval", "optim_wrapper"),
    *("param_scheduler", "default_scope", "seed", "log_interval", "max_keep_checkpoints"),
    *("tensorboard", "eval_dataset", "load_from", "load_format", "work_dir", "custom_imports"),
    *("custom_hooks", "ema", "amp", "fast", "deterministic", "accumulate", "recompute"),
    *("save_best", "protocols", "metrics", "auto_scale_lr", *SCALARS, *SECTIONS),
)
"""Top-level keys that the program reads."""


def will_be_first() -> bool:
    """Whether this process will be rank 0, before the processes are joined."""
    return (os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0") == "0"


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
    path = Path(name)
    if os.path.isfile(path):  # Path.is_file raises where the name is too long
        return path
    root = share_dir("configs")
    # Under an installed package `configs/edsr/x.py` is not below the working directory.
    if path.parts[:1] == ("configs",) and os.path.isfile(root.joinpath(*path.parts[1:])):
        return root.joinpath(*path.parts[1:])
    known = shipped_configs()
    if path.name.removesuffix(".py") in known and len(path.parts) == 1:
        return known[path.name.removesuffix(".py")]
    what = "is a folder, not a config file" if os.path.isdir(path) else "does not exist"
    raise UserError(
        f"config {name!r} {what}" + (did_you_mean(path.stem, known) or f". Configs are in {root}.")
    )


def load_config(
    name: str | Config,
    options: list[str] | dict[str, Any] | None = None,
    launcher: str | None = None,
) -> Config:
    """Read a config, apply ``KEY=VALUE`` options, and hand on what stands at its top.

    Keys in OpenMMLab's spelling are translated; see :mod:`.ecosystem`.

    Args:
        name: path or bare name (see :func:`find_config`), or a Config object, which is copied.
        options: as given to ``--cfg-options``, e.g. ``['scale=2', 'test_sets=[Set5,Set14]']``, or
            values by dotted key.
        launcher: instead of the config's, which says how many processes there are.

    Raises:
        UserError: no such file, a syntax error (with file and line), an unknown key in the file
            or in ``options`` (with near matches).
    """
    changes = options if isinstance(options, dict) else parse_options(options or [])
    use_scope()
    cfg, source = _opened(name)
    _check_keys(cfg, source)
    before = {key: to_plain(cfg[key]) for key in TOP_LEVEL if key in cfg}
    for key, value in changes.items():
        _check_option(cfg, key)
        put(cfg._cfg_dict, key, to_plain(value))
        source.stated[key] = COMMAND_LINE
    for path, value in walk(cfg):
        if hasattr(value, "__qualname__"):  # registries take full names of classes, too
            put(cfg._cfg_dict, path, f"{value.__module__}.{value.__qualname__}")
        elif isinstance(value, str) and "${" in value:
            raise UserError(
                f"config {cfg.filename}: {path} = {value!r}: such references are no longer read. "
                "Leave the key out (scale, data_root and the like reach all parts that take them) "
                "or let Python compute it"
            )
    if cfg.get("custom_imports"):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except (ImportError, TypeError) as error:
            raise UserError(f"config: custom_imports: {error}") from error
    notes = translate(cfg, source, planned_size(launcher or cfg.get("launcher")))
    if notes:
        _warn(f"config {cfg.filename}: has no effect here: {'; '.join(notes)}")
    for key in SETS:
        value = cfg.get(key, {})
        if isinstance(value, (list, tuple)):
            cfg[key] = [v if isinstance(v, dict) else str(v) for v in value]
        elif not isinstance(value, dict):
            cfg[key] = str(value)  # a set called 291 is a name, not a number
    hand_on(cfg, before)
    return cfg


def _opened(name: str | Config) -> tuple[Config, Source]:
    """A config as its files or the Config object state it; another toolbox's in our words."""
    if isinstance(name, Config):
        cfg, source = copy.deepcopy(name), Source()
        if os.path.isfile(cfg.filename or ""):
            as_file, source = read_config(Path(cfg.filename))
            source.changed = lambda key: get(cfg._cfg_dict, key) != get(as_file._cfg_dict, key)
        return cfg, source
    if not isinstance(name, str | os.PathLike):
        raise UserError(
            f"a {type(name).__name__} is no config; give its path, its name, or a Config"
        )
    path = find_config(os.fspath(name))
    cfg, source = read_config(path)
    recipe = recipe_of(cfg._cfg_dict, path)
    told = recipe.notes if recipe else evaluation(cfg._cfg_dict, str(path))
    if recipe:
        with recipe.file() as leaf:
            cfg, source = read_config(leaf)
        object.__setattr__(cfg, "_filename", str(path))
    if told:
        _warn(f"config {path}: {'; '.join(told)}")
    return cfg, source


def _warn(text: str) -> None:
    if will_be_first():
        logger.warning(text)


def _check_keys(cfg: Config, source: Source) -> None:
    """Tell of top-level keys that neither the program nor the config's own Python code reads.

    A leading underscore silences this. A config as a run leaves it in its work dir has lost that
    code, so it is only warned about what looks like a slip.

    Raises:
        UserError: a key of OpenMMLab's that has another form here, or that resembles a known one.
            Others are told in a warning.
    """
    unread = [key for key in cfg if key not in KEYS and not key.startswith("_")]
    read = source.words() if unread else ()
    saved = len(source.files) < 2
    for key in unread:
        if key in read:
            continue
        if key in REFUSED:
            if cfg[key]:
                raise UserError(f"config {cfg.filename}: {key} is not read here; {REFUSED[key]}")
            continue
        near = did_you_mean(key, KEYS, 0.8)
        text = f"config {cfg.filename}: nothing reads its key {key!r}"
        if near and not saved:
            raise UserError(f"{text}{near} (A value of your own starts with an underscore.)")
        if near or not saved:
            _warn(text)


def _check_option(cfg: Config, key: str) -> None:
    """An option may set a key that something reads; :mod:`.check` knows what a type accepts."""
    first = key.split(".")[0]
    if first in KEYS or first.startswith("_"):
        return
    where = f"--cfg-options {key}:"
    if first in REFUSED:
        raise UserError(f"{where} {first} is not read here; {REFUSED[first]}")
    if first in cfg:
        raise UserError(
            f"{where} only the config's own Python code uses {first!r}, and has used it up before "
            "options are put in; set what it is used in ('superres print-config')"
        )
    near = did_you_mean(first, KEYS) or f"; known: {', '.join(sorted(KEYS))}"
    raise UserError(f"{where} the config has no key {first!r}{near}")


def parse_options(options: list[str]) -> dict[str, Any]:
    """``['a.b=1', 'c=[x,y]', 'd=dict(e=1)']`` to ``{'a.b': 1, 'c': ['x', 'y'], 'd': {'e': 1}}``.

    Values are Python literals, ``dict(...)``, or mmengine's notation: text without quotes.

    Raises:
        UserError: an option without ``=``, or that cannot be read.
    """
    parsed = {}
    for option in options:
        key, sign, value = option.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--cfg-options takes KEY=VALUE, found {option!r}")
        try:
            parsed[key.strip()] = _value(value.strip())
        except (AssertionError, IndexError, TypeError, ValueError, MemoryError, RecursionError):
            raise UserError(
                f"--cfg-options {option[:200]}: cannot be read. Write quotes around names and "
                "paths: [dict(gt='/a')]"
            ) from None
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
        return DictAction._parse_iterable(text)
