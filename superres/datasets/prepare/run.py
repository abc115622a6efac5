"""Carry out a recipe: scan, compare, pack, verify, report."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from superres.datasets.pack import PackReport, pack_images
from superres.datasets.prepare.check import check_plan
from superres.datasets.prepare.files import write_files
from superres.datasets.prepare.making import BicubicSource, EntrySource
from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.source import Source
from superres.datasets.storage import open_store
from superres.datasets.storage.places import check_apart, check_set_name
from superres.datasets.storage.sources import PackSource
from superres.datasets.verify import verify
from superres.errors import UserError

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
    scratch = out.with_name(f".{out.name}.extracted")
    told.say(f"looking through {root}")
    source = Source(root, scratch)
    try:
        plans = chosen.plan(source, options)
    except UserError:
        _remove_empty(scratch)
        raise
    for note in source.notes[:_SHOWN]:
        told.say(f"note: {note}")
    if source.notes[_SHOWN:]:
        told.say(f"note: ... and {len(source.notes) - _SHOWN} more left out (--json lists all)")
    reports = []
    for plan in plans:
        check_apart(out / plan.name, root)
        report = SetReport(plan.name, out / plan.name)
        if shortfall := plan.incomplete():
            report.warnings.append(shortfall)
            report.incomplete = plan.must_be_complete and not options.allow_partial
            told.say(f"warning: {shortfall}")
        step = told.step(f"{plan.name}: checking headers")
        report.notes += check_plan(plan, options.scales, options.allow_partial, step)
        report.notes += plan.notes
        for note in report.notes:
            told.say(f"note: {note}")
        reports.append(report)
    if reports:
        reports[0].notes += source.notes
    for plan, report in zip(plans, reports):
        _make(plan, report, options, told)
    if options.verify:
        _verify(reports, options, told)
    if scratch.exists():
        shutil.rmtree(scratch, ignore_errors=True)
    return reports


def _remove_empty(folder: Path) -> None:
    """Remove folders that hold nothing; what was extracted is kept for the next run."""
    for base, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(base)


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


def _make(plan: SetPlan, report: SetReport, options: Options, told: Told) -> None:
    packed = options.format == "lmdb"
    # Where both sides are given, a picture that is left out of one breaks the pairs; and a set
    # that people know by its count must not be short of some without anybody noticing.
    strict = bool(plan.lq) or (plan.expected is not None and not options.allow_partial)

    def side(what: str, folder: str, scale: int, source: PackSource, info: dict) -> Path:
        target = report.path / (f"{what}.lmdb" if packed else folder)
        step = told.step(f"{plan.name}: {target.relative_to(report.path)}")
        done = _write(source, target, scale, info, options, strict, step)
        report.failed += done.failed
        report.packs.append(
            {
                "path": str(target),
                "count": done.count,
                "added": done.added,
                "reused": done.reused,
                "bytes": done.bytes,
                "seconds": round(done.seconds, 3),
                "made": info["made"],
                "notes": done.notes,
            }
        )
        return target

    def pictures(entries: dict) -> EntrySource:
        return EntrySource(entries, "rgb", options.dtype)

    given = {"made": "as given"}
    gt = side("HR", "HR", 1, pictures(plan.gt), {"role": "gt", **given})
    gt_at = {
        scale: side(
            f"HR_X{scale}",
            f"HR_X{scale}",
            1,
            pictures(entries),
            {"role": "gt", "scale": scale, **given},
        )
        for scale, entries in plan.gt_at.items()
        if scale in options.scales
    }
    for scale in options.scales:
        own = {k: v for (k, s), v in plan.lq.items() if s == scale}
        # Where people bring an LR side of their own, a bicubic one would be taken before it.
        kinds = own if own and plan.own_lq else {"bicubic": None} | own
        for kind, entries in kinds.items():
            info: dict[str, Any] = {"role": "lq", "scale": scale, "degradation": kind}
            if entries is not None:
                source: PackSource = pictures(entries)
                info |= given
            else:
                source = BicubicSource(open_store(gt_at.get(scale, gt)), scale, options.border)
                info["made"] = f"exact bicubic, border {options.border}"
            side(f"LR_{kind}_X{scale}", f"LR_{kind}/X{scale}", scale, source, info)


def _write(
    source: PackSource,
    target: Path,
    scale: int,
    info: dict,
    options: Options,
    strict: bool,
    progress: Callable[[int, int, str], None],
) -> PackReport:
    common = {
        "num_workers": options.num_workers,
        "progress": progress,
        "overwrite": options.overwrite,
        "strict": strict,
    }
    if options.format == "lmdb":
        return pack_images(source, target, dtype=options.dtype, info=info, **common)
    suffix = f"x{scale}" if scale > 1 else ""
    return write_files(source, target, suffix, info={**info, "dtype": options.dtype}, **common)
