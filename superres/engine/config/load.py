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
import re
from collections.abc import Collection
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
from .processes import planned_size, will_be_first
from .reading import COMMAND_LINE, SETS, Source, read_config
from .values import MISSING, get, put, to_plain

logger = logging.getLogger("superres")

_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_DEEPEST_REFERENCE = 5

KEYS = (
    *("scale", "model", "num_workers", "data_root", *SETS, "lq_patch_size", "margin"),
    *("degradation", "train_pipeline", "train_dataloader", "published", "max_iters"),
    *("global_batch_size", "val_interval", "checkpoint_interval", "optim_wrapper"),
    *("param_scheduler", "default_scope", "seed", "log_interval", "max_keep_checkpoints"),
    *("tensorboard",),
)
"""Top-level keys that the program reads, and that the configs of the package state."""

OPTIONAL_KEYS = (
    *("eval_dataset", "load_from", "load_format", "work_dir", "custom_imports", "custom_hooks"),
    *("ema", "amp", "fast", "deterministic", "accumulate", "recompute", "save_best", "protocols"),
    *("metrics", "auto_scale_lr", *SCALARS, *SECTIONS),
)
"""Those that a command line may add although no config file has to state them."""


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
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    if parts and os.path.isfile(root.joinpath(*parts)):
        return root.joinpath(*parts)
    known = shipped_configs()
    if path.name.removesuffix(".py") in known and len(path.parts) == 1:
        return known[path.name.removesuffix(".py")]
    what = "is a folder, not a config file" if os.path.isdir(path) else "does not exist"
    raise UserError(
        f"config {name!r} {what}" + (did_you_mean(path.stem, known) or f". Configs are in {root}.")
    )


def load_config(
    name: str | Config, options: list[str] | None = None, launcher: str | None = None
) -> Config:
    """Read a config, apply ``KEY=VALUE`` options, and hand on what stands at its top.

    Keys in OpenMMLab's spelling are translated; see :mod:`.ecosystem`.

    Args:
        name: path or bare name (see :func:`find_config`), or a Config object, which is copied.
        options: as given to ``--cfg-options``, e.g. ``['scale=2', 'test_sets=[Set5,Set14]']``.
        launcher: instead of the config's, which says how many processes there are.

    Raises:
        UserError: no such file, a syntax error (with file and line), an unknown key in the file
            or in ``options`` (with near matches).
    """
    changes = parse_options(options or [])
    if isinstance(name, Config):
        cfg, source = copy.deepcopy(name), Source()
        if os.path.isfile(cfg.filename or ""):
            as_file, source = read_config(Path(cfg.filename))
            source.changed = lambda key: get(cfg._cfg_dict, key) != get(as_file._cfg_dict, key)
    else:
        path = find_config(name)
        cfg, source = read_config(path)
        recipe = recipe_of(cfg._cfg_dict, path)
        told = recipe.notes if recipe else evaluation(cfg._cfg_dict, str(path))
        if recipe:  # another toolbox's
            with recipe.file() as leaf:
                cfg, source = read_config(leaf)
            object.__setattr__(cfg, "_filename", str(path))
        if told and will_be_first():
            logger.warning(f"config {path}: {'; '.join(told)}")
    _check_keys(cfg, source)
    before = {key: to_plain(cfg[key]) for key in TOP_LEVEL if key in cfg}
    used = {*KEYS, *OPTIONAL_KEYS, *_referred(cfg)}
    for key, value in changes.items():
        _check_option(cfg, key, used)
        put(cfg._cfg_dict, key, value)
        source.stated[key] = COMMAND_LINE
    for key in cfg:
        cfg[key] = _resolved(cfg[key], cfg._cfg_dict)
    import_custom_modules(cfg)
    notes = translate(cfg, source, planned_size(launcher or cfg.get("launcher")))
    if notes and will_be_first():
        logger.warning(f"config {cfg.filename}: has no effect here: {'; '.join(notes)}")
    for key in SETS:
        value = cfg.get(key, {})
        if isinstance(value, (list, tuple)):
            cfg[key] = [v if isinstance(v, dict) else str(v) for v in value]
        elif not isinstance(value, dict):
            cfg[key] = str(value)  # a set called 291 is a name, not a number
    hand_on(cfg, before)
    return cfg


def import_custom_modules(cfg: Config) -> None:
    """Import what ``custom_imports`` names, so that it is registered."""
    if cfg.get("custom_imports"):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except (ImportError, TypeError) as error:
            raise UserError(f"config: custom_imports: {error}") from error


def _resolved(node: Any, root: dict, inside: int = 0) -> Any:
    """A config's part with classes by their names, and the values of ``'${key}'`` in place.

    Registries take full names of classes, too. References are the older way to hand values on.

    Raises:
        UserError: no such key, or keys that refer to each other in a circle.
    """
    if isinstance(node, dict):
        return type(node)((k, _resolved(v, root, inside)) for k, v in node.items())
    if isinstance(node, list | tuple):
        return type(node)(_resolved(v, root, inside) for v in node)
    if hasattr(node, "__qualname__"):
        return f"{node.__module__}.{node.__qualname__}"
    if not isinstance(node, str) or "${" not in node:
        return node
    if inside > _DEEPEST_REFERENCE:
        raise UserError(f"config: {node!r} refers to itself")

    def value(match: re.Match) -> Any:
        found = get(root, match[1])
        if found is MISSING:
            near = did_you_mean(match[1], root)
            raise UserError(f"config: {node!r} refers to a key that does not exist{near}")
        return _resolved(found, root, inside + 1)

    whole = _REFERENCE.fullmatch(node)
    return value(whole) if whole else _REFERENCE.sub(lambda match: str(value(match)), node)


def _referred(cfg: Config) -> set[str]:
    """The top-level keys that a config's ``'${key}'`` refer to."""
    return {name.partition(".")[0] for name in _REFERENCE.findall(str(cfg._cfg_dict))}


def _check_keys(cfg: Config, source: Source) -> None:
    """Tell of top-level keys that neither the program nor the config's own Python code reads.

    A leading underscore silences this. A config as a run leaves it in its work dir has lost that
    code, so it is only warned about what looks like a slip.

    Raises:
        UserError: a key of OpenMMLab's that has another form here, or that resembles a known one.
            Others are told in a warning.
    """
    known = {*KEYS, *OPTIONAL_KEYS}
    unread = {key for key in cfg if key not in known and not key.startswith("_")}
    if not unread:
        return
    used = source.used_names() | _referred(cfg)
    resolved = len(source.files) < 2 and not _referred(cfg)
    for key in sorted(unread - used):
        if key in REFUSED:
            if cfg[key]:
                raise UserError(f"config {cfg.filename}: {key} is not read here; {REFUSED[key]}")
            continue
        near = did_you_mean(key, known, 0.8)
        text = f"config {cfg.filename}: nothing reads its key {key!r}"
        if near and not resolved:
            raise UserError(f"{text}{near} (A value of your own starts with an underscore.)")
        if (near or not resolved) and will_be_first():
            logger.warning(text)


def parse_options(options: list[str]) -> dict[str, Any]:
    """``['a.b=1', 'c=[x,y]', 'd=dict(e=1)']`` to ``{'a.b': 1, 'c': ['x', 'y'], 'd': {'e': 1}}``.

    Values are Python literals, ``dict(...)``, or mmengine's notation: text without quotes.

    Raises:
        UserError: an option without ``=``, or that cannot be read.
    """
    parsed = {}
    for option in options:
        key, sign, value = option.partition("=")
        key, value = key.strip(), value.strip()
        if not sign or not key:
            raise UserError(f"--cfg-options takes KEY=VALUE, found {option!r}")
        try:
            parsed[key] = _value(value)
        except (AssertionError, IndexError, TypeError, ValueError, MemoryError, RecursionError):
            shown = option if len(option) <= 200 else f"{option[:200]}..."
            raise UserError(
                f"--cfg-options {shown}: cannot be read. Write quotes around names and paths: "
                "[dict(gt='/a')]"
            ) from None
    return parsed


def _value(text: str) -> Any:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return DictAction._parse_iterable(text)
    return _literal(node, text)


def _literal(node: ast.expr, text: str) -> Any:
    """A Python literal; words need no quotes, ``dict(a=b)`` is ``{'a': 'b'}``; nothing is run."""
    words = ast.get_source_segment(text, node)
    if isinstance(node, ast.List | ast.Tuple):
        items = [_literal(item, text) for item in node.elts]
        return tuple(items) if words.startswith("(") else items
    if isinstance(node, ast.Dict):
        return {_literal(k, text): _literal(v, text) for k, v in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        return {keyword.arg: _literal(keyword.value, text) for keyword in node.keywords}
    try:
        return ast.literal_eval(node)
    except ValueError:
        return DictAction._parse_int_float_bool(words)


def _check_option(cfg: Config, key: str, used: Collection[str]) -> None:
    """An option may set a key that something reads; :mod:`.check` knows what a type accepts."""
    first = key.split(".")[0]
    if (first in SECTIONS and first != "train_dataloader") or first in ("auto_scale_lr", "fast"):
        return  # which are checked as a whole
    node: Any = cfg._cfg_dict
    where = f"--cfg-options {key}:"
    if first not in node:
        if first in OPTIONAL_KEYS:
            return
        if first in REFUSED:
            raise UserError(f"{where} {first} is not read here; {REFUSED[first]}")
        known = {*node, *OPTIONAL_KEYS}
        near = did_you_mean(first, known) or f"; known: {', '.join(sorted(known))}"
        raise UserError(f"{where} the config has no key {first!r}{near}")
    if first not in used and not first.startswith("_"):
        raise UserError(
            f"{where} only the config's own Python code uses {first!r}, and has used it up before "
            "options are put in; set what it is used in ('superres print-config')"
        )
    so_far = ""
    for part in key.split("."):
        if isinstance(node, list):
            if not part.isdecimal() or int(part) >= len(node):
                raise UserError(
                    f"{where} {so_far} is a list of {len(node)} entries, {part!r} is not one of "
                    f"0..{len(node) - 1}"
                )
            node = node[int(part)]
        elif isinstance(node, dict):
            node = node.get(part)
        elif node is not None:
            raise UserError(f"{where} {so_far} is {node!r}, which has no key {part!r}")
        so_far = f"{so_far}.{part}" if so_far else part
