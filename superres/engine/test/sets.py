"""The sets that a config is scored on, opened, and by which protocols and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from superres.checkpoints.networks import full_config
from superres.datasets.locate import PairedSet, Spec, locate, set_name, split_optional
from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import pairs_fault, partner_numbers
from superres.engine.config.load import parse_options
from superres.engine.config.values import blame, scales_of, to_plain
from superres.errors import UserError, some
from superres.evaluation.protocols import Protocol, protocols_of
from superres.evaluation.published import other_size
from superres.registry import DATASETS

ALIASES = {"DIV2K": "DIV2K_valid", "BSD100": "B100"}
"""What tables call a set, and what it is called on disk; used where nothing has the first name."""


@DATASETS.register_module()
class ScoredDataset(PairedDataset):
    """Paired dataset in which a bad image has its own error instead of failing the whole set.

    Training needs whole sets, so there the first fault is an error. A table is better off with
    the other images' scores and a mark than with nothing.

    Attributes:
        faults: reasons, by image number.

    Raises:
        UserError: as there; of images without a partner or of wrong sizes only where it is all.
    """

    faults: dict[int, str]

    def _match(self) -> list[int]:
        numbers = partner_numbers(self.gt, self.lq, self.scale)
        return numbers if max(numbers) >= 0 else super()._match()  # says how pairs are named

    def _unused(self) -> list[str]:
        if self.lq is None or self.gt.is_part:
            return []
        extra = sorted({*range(len(self.lq))} - {*self.partners})
        names = some(map(self.lq.name_at, extra), 5)
        note = f"{len(extra)} LR images have no HR and are not in the mean: {names}"
        return [note] if extra else []

    def _check_sizes(self) -> None:
        self.faults = {}
        for i in range(len(self)):
            try:
                if self.lq is not None and self.partners[i] < 0:
                    raise UserError(f"it has no low-quality image in {self.lq.path}")
                self._check_size(i)
            except UserError as error:
                self.faults[i] = str(error)
        if len(self.faults) == len(self):
            raise UserError(next(reversed(self.faults.values())))

    def load(self, i: int) -> tuple[Any, np.ndarray]:
        """As there.

        Raises:
            UserError: the image's fault, among others.
        """
        if i in self.faults:
            raise UserError(self.faults[i])
        return super().load(i)


@dataclass
class EvalSet:
    """One set at one scale, and how it is scored.

    Attributes:
        role: 'validation' or 'test'.
        dataset: None where the set could not be opened; ``error`` then says why.
        key: distinguishes sets: the name, with ``_x3`` behind it where there are several scales.
        channels: of the network that is tested; images are brought to it. None: as they are.
        notes: what a reader of its scores should know of its images.
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


def _notes_on(dataset: Any) -> list[str]:
    """What is peculiar about the images of a set."""
    notes, border = [*dataset.notes], dataset.border
    if getattr(dataset, "channels", None) == "grey":
        notes.append("images were read as grey, which is what the network takes")
    if isinstance(dataset.make_lq, dict):
        steps = dataset.make_lq.get("steps")
        notes.append(f"LR made here from HR by another degradation than bicubic: {steps}")
    elif dataset.lq is None and dataset.make_lq != "none":
        border = {"reflect": "mirrored", "replicate": "clamped"}.get(border, border)
        notes.append(f"LR made here from HR (MATLAB's bicubic, {border} border)")
    return [*notes, *filter(None, [other_size(dataset.name, len(dataset))])]


def prepare_sets(
    cfg: Config,
    warn: Callable[[str], None],
    only: list[str] | None = None,
    protocols: Any = None,
    channels: int | None = None,
    keep_broken: bool = False,
) -> list[EvalSet]:
    """The validation sets, then the test sets of a config, opened, each at all scales.

    Args:
        cfg: has ``val_sets``, ``test_sets``, ``data_root``, ``scale``; ``eval_dataset`` may hold
            further arguments of :class:`PairedDataset`.
        warn: called for optional sets (``'Set5?'``) that are not there, and for broken ones.
        only: these sets instead.
        protocols: instead of the config's.
        channels: what the tested network takes, where it is not the config's.
        keep_broken: a set that is there but cannot be used does not end the run, but is kept with
            its ``error``; and images without a partner or of wrong sizes only go without a score.

    Raises:
        UserError: a set that is not optional is missing or broken, or two have the same name.
    """
    plain, scales = to_plain(cfg), scales_of(cfg)
    protocols = protocols or plain.get("protocols")
    network = (plain.get("model") or {}).get("backbone")
    if network and channels is None:
        channels = full_config(network).get("in_channels")
    sets: list[EvalSet] = []
    known: dict[str, Path] = {}
    options = {"type": "PairedDataset", **(plain.get("eval_dataset") or {})}
    options["data_root"] = plain.get("data_root", ".")
    if options["type"] == "PairedDataset":  # each image is read once a validation: not worth a copy
        kind = "ScoredDataset" if keep_broken else "PairedDataset"
        options = {"cache": None, **options, "type": kind}
    makes = options.get("make_lq", "auto") == "auto"
    for (spec, optional, role), scale in product(_wanted(plain, only, keep_broken), scales):
        try:
            spec, found = _locate(spec, options["data_root"], scale, makes)
        except UserError as error:
            if not optional:
                raise
            if scale == scales[0]:
                warn(f"{spec}: left out of the {role}: {error}")
            continue
        key = found.name if len(scales) == 1 else f"{found.name}_x{scale}"
        if known.setdefault(key, found.gt) != found.gt:
            raise UserError(f"two sets are called {found.name!r} ({found.gt}); rename a folder")
        if any(one.key == key for one in sets):
            continue
        here = EvalSet(found.name, role, scale, key, protocols_of(found.name, protocols), channels)
        node = {**options, "name": spec, "scale": scale}
        try:
            with blame("eval_dataset", node):
                here.dataset = DATASETS.build(node)
        except UserError as error:
            if not keep_broken:
                raise
            warn(f"{here.name} x{scale} is not scored: {error}")
            here.error = str(error)
        else:
            if keep_broken and (fault := pairs_fault(here.dataset)):
                here.dataset.notes.append(fault)
                warn(f"{here.name} x{scale}: {fault}")
            here.notes = _notes_on(here.dataset)
        sets.append(here)
    return sets


def _wanted(
    cfg: dict[str, Any], only: list[str] | None, also_unvalidated: bool
) -> list[tuple[Spec, bool, str]]:
    """What to open, whether it may be missing, and its role."""
    wanted = []
    for key, role in (("val_sets", "validation"), ("test_sets", "test")):
        specs = cfg.get(key) or []
        for spec in [specs] if isinstance(specs, str | dict) else specs:
            spec, optional = split_optional(spec)
            tested = isinstance(spec, dict) and spec.get("validate") is False  # not in a training
            if not tested or also_unvalidated:
                wanted.append((spec, optional or tested, role))
    if only is None:
        return wanted
    known = {set_name(spec): (spec, optional, role) for spec, optional, role in wanted}
    return [known.get(spec, (_given(spec), False, "test")) for spec in only]


def _given(spec: str) -> Spec:
    """A set of the command line: ``dict(gt=..., lq=...)``, or a name or path as it is."""
    if not spec.startswith(("dict(", "{")):
        return spec
    try:
        value = parse_options([f"set={spec}"])["set"]
    except UserError:
        hint = "Write quotes around paths: dict(gt='HR', lq='LR')"
        raise UserError(f"--sets {spec}: cannot be read. {hint}") from None
    return value if isinstance(value, dict) else spec


def _locate(spec: Spec, *place: Any) -> tuple[Spec, PairedSet]:
    """The set, by the name that it has on disk, and where it lies; see :func:`locate`."""
    try:
        return spec, locate(spec, *place)
    except UserError:
        if not isinstance(spec, str) or spec not in ALIASES:
            raise
    return ALIASES[spec], locate(ALIASES[spec], *place)
