"""The sets that a config is scored on, opened, and by which protocols."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from superres.checkpoints.networks import full_config
from superres.datasets.locate import PairedSet, Spec, locate, set_name, split_optional
from superres.engine.config.load import parse_options
from superres.engine.config.types import blame
from superres.engine.config.values import scales_of, to_plain
from superres.errors import UserError, some
from superres.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from superres.evaluation.published import other_size
from superres.registry import DATASETS

from . import scored_dataset  # noqa: F401  (registers it)

ALIASES = {"DIV2K": "DIV2K_valid", "BSD100": "B100"}
"""What tables call a set, and what it is called on disk; used where nothing has the first name."""


@dataclass
class EvalSet:
    """One set at one scale, and how it is scored.

    Attributes:
        role: 'validation' or 'test'.
        dataset: None where the set could not be opened; ``error`` then says why.
        key: tells sets apart: the name, with ``_x3`` behind it where there are several scales.
        channels: of the network that is tested; pictures are brought to it. None: as they are.
        notes: what a reader of its scores should know of its pictures.
    """

    name: str
    role: str
    scale: int
    key: str
    protocols: list[Protocol]
    channels: int | None
    dataset: Any = None
    error: str = ""
    notes: list[str] = field(default_factory=list)


def notes_on(dataset: Any) -> list[str]:
    """What is peculiar about the pictures of a set."""
    notes = [*dataset.notes]
    if getattr(dataset, "channels", None) == "grey":
        notes.append("images were read as grey, which is what the network takes")
    if isinstance(dataset.make_lq, dict):
        steps = dataset.make_lq.get("steps")
        notes.append(f"LR made here from HR by another degradation than bicubic: {steps}")
    elif dataset.lq is None and dataset.make_lq != "none":
        border = {"reflect": "mirrored", "replicate": "clamped"}.get(dataset.border, dataset.border)
        notes.append(f"LR made here from HR (MATLAB's bicubic, {border} border)")
    if extra := getattr(dataset, "extra", []):
        names = some(extra, 5)
        notes.append(f"{len(extra)} LR pictures have no HR and are not in the mean: {names}")
    return [*notes, *filter(None, [other_size(dataset.name, len(dataset))])]


def default_protocols(name: str, wanted: Any = None) -> list[Protocol]:
    """The protocols of a set: as the config says, else DIV2K's own for DIV2K, 'edsr-y' else.

    ``wanted`` is a protocol, a list of them, 'all', or a dict from set names (and 'default') to
    such.
    """
    if isinstance(wanted, dict) and "name" not in wanted:
        wanted = wanted.get(name, wanted.get("default"))
    if wanted is None:
        wanted = "edsr-div2k" if name.upper().startswith("DIV2K") else "edsr-y"
    wanted = list(PROTOCOLS) if wanted in ("all", ["all"]) else wanted
    found = [get_protocol(p) for p in (wanted if isinstance(wanted, list | tuple) else [wanted])]
    return list({protocol.name: protocol for protocol in found}.values())


def prepare_sets(
    cfg: Config,
    warn: Callable[[str], None],
    only: list[str] | None = None,
    protocols: Any = None,
    keep_broken: bool = False,
) -> list[EvalSet]:
    """The validation sets, then the test sets of a config, opened, each at all scales.

    Args:
        cfg: has ``val_sets``, ``test_sets``, ``data_root``, ``scale``; ``eval_dataset`` may hold
            further arguments of :class:`PairedDataset`.
        warn: told of optional sets (``'Set5?'``) that are not there, and of broken ones.
        only: these sets instead.
        protocols: instead of the config's.
        keep_broken: a set that is there but cannot be used does not end the run, but is kept with
            its ``error``; and pictures without a partner or of wrong sizes only go without a score.

    Raises:
        UserError: a set that is not optional is missing or broken, or two have the same name.
    """
    protocols = protocols or to_plain(cfg.get("protocols"))
    network = to_plain(cfg.get("model") or {}).get("backbone")
    channels = full_config(network).get("in_channels") if network else None
    sets: list[EvalSet] = []
    scales = scales_of(cfg)
    options = {"type": "PairedDataset", **to_plain(cfg.get("eval_dataset", {}))}
    options["data_root"] = cfg.get("data_root", ".")
    for (spec, optional, role), scale in itertools.product(_wanted(cfg, only, keep_broken), scales):
        try:
            spec, found = _locate(spec, options, scale)
        except UserError as error:
            if not optional:
                raise
            if scale == scales[0]:
                warn(f"{spec}: left out of the {role}: {error}")
            continue
        chosen = default_protocols(found.name, protocols)
        key = found.name if len(scales) == 1 else f"{found.name}_x{scale}"
        here = EvalSet(found.name, role, scale, key, chosen, channels)
        node = {**options, "name": spec, "scale": scale}
        if keep_broken and node["type"] == "PairedDataset":
            node["type"] = "ScoredDataset"
            node["round_up"] = any(p.on_mismatch == "resize" for p in chosen)
        try:
            with blame("eval_dataset", node):
                here.dataset = DATASETS.build(node)
        except UserError as error:
            if not keep_broken:
                raise
            warn(f"{here.name} x{scale} is not scored: {error}")
            here.error = str(error)
        else:
            here.notes = notes_on(here.dataset)
            if same := next((s for s in sets if s.key == key and s.dataset is not None), None):
                if same.dataset.gt.path == here.dataset.gt.path:
                    continue
                raise UserError(
                    f"two sets are called {here.name!r} ({here.dataset.gt.path}); rename a folder, "
                    "since tables go by name"
                )
        sets.append(here)
    return sets


def _wanted(
    cfg: Config, only: list[str] | None, also_unvalidated: bool
) -> list[tuple[Spec, bool, str]]:
    """What to open, whether it may be missing, and its role."""
    wanted = []
    for key, role in (("val_sets", "validation"), ("test_sets", "test")):
        specs = to_plain(cfg.get(key) or [])
        for spec in [specs] if isinstance(specs, str | dict) else specs:
            spec, optional = split_optional(spec)
            if isinstance(spec, dict) and spec.get("validate") is False:  # 'superres test' alone
                if not also_unvalidated:
                    continue
                optional = True
            wanted.append((spec, optional, role))
    if only is None:
        return wanted
    known = {set_name(spec): (spec, optional, role) for spec, optional, role in wanted}
    named = map(split_optional, only)
    return [known.get(spec, (_given(spec), optional, "test")) for spec, optional in named]


def _given(spec: str) -> Spec:
    """A set of the command line: ``dict(gt=..., lq=...)``, or a name or path as it is."""
    if not spec.startswith(("dict(", "{")):
        return spec
    try:
        value = parse_options([f"set={spec}"])["set"]
    except UserError:
        raise UserError(
            f"--sets {spec}: cannot be read. Write quotes around paths: dict(gt='HR', lq='LR')"
        ) from None
    return value if isinstance(value, dict) else spec


def _locate(spec: Spec, options: dict[str, Any], scale: int) -> tuple[Spec, PairedSet]:
    """The set, by the name that it has on disk, and where it lies."""
    place = options["data_root"], scale, options.get("make_lq", "auto") == "auto"
    try:
        return spec, locate(spec, *place)
    except UserError:
        if not isinstance(spec, str) or spec not in ALIASES:
            raise
    return ALIASES[spec], locate(ALIASES[spec], *place)
