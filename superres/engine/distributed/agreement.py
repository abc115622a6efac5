"""Several processes of one run must have read the same config, data and program.

Compared at the start, before anything is trained.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

import mmengine
import numpy
import torch
from mmengine.config import Config

import superres
from superres.datasets.joined import stores
from superres.engine.config.values import differing, to_plain, walk
from superres.errors import UserError, some

from . import launch

LOCAL_KEYS = ("data_root", "num_workers", "prefetch_factor", "start_method", "work_dir")
"""Keys that may differ between machines, wherever they stand: they change no sample."""


def run_facts(cfg: Config) -> dict[str, str]:
    """Versions of what computes, and the values of a config by dotted key, but for
    :data:`LOCAL_KEYS`."""
    modules = {"superres": superres, "torch": torch, "numpy": numpy, "mmengine": mmengine}
    facts = {name: str(module.__version__) for name, module in modules.items()}
    facts["python"] = ".".join(map(str, sys.version_info[:2]))
    for path, value in walk(to_plain(cfg)):
        if not isinstance(value, dict | list) and not {*LOCAL_KEYS} & {*path.split(".")}:
            facts[path] = repr(value)
    return facts


def _dataset_facts(dataset: Any, name: str) -> dict[str, str]:
    """Each store of a dataset: how many images, and a digest of what they are.

    For packs that is the index, which holds the checksums of all pixels; for folders the names
    and sizes, since to read all images would take minutes.
    """
    found = {}
    for label, store in stores(dataset):
        digest, checksum = hashlib.sha256(), getattr(store, "checksum_at", lambda i: 0)
        for i in range(len(store)):
            digest.update(f"{store.name_at(i)} {store.shape_at(i)} {checksum(i)}\n".encode())
        found[f"{name} {label}"] = f"{len(store)} images, digest {digest.hexdigest()[:12]}"
    return found


def require_same(what: str, facts: dict[str, str]) -> None:
    """Compare facts with those of rank 0; called by all ranks.

    Args:
        what: of what the facts are: 'config', 'data', ...
        facts: of this rank.

    Raises:
        UserError: on all ranks, where any differs; says which ranks, and in what the first does.
    """
    first, *_ = everyone = launch.gather(facts)
    wrong = [r for r, found in enumerate(everyone) if found != first]
    if not wrong:
        return
    launch.report_once()
    theirs = everyone[wrong[0]]
    differences = [
        f"{key}: {(here or 'nothing')[:60]} instead of {(there or 'nothing')[:60]}"
        for key, (here, there) in sorted(differing(theirs, first).items())
    ]
    raise UserError(
        f"the processes of this run do not have the same {what} as rank 0. "
        f"{launch.name_ranks(wrong)}: {some(differences, 5)}. Give all of them the same files, "
        "arguments and versions"
    )


def require_same_data(training: Callable[[], Any], validation: Callable[[], list[Any]]) -> None:
    """Compare the training set and the sets to validate on; called by all ranks.

    Args:
        training: makes the dataset.
        validation: makes the sets, each with ``key`` and ``dataset``.

    Raises:
        UserError: on all ranks, where one has other images or none.
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


def share_mistake(mistake: UserError | None) -> None:
    """A mistake that any rank has found ends all of them; called by all ranks.

    Raises:
        UserError: on all ranks; names those that found it, unless all did.
    """
    found = launch.gather(None if mistake is None else str(mistake))
    told = {r: text for r, text in enumerate(found) if text is not None}
    if told:
        launch.report_once()
        text = next(iter(told.values()))
        same = [r for r in told if told[r] == text]
        every = len(told) == len(found)
        raise UserError(text if every else f"{launch.name_ranks(same)}: {text}")
