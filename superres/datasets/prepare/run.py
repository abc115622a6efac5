"""Carry out a recipe: scan, compare, pack, verify, report."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from superres.datasets.pack import pack_images
from superres.datasets.prepare.check import check_plan
from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.source import Entry, Scratch, Source
from superres.datasets.storage import PictureStore, open_store
from superres.datasets.storage.sources import Picture, derived
from superres.datasets.storage.writer import PARTIAL_SUFFIX, check_apart, check_set_name
from superres.datasets.unpack import unpack
from superres.datasets.verify import verify
from superres.errors import UserError
from superres.imaging.resize import imresize, modcrop

_SHOWN = 20


class Told:
    """Where a long run tells what it does; this one keeps silent."""

    def step(self, text: str) -> Callable[[int, int, str], None]:
        """A new step begins; gives its ``progress(done, total, name)``."""
        return lambda done, total, name: None

    def say(self, text: str) -> None:
        """Something worth telling a person now."""


@dataclass
class SetReport:
    """What became of one set.

    Attributes:
        warnings: what is wrong with the set, though it was made.
        packs: what each database or folder took; ``made`` says where its pictures come from.
    """

    name: str
    path: Path
    packs: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    verification: dict[str, Any] | None = None
    incomplete: bool = False

    @property
    def ok(self) -> bool:
        """No pictures left out, no set incomplete that must not be, verified without errors."""
        verified = self.verification is None or self.verification["ok"]
        return verified and not self.failed and not self.incomplete


def recipe_names() -> list[str]:
    """All recipes: the files of the folder."""
    from superres.datasets.prepare import recipes

    names = (module.name for module in pkgutil.iter_modules(recipes.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def recipe(name: str) -> ModuleType:
    """A recipe's module.

    Raises:
        UserError: there is none of that name.
    """
    if name not in recipe_names():
        raise UserError(f"no recipe {name!r}; there are {', '.join(recipe_names())}")
    return importlib.import_module(f"superres.datasets.prepare.recipes.{name}")


def prepare(name: str, options: Options, told: Told | None = None) -> list[SetReport]:
    """Make packed sets below ``options.out`` from what lies at ``options.root``.

    An interrupted run, killed too, is continued by running it again; a finished one finds nothing
    to do. The source is never written.

    Args:
        name: of a recipe.

    Raises:
        UserError: nothing usable in the source, archives that are broken or hostile, pictures
            that cannot be read, sides that do not belong together, a target that cannot be
            written or holds something else.
    """
    told = told or Told()
    chosen = recipe(name)
    out = Path(os.path.abspath(options.out))
    root = Path(os.path.abspath(options.root))
    for scale in options.scales:
        if scale < 2:
            raise UserError(f"--scales: whole numbers from 2 on, not {scale}")
    if options.name is not None:
        check_set_name(options.name)
    check_apart(out, root)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file, not a folder (--out).")
    told.say(f"looking through {root}")
    with Scratch(out.with_name(f".{out.name}.extracted")) as scratch:
        source = Source(root, scratch)
        plans = chosen.plan(source, options)
        reports = []
        for plan in plans:
            check_apart(out / plan.name, root)
            report = SetReport(plan.name, out / plan.name)
            if shortfall := plan.incomplete():
                report.warnings.append(shortfall)
                report.incomplete = plan.must_be_complete and not options.allow_partial
                told.say(f"warning: {shortfall}")
            step = told.step(f"{plan.name}: checking headers")
            check_plan(plan, options.scales, options.allow_partial, step)
            reports.append(report)
        for plan, report in zip(plans, reports):
            report.notes += plan.notes
            _make(plan, report, options, scratch, told)
    if reports:
        reports[0].notes += source.notes
    for note in (note for report in reports for note in report.notes[:_SHOWN]):
        told.say(f"note: {note}")
    if options.verify:
        _verify(reports, options, told)
    return reports


def _verify(reports: list[SetReport], options: Options, told: Told) -> None:
    """Verify all that was made, training against validation sets too; each report gets its part."""
    record = verify(
        [report.path for report in reports],
        options.scales,
        allow_partial=not any(report.incomplete for report in reports),
        num_workers=options.num_workers,
        step=told.step,
    )
    for report, one in zip(reports, record["sets"]):
        errors = sum(problem["severity"] == "error" for problem in one["problems"])
        report.verification = {
            **record,
            "dir": str(report.path),
            "ok": errors == 0,
            "errors": errors,
            "sets": [one],
        }


def _make(plan: SetPlan, report: SetReport, options: Options, scratch: Scratch, told: Told) -> None:
    # Where both sides are given, a picture that is left out of one breaks the pairs; and a set
    # that people know by its count must not be short of some without anybody noticing.
    strict = bool(plan.lq) or (plan.expected is not None and not options.allow_partial)

    def side(name: str, folder: str, source: Any, **info: Any) -> Path:
        """Pack one side; as files, where these are wanted, by way of a pack."""
        as_files = options.format == "folder"
        target = report.path / (folder if as_files else f"{name}.lmdb")
        step = told.step(f"{plan.name}: {target.relative_to(report.path)}")
        done = pack_images(
            source,
            scratch.folder / plan.name / f"{name}.lmdb" if as_files else target,
            dtype=options.dtype,
            num_workers=options.num_workers,
            progress=step,
            overwrite=options.overwrite or as_files,
            strict=strict,
            info=info,
        )
        if as_files:
            done.added = _as_files(done.target, target, info.get("scale", 1), options.overwrite)
        report.failed += done.failed
        report.notes += [f"{plan.name}: {note}" for note in done.notes if name == "HR"]
        report.packs.append(
            {
                "path": str(target),
                "count": done.count,
                "added": done.added,
                "reused": done.count - done.added,
                "bytes": done.bytes,
                "seconds": round(done.seconds, 3),
                "made": info["made"],
                "notes": done.notes,
            }
        )
        return target

    def pictures(entries: dict[str, Entry]) -> list[tuple[str, Path]]:
        return [(name, entry.file) for name, entry in entries.items()]

    given = "as given"
    gt = side("HR", "HR", pictures(plan.gt), role="gt", made=given)
    gt_at = {
        scale: side(f"HR_X{scale}", f"HR_X{scale}", pictures(entries), role="gt", made=given)
        for scale, entries in plan.gt_at.items()
        if scale in options.scales
    }
    for scale in options.scales:
        own = {k: v for (k, s), v in plan.lq.items() if s == scale}
        # Where people bring an LR side of their own, a bicubic one would be taken before it.
        kinds = own if own and plan.own_lq else {"bicubic": None} | own
        for kind, entries in kinds.items():
            info = {"role": "lq", "scale": scale, "degradation": kind, "made": given}
            if entries is not None:
                source: Any = pictures(entries)
            else:
                store = open_store(gt_at.get(scale, gt), "unchanged", "keep", recursive=True)
                source = _bicubic(store, scale, options.border)
                info["made"] = f"exact bicubic, border {options.border}"
            side(f"LR_{kind}_X{scale}", f"LR_{kind}/X{scale}", source, **info)


def _bicubic(store: PictureStore, scale: int, border: str) -> list[Picture]:
    """The exact bicubic of pictures that are cropped at the bottom and the right first."""
    make = partial(_reduced, scale=scale, border=border)
    return derived(store, make, f"bicubic x{scale} {border}")


def _reduced(image: np.ndarray, _: str, scale: int, border: str) -> np.ndarray:
    return imresize(modcrop(image, scale), 1 / scale, border=border)


def _as_files(pack: Path, folder: Path, scale: int, overwrite: bool) -> int:
    """Write a pack's pictures as PNG files, as far as they are not there; gives their number."""
    suffix = f"x{scale}.png" if scale > 1 else ".png"
    partial_folder = folder.with_name(folder.name + PARTIAL_SUFFIX)
    if folder.exists():
        files = open_store(folder, "unchanged", "keep", recursive=True)
        if _same(files, open_store(pack), suffix):
            return 0
        if not overwrite:
            raise UserError(
                f"{folder}: already there, and not what would be made now. Choose another target, "
                "or ask to overwrite it (--overwrite)."
            )
        shutil.rmtree(folder)
    shutil.rmtree(partial_folder, ignore_errors=True)
    written = unpack(pack, partial_folder, suffix=suffix)
    partial_folder.rename(folder)
    return written


def _same(files: PictureStore, pack: PictureStore, suffix: str) -> bool:
    names = [name + suffix.removesuffix(".png") for name in pack.names()]
    try:
        return sorted(names) == list(files.names()) and all(
            np.array_equal(files.read(name), pack.read_at(i)) for i, name in enumerate(names)
        )
    except UserError:  # a file is damaged
        return False
