"""The sets that a config is scored on, opened, and by which protocols and metrics."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.checkpoints.networks import full_config
from superres.datasets.locate import PairedSet, Spec, locate, set_name, split_optional
from superres.datasets.pair_check import pairs_fault
from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import partner_numbers
from superres.engine.config.load import parse_options
from superres.engine.config.values import blame, scales_of, to_plain
from superres.errors import UserError, some
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.protocols import PROTOCOLS, Protocol, get_protocol, pillow_bicubic
from superres.evaluation.published import other_size
from superres.registry import DATASETS

ALIASES = {"DIV2K": "DIV2K_valid", "BSD100": "B100"}
"""What tables call a set, and what it is called on disk; used where nothing has the first name."""


@DATASETS.register_module()
class ScoredDataset(PairedDataset):
    """Paired dataset in which a bad image has its own error instead of failing the whole set.

    Training needs whole sets, so there the first fault is an error. A table is better off with
    the other images' scores and a mark than with nothing.

    Args:
        round_up: take images whose low-quality side was rounded up, so that ``scale`` times it
            is larger than the ground truth by less than ``scale`` pixels. Only protocols that
            resize the ground truth can score them; :meth:`load` returns it resized.
        **options: of :class:`PairedDataset`.

    Attributes:
        faults: reasons, by image number.
        extra: names of low-quality images that belong to no ground truth.

    Raises:
        UserError: as there; of images without a partner or of wrong sizes only where it is all.
    """

    def __init__(self, *, round_up: bool = False, **options: Any) -> None:
        self.round_up = round_up
        self.faults: dict[int, str] = {}
        self.extra: list[str] = []
        super().__init__(**{"cache": None, **options})

    def _match(self) -> list[int]:
        numbers = partner_numbers(self.gt, self.lq, self.scale)
        if max(numbers) < 0:
            return super()._match()  # says how pairs are named
        if not self.gt.is_part:
            unused = sorted({*range(len(self.lq))} - {*numbers})
            self.extra = [self.lq.name_at(i) for i in unused]
        return numbers

    def _unused(self) -> list[str]:
        return []  # they are in `extra`

    def _check_sizes(self) -> None:
        for i in range(len(self)):
            if self.lq is not None and self.partners[i] < 0:
                self.faults[i] = f"it has no low-quality image in {self.lq.path}"
            elif not self.is_rounded_up(i):
                try:
                    self._check_size(i)
                except UserError as error:
                    self.faults[i] = str(error)
        if len(self.faults) == len(self):
            raise UserError(next(reversed(self.faults.values())))

    def is_rounded_up(self, i: int) -> bool:
        """Whether an image is one of those that ``round_up`` is about."""
        if not self.round_up or self.lq is None or i in self.faults:
            return False
        sides = zip(self.gt.shape_at(i)[:2], self.lq.shape_at(self.partners[i])[:2])
        rest = [g - q * self.scale for g, q in sides]
        return min(rest) < 0 and max(map(abs, rest)) < self.scale

    def load(self, i: int) -> tuple[Any, np.ndarray]:
        """As there; the ground truth of an image that was rounded up is resized, not cropped.

        Raises:
            UserError: the image's fault, among others.
        """
        if i in self.faults:
            raise UserError(self.faults[i])
        if not self.is_rounded_up(i):
            return super().load(i)
        lq = self.lq.read_at(self.partners[i])
        gt = np.asarray(self.gt.read_at(i))
        return lq, pillow_bicubic(gt, lq.shape[0] * self.scale, lq.shape[1] * self.scale)


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
        notes.append(f"{len(extra)} LR images have no HR and are not in the mean: {names}")
    return [*notes, *filter(None, [other_size(dataset.name, len(dataset))])]


def _protocols(name: str, wanted: Any) -> list[Protocol]:
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


def extra_metrics(cfg: Config, device: torch.device) -> ExtraMetrics:
    """The config's ``metrics``, loaded: a name, ``dict(type='NAME', ...)``, or a list of them;
    texts with commas work, too.

    Raises:
        UserError: they are something else, or not available.
    """
    wanted = to_plain(cfg.get("metrics") or [])
    specs: list[str | dict[str, Any]] = []
    for spec in wanted if isinstance(wanted, list) else [wanted]:
        if not isinstance(spec, str | dict):
            raise UserError(f"config: metrics = {wanted!r} must list names or dict(type=...)")
        specs += spec.replace(",", " ").split() if isinstance(spec, str) else [spec]
    return ExtraMetrics(specs, str(device))


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
        warn: called for optional sets (``'Set5?'``) that are not there, and for broken ones.
        only: these sets instead.
        protocols: instead of the config's.
        keep_broken: a set that is there but cannot be used does not end the run, but is kept with
            its ``error``; and images without a partner or of wrong sizes only go without a score.

    Raises:
        UserError: a set that is not optional is missing or broken, or two have the same name.
    """
    plain = to_plain(cfg)
    protocols = protocols or plain.get("protocols")
    network = (plain.get("model") or {}).get("backbone")
    channels = full_config(network).get("in_channels") if network else None
    sets: list[EvalSet] = []
    scales = scales_of(cfg)
    options = {"type": "PairedDataset", **(plain.get("eval_dataset") or {})}
    if options["type"] == "PairedDataset":  # each image is read once a validation: not worth a copy
        options.setdefault("cache", None)
    options["data_root"] = plain.get("data_root", ".")
    wanted = _wanted(plain, only, keep_broken)
    for (spec, optional, role), scale in itertools.product(wanted, scales):
        try:
            makes = options.get("make_lq", "auto") == "auto"
            spec, found = _locate(spec, options["data_root"], scale, makes)
        except UserError as error:
            if not optional:
                raise
            if scale == scales[0]:
                warn(f"{spec}: left out of the {role}: {error}")
            continue
        chosen = _protocols(found.name, protocols)
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
            if keep_broken and (fault := pairs_fault(here.dataset)):
                here.dataset.notes.append(fault)
                warn(f"{here.name} x{scale}: {fault}")
            here.notes = _notes_on(here.dataset)
            path = here.dataset.gt.path
            others = [s.dataset.gt.path for s in sets if s.key == key and s.dataset is not None]
            if path in others:
                continue
            if others:
                raise UserError(f"two sets are called {here.name!r} ({path}); rename a folder")
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
    named = map(split_optional, only)
    return [known.get(spec, (_given(spec), optional, "test")) for spec, optional in named]


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
