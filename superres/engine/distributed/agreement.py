"""Several processes of one run must have read the same config, data and program.

Compared at the start, before anything is trained: first one digest per process, and only where
those differ the parts, so that a thousand processes exchange a few bytes each.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import mmengine
import numpy
import torch
from mmengine.config import Config

import superres
from superres.datasets.joined import stores
from superres.engine.config.values import to_plain, walk
from superres.errors import UserError

from . import launch

LOCAL_KEYS = ("data_root", "num_workers", "prefetch_factor", "start_method", "work_dir")
"""Keys that may differ between machines, wherever they stand: they change no sample."""
Facts = dict[str, str]
"""By name, as text for people."""


def config_facts(cfg: Config) -> Facts:
    """The values of a config by dotted key, but for :data:`LOCAL_KEYS`."""
    return {
        path: repr(value)
        for path, value in walk(to_plain(cfg))
        if not isinstance(value, dict | list) and not {*LOCAL_KEYS} & {*path.split(".")}
    }


def program_facts() -> Facts:
    """Versions of what computes."""
    modules = {"superres": superres, "torch": torch, "numpy": numpy, "mmengine": mmengine}
    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python, **{name: str(m.__version__) for name, m in modules.items()}}


def _dataset_facts(dataset: Any, name: str) -> Facts:
    """Each store of a dataset: how many pictures, and a digest of what they are.

    For packs that is the index, which holds the checksums of all pixels; for folders the names
    and sizes, since to read all pictures would take minutes.
    """
    found = {}
    for label, store in stores(dataset):
        digest, checksum = hashlib.sha256(), getattr(store, "checksum_at", lambda i: 0)
        for i in range(len(store)):
            digest.update(f"{store.name_at(i)} {store.shape_at(i)} {checksum(i)}\n".encode())
        found[f"{name} {label}"] = f"{len(store)} pictures, digest {digest.hexdigest()[:12]}"
    return found


def require_same(what: str, facts: Facts) -> None:
    """Compare facts with those of rank 0; called by all ranks.

    Args:
        what: of what the facts are: 'config', 'data', ...
        facts: of this rank.

    Raises:
        UserError: on all ranks, where any differs; says which rank, in what.
    """
    own = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    if len(set(launch.gather(own))) == 1:
        return
    everyone = launch.gather(facts)
    launch.speak_as_one()
    groups: dict[str, list[int]] = {}  # ranks that differ in the same way share a line
    for rank, found in enumerate(everyone):
        differences = [
            f"{key}: {found.get(key, 'nothing')[:60]} instead of "
            f"{everyone[0].get(key, 'nothing')[:60]}"
            for key in sorted({*found, *everyone[0]})
            if found.get(key) != everyone[0].get(key)
        ]
        if differences:
            more = f"; and {len(differences) - 5} more" if differences[5:] else ""
            groups.setdefault("; ".join(differences[:5]) + more, []).append(rank)
    raise UserError(
        f"the processes of this run do not have the same {what} as rank 0. "
        + ". ".join(f"{launch.name_ranks(ranks)}: {text}" for text, ranks in groups.items())
        + ". Give all of them the same files, arguments and versions"
    )


def require_same_data(training: Callable[[], Any], validation: Callable[[], list[Any]]) -> None:
    """Compare the training set and the sets to validate on; called by all ranks.

    Args:
        training: makes the dataset.
        validation: makes the sets, each with ``key`` and ``dataset``.

    Raises:
        UserError: on all ranks, where one has other pictures or none.
    """
    mistake, facts = None, {}
    try:
        facts = _dataset_facts(training(), "training set")
        for eval_set in validation():
            facts |= _dataset_facts(eval_set.dataset, eval_set.key)
    except UserError as error:
        mistake = error
    share_mistake(mistake)
    require_same("data", facts)


def share_mistake(mistake: UserError | None, everywhere: bool = False) -> None:
    """A mistake that any rank has found ends all of them; called by all ranks.

    Args:
        everywhere: it does not matter which rank has found it.

    Raises:
        UserError: on all ranks; names those that found it, unless all did.
    """
    found = launch.gather(None if mistake is None else str(mistake))
    wrong = [r for r, text in enumerate(found) if text is not None]
    if not wrong:
        return
    launch.speak_as_one()
    text = found[wrong[0]]
    if everywhere or len(wrong) == len(found):
        raise UserError(text)
    same = [r for r in wrong if found[r] == text]
    raise UserError(f"{launch.name_ranks(same)}: {text}")
