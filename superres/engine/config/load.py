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

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.utils import import_modules_from_strings

from superres.errors import UserError, did_you_mean
from superres.paths import share_dir

from .ecosystem import REFUSED, SCALARS, SECTIONS, known_below, refuse, translate
from .handed_on import TOP_LEVEL, hand_on
from .origin import base_files, depths
from .processes import planned_size, will_be_first
from .types import accepted_arguments
from .unused_keys import (
    READ_KEYS,
    SETS,
    check_keys,
    referred,
    runtime_keys,
    used_names,
    whole_sets,
)
from .values import MISSING, as_parts, get, to_plain

logger = logging.getLogger("superres")

_SUFFIXES = (".py", ".yml", ".yaml", ".json")
_LONGEST = 10_000
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_DEEPEST_REFERENCE = 5

OPTIONAL_KEYS = (
    "eval_dataset",
    "load_from",
    "load_format",
    "work_dir",
    "custom_imports",
    "custom_hooks",
    "ema",
    "amp",
    "fast",
    "deterministic",
    "accumulate",
    "recompute",
    "save_best",
    "protocols",
    "metrics",
    "auto_scale_lr",
    *SCALARS,
    *SECTIONS,
)
"""Top-level keys that a command line may add although no config file has to state them."""


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
    known = {p.stem: p for p in sorted(root.rglob("*.py")) if "_base_" not in p.parts}
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
    known = {*READ_KEYS, *OPTIONAL_KEYS, *runtime_keys()}
    if isinstance(name, Config):
        cfg = copy.deepcopy(name)
        written = os.path.isfile(cfg.filename or "")
        files = base_files(Path(cfg.filename)) if written else {}
        as_file = read_config(Path(cfg.filename)) if written else cfg
        depth = depths(
            files, changes, lambda key: get(cfg._cfg_dict, key) != get(as_file._cfg_dict, key)
        )
        refuse(cfg, set(cfg) - {name for file in files for name in used_names(file)})
    else:
        path = find_config(name)
        cfg, files = read_config(path), base_files(path)
        depth = depths(files, changes)
        check_keys(cfg, files, known)
    used = known | referred(cfg._cfg_dict)
    before = {key: to_plain(cfg[key]) for key in TOP_LEVEL if key in cfg}
    for key, value in changes.items():
        if key.startswith("fast.") and "fast" in cfg:
            cfg.fast = as_parts(cfg.fast)
        _check_option(cfg, key, used)
        _set(cfg, key, value)
    for key in cfg:
        cfg[key] = resolve_references(cfg[key], cfg._cfg_dict)
    import_custom_modules(cfg)
    notes = translate(cfg, depth, planned_size(launcher or cfg.get("launcher")))
    if notes and will_be_first():
        logger.warning(f"config {cfg.filename}: has no effect here: {'; '.join(notes)}")
    for key in SETS:
        if key in cfg:  # a set called 291 is a name, not a number
            value = cfg[key]
            if isinstance(value, (list, tuple)):
                cfg[key] = [v if isinstance(v, dict) else str(v) for v in value]
            elif not isinstance(value, dict):
                cfg[key] = str(value)
    hand_on(cfg, before)
    return cfg


def read_config(path: Path) -> Config:
    """A config's file with what it inherits, as it is written.

    Raises:
        UserError: whatever is wrong with the files, with file and line.
    """
    base_files(path)
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path} is no config: they end in {', '.join(_SUFFIXES)}")
    try:
        with whole_sets():
            return Config.fromfile(str(path), use_predefined_variables=False, lazy_import=False)
    except SyntaxError as error:
        # mmengine copies configs to a temporary folder, so the reported name is not the user's.
        raise UserError(_locate_syntax_error(path, error)) from error
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"config {path}: a file of its _base_ does not exist: {error.filename or error}"
        ) from error
    except Exception as error:  # the config is the user's Python program: anything can come out
        where, line = _innermost_config_line(error, path)
        raise UserError(
            f"config {where}{f', line {line}' if line else ''}: {type(error).__name__}: {error}"
        ) from error


def import_custom_modules(cfg: Config) -> None:
    """Import what ``custom_imports`` names, so that it is registered."""
    if cfg.get("custom_imports"):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except (ImportError, TypeError) as error:
            raise UserError(f"config: custom_imports: {error}") from error


def _locate_syntax_error(path: Path, error: SyntaxError) -> str:
    for file in base_files(path):
        try:
            compile(file.read_text(encoding="utf-8"), str(file), "exec")
        except SyntaxError as found:
            text = (found.text or "").strip()
            return f"config {file}, line {found.lineno}: {found.msg}" + (
                f": {text}" if text else ""
            )
        except (OSError, UnicodeDecodeError) as found:
            return f"config {file}: {found}"
    return f"config {path}: {error.msg}"


def _innermost_config_line(error: Exception, path: Path) -> tuple[Path, int | None]:
    """Where the user's own code failed: the last frame that lies in one of the config's files."""
    files = {str(file.resolve()): file for file in base_files(path)}
    where, line = path, None
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name and str(Path(name).resolve()) in files:
            where, line = files[str(Path(name).resolve())], trace.tb_lineno
        trace = trace.tb_next
    return where, line


def parse_options(options: list[str]) -> dict[str, Any]:
    """``['a.b=1', 'c=[x,y]', 'd=dict(e=1)']`` to ``{'a.b': 1, 'c': ['x', 'y'], 'd': {'e': 1}}``.

    Values are Python literals, ``dict(...)``, or mmengine's notation: text without quotes.

    Raises:
        UserError: an option without ``=``.
    """
    parsed = {}
    for option in options:
        key, sign, value = option.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--cfg-options takes KEY=VALUE, found {option!r}")
        try:
            parsed[key.strip()] = _literal(
                ast.parse(value.strip(), mode="eval").body, value.strip()
            )
        except (SyntaxError, ValueError, TypeError):
            parsed[key.strip()] = _words(option, value.strip())
        except (MemoryError, RecursionError):  # how Python's parser says it
            raise UserError(f"--cfg-options {option[:80]}...: nested too deeply") from None
    return parsed


def _words(option: str, value: str) -> Any:
    """mmengine's notation: ``[a,b]`` without quotes."""
    if len(value) > _LONGEST:  # its parser looks through the rest at every comma
        raise UserError(
            f"--cfg-options {option[:80]}...: more than {_LONGEST} characters; write quotes around "
            "the words, or put it into a config file"
        )
    try:
        return _none(DictAction._parse_iterable(value))
    except (AssertionError, IndexError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(
            f"--cfg-options {option[:200]}: cannot be read ({reason}). Write quotes around names "
            "and paths: [dict(gt='/a')]"
        ) from None


def _literal(node: ast.expr, text: str) -> Any:
    """A Python literal in which ``dict(a=b)`` may stand for ``{'a': 'b'}``; nothing is run."""

    def inside(part: ast.expr) -> Any:
        # Words need no quotes there either, also those with hyphens or slashes in them.
        try:
            return _literal(part, text)
        except ValueError:
            return ast.get_source_segment(text, part)

    if isinstance(node, ast.List):
        return [inside(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(inside(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(k): inside(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("dict takes keywords only")
        return {keyword.arg: inside(keyword.value) for keyword in node.keywords}
    return ast.literal_eval(node)


def _none(value: Any) -> Any:
    return None if value in ("None", "null") else value


def _check_option(cfg: Config, key: str, known: Collection[str]) -> None:
    """An option may set a key that is there, or an argument that the named type accepts."""
    node: Any = cfg._cfg_dict
    parts = key.split(".")
    if (parts[0] in SECTIONS and parts[0] != "train_dataloader") or parts[0] == "auto_scale_lr":
        return  # which are checked as a whole
    if parts[0] in node and parts[0] not in known and not parts[0].startswith("_"):
        raise UserError(
            f"--cfg-options {key}: only the config's own Python code uses {parts[0]!r}, and has "
            "used it up before options are put in; set what it is used in ('superres print-config')"
        )
    for depth, part in enumerate(parts):
        so_far = ".".join(parts[:depth])
        if isinstance(node, (list, tuple)):
            if not part.isdecimal() or len(part) > 9 or int(part) >= len(node):
                raise UserError(
                    f"--cfg-options {key}: {so_far} is a list of {len(node)} entries, "
                    f"{part!r} is not one of 0..{len(node) - 1}"
                )
            node = node[int(part)]
            continue
        if not isinstance(node, dict):
            raise UserError(f"--cfg-options {key}: {so_far} is {node!r}, which has no key {part!r}")
        if part in node:
            node = node[part]
            continue
        if depth == 0:
            if part in OPTIONAL_KEYS:
                return
            if part in REFUSED:
                raise UserError(f"--cfg-options {key}: {part} is not read here; {REFUSED[part]}")
            raise UserError(
                f"--cfg-options {key}: the config has no key {part!r}"
                + (
                    did_you_mean(part, [*node, *OPTIONAL_KEYS])
                    or "; its keys: " + ", ".join(sorted(node))
                )
            )
        accepted = accepted_arguments(node)
        if accepted is not None:
            accepted |= set(known_below(so_far))
        if accepted is None or part in accepted or parts[0] == "fast":  # fast.resolve knows those
            return
        raise UserError(
            f"--cfg-options {key}: {so_far} has no key {part!r}"
            + (
                did_you_mean(part, [*node, *accepted])
                or "; known: " + ", ".join(sorted({*node, *accepted}))
            )
        )


def _set(cfg: Config, key: str, value: Any) -> None:
    node: Any = cfg._cfg_dict
    *path, last = key.split(".")
    for part in path:
        if isinstance(node, (list, tuple)):
            node = node[int(part)]
            continue
        if part not in node or not isinstance(node[part], (dict, list)):
            node[part] = ConfigDict()
        node = node[part]
    if isinstance(node, list):
        node[int(last)] = value
    elif isinstance(value, (dict, list)):
        node[last] = ConfigDict({last: value})[last]
    else:
        node[last] = value


def resolve_references(node: Any, root: dict, inside: int = 0) -> Any:
    """The values of ``'${key}'`` in place, as configs of superres before 1.0 wrote them.

    Raises:
        UserError: no such key, or keys that refer to each other in a circle.
    """
    if isinstance(node, dict):
        return type(node)((k, resolve_references(v, root, inside)) for k, v in node.items())
    if isinstance(node, list | tuple):
        return type(node)(resolve_references(v, root, inside) for v in node)
    if hasattr(node, "__qualname__"):  # a class; registries take its full name, too
        return f"{node.__module__}.{node.__qualname__}"
    if not isinstance(node, str) or "${" not in node:
        return node

    def value(match: re.Match) -> Any:
        found = get(root, match[1])
        if found is MISSING:
            raise UserError(
                f"config: {node!r} refers to a key that does not exist"
                + did_you_mean(match[1], root)
            )
        if inside > _DEEPEST_REFERENCE:
            raise UserError(f"config: {node!r} refers to itself")
        return resolve_references(found, root, inside + 1)

    whole = _REFERENCE.fullmatch(node)
    return value(whole) if whole else _REFERENCE.sub(lambda match: str(value(match)), node)
