"""Which published scores stand beside a test's, and what is said where none may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.checkpoints.formats.base import full_config
from superres.datasets.conventions import by_name
from superres.errors import UserError
from superres.evaluation.published import PublishedScore, find_published
from superres.evaluation.results import with_published

from .config import find_config, resolve_references, to_plain
from .recipes import load_table


def published_scores(cfg: Config, self_ensemble: bool) -> list[PublishedScore]:
    """What publications say of a config's network, if it names its tables and is that network."""
    return [] if network_changes(cfg) else _of_tables(cfg, self_ensemble)


def _of_tables(cfg: Config, self_ensemble: bool) -> list[PublishedScore]:
    wanted = to_plain(cfg.get("published") or {})
    if not wanted:
        return []
    name = wanted["method"] + ("+" if self_ensemble else "")
    return [
        score
        for table in wanted["tables"]
        for score in load_table(table)
        if score.method == name and score.degradation == wanted.get("degradation", "bicubic")
    ]


def network_changes(cfg: Config) -> list[str]:
    """How the network differs from that of the config's file: what ``--cfg-options`` changed.

    Empty where the config names no published scores. A work dir's ``config.py`` is compared with
    the config that the work dir is named after, too.
    """
    if not cfg.get("published"):
        return []
    names = [str(cfg.filename)] if cfg.filename else []
    if names and Path(names[0]).name == "config.py":
        names.append(Path(names[0]).resolve().parent.name)
    found = full_config(to_plain(cfg.model)["backbone"])
    for name in names:
        try:
            path = find_config(name)
            original = Config.fromfile(str(path), use_predefined_variables=False, lazy_import=False)
            resolve_references(original)
        except (UserError, OSError):  # the file has gone, or there is no config of that name
            continue
        wanted = full_config(to_plain(original.model)["backbone"])
        changed = [
            f"{key} {found.get(key)!r} instead of {wanted.get(key)!r}"
            for key in sorted({*wanted, *found} - {"init", "scale", "scales"})
            if found.get(key) != wanted.get(key)
        ]
        if changed:
            return changed
    return []


def comparison(
    cfg: Config, sets: list[dict[str, Any]], self_ensemble: bool
) -> Callable[..., dict[str, Any]]:
    """A function that puts the published scores beside an entry, where they are of the same thing,
    and says where they are not."""
    published = to_plain(cfg.get("published") or {})
    changes = network_changes(cfg)
    wanted = published.get("degradation", "bicubic")
    theirs, bicubic = _of_tables(cfg, self_ensemble), find_published("Bicubic")
    told = {(line["set"], line["scale"]): _lq_made_by(line) for line in sets}

    def compared(entry: dict[str, Any], ours: bool) -> dict[str, Any]:
        made_by, notes = told.get((entry["set"], entry["scale"]), (None, []))
        of, scores = (wanted, theirs) if ours else ("bicubic", bicubic)
        why = []
        if made_by not in (None, of):
            why.append(f"published scores are of {of} LR, so they are left out")
        if changes and ours:
            why.append(
                f"not the network of {published['method']} ({'; '.join(changes)}), so its "
                "published scores are left out"
            )
        if why and "published" in with_published(entry, scores):
            notes = [*notes, *why]
        notes = [*entry.get("notes", ()), *notes]
        entry = {**entry, **({"notes": notes} if notes else {})}
        return with_published(entry, [] if why else scores)

    return compared


def _lq_made_by(line: dict[str, Any]) -> tuple[str | None, list[str]]:
    """How a set's LR was made (bicubic, blur-down, other; None: not known), and what to say."""
    fingerprint = line.get("lq_fingerprint") or {}
    names = fingerprint.get("convention")
    if fingerprint.get("made_here"):
        return ("bicubic" if names else "other"), []  # EvalSet's notes tell
    if names is None:
        return None, []
    checked = ", ".join(fingerprint.get("checked", ()))
    if not names:
        return None, [f"LR made in no way known here (judged by {checked})"]
    ways = [by_name(name) for name in names]
    if any(way.family in ("matlab", "rounding") for way in ways):
        return "bicubic", []
    kind = "blur-down" if "bd" in names else "other"
    return kind, [f"LR is not MATLAB's bicubic but {ways[0].text} (judged by {checked})"]
