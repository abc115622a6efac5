"""Carry out a recipe: scan, compare, pack, verify, report."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.locate import KNOWN, shortfall
from superres.datasets.pack import check_apart, check_readable, check_set_name, pack_images
from superres.datasets.pairing import size_fault
from superres.datasets.prepare import recipes
from superres.datasets.prepare.recipes import Files, Options, SetPlan
from superres.datasets.prepare.source import Source
from superres.datasets.storage import ImageStore, open_store
from superres.datasets.storage.folder import Made
from superres.datasets.verify.verify_set import Step, verify
from superres.errors import UserError, some
from superres.imaging.io import image_header
from superres.imaging.resize import imresize, modcrop

_SHOWN = 20


def prepare(
    name: str,
    options: Options,
    step: Step = lambda text: lambda done, total, name: None,
    say: Callable[[str], object] = lambda text: None,
) -> dict[str, Any]:
    """Make packed sets below ``options.out`` from what lies at ``options.root``.

    An interrupted run, killed too, is continued by running it again; a finished one finds nothing
    to do. The source is never written.

    Args:
        name: of a recipe, a function ``plan_NAME`` of :mod:`.recipes`.
        say: called with what the user should know now.

    Returns:
        The record that is written as JSON: ``ok``, ``failed``, (name, fault) of the images that
        were left out, ``verification`` (see :func:`superres.datasets.verify.verify`), and
        ``sets``, each with ``name``, ``path``, ``notes`` and ``packs``; ``made`` says
        where their images come from.

    Raises:
        UserError: nothing usable in the source, archives that are broken or hostile, images
            that cannot be read, sides that do not belong together, a target that cannot be
            written or holds something else.
    """
    out, root = (Path(os.path.abspath(path)) for path in (options.out, options.root))
    if options.name is not None:
        check_set_name(options.name)
    check_apart(out, root)
    say(f"looking through {root}")
    record: dict[str, Any] = {"recipe": name, "sets": [], "failed": []}
    with Source(root, out.with_name(f".{out.name}.extracted")) as source:
        recipe = getattr(recipes, f"plan_{name}")
        plans = [plan for plan in recipe(source, options) if plan.gt]
        if not plans:
            passed = some(source.passed_over, 5)
            passed = f" Archives not looked into because of their names: {passed}." * bool(passed)
            text = f"{root}: nothing that prepare {name} takes is here or below it"
            raise UserError(f"{text}: {inspect.getdoc(recipe).splitlines()[0]}{passed}")
        for plan in plans:
            check_apart(out / plan.name, root)
            if lacks := shortfall(plan.name, None, list(plan.gt)):
                say(f"warning: {lacks}")
            _check(plan, options)
        for plan in plans:
            _make(plan, out / plan.name, options, step, record)
    record["failed"] = [(name, source.with_source(fault)) for name, fault in record["failed"]]
    for one in record["sets"]:
        one["notes"] = list(map(source.with_source, dict.fromkeys(one["notes"])))
        for note in one["notes"][:_SHOWN]:
            say(f"note: {note}")
    record["ok"] = not record["failed"]
    if options.verify:
        paths = [one["path"] for one in record["sets"]]
        asked = {"allow_partial": options.allow_partial, "num_workers": options.num_workers}
        record["verification"] = verify(paths, options.scales, **asked, step=step)
        record["ok"] &= record["verification"]["ok"]
    return record


def _check(plan: SetPlan, options: Options) -> None:
    """Compare the names and sizes of a plan's sides, before anything is written.

    Drops the low-quality sides that were not asked for. Images whose header cannot be read are
    left to the packer, which reports them.

    Raises:
        UserError: a low-quality side lacks images, or is not of the scale that it claims; a
            ground truth is smaller than a scale.
    """
    plan.lq = {key: files for key, files in plan.lq.items() if key[1] in options.scales}
    shape, largest = functools.cache(_shape), max(options.scales)
    for file in plan.gt.values():
        if (size := shape(file)) and min(size) < largest:
            text = f"{file}: {size[1]}x{size[0]} pixels, too small for scale {largest}"
            raise UserError(f"{text}. Remove it, or prepare smaller scales (--scales).")
    for (kind, scale), lq in plan.lq.items():
        what, gt = f"{plan.name}, LR_{kind} X{scale}", plan.gt_at.get(scale, plan.gt)
        for name in sorted(lq.keys() - gt.keys()):
            plan.notes.append(f"{what}: {lq.pop(name)} has no ground truth, left out")
        if missing := sorted(gt.keys() - lq.keys()):
            text = f"{what}: {len(missing)} of {len(gt)} images have no low-quality image"
            text += f": {some(missing)}. Fetch them, or move that folder or archive away"
            raise UserError(f"{text}: a bicubic one is then made exactly.")
        for name, file in lq.items():
            sizes = shape(gt[name]), shape(file)
            if all(sizes) and (fault := size_fault(*sizes, scale)):
                raise UserError(f"{file}, of {gt[name]}: {fault}")


def _shape(file: Path) -> tuple[int, int] | None:
    """(height, width); None where the header cannot be read."""
    check_readable(file)
    with contextlib.suppress(UserError):
        header = image_header(file)
        return header.height, header.width
    return None


def _make(plan: SetPlan, path: Path, options: Options, step: Step, record: dict[str, Any]) -> None:
    """Pack a plan's sides, and the bicubic ones that it lacks."""
    packs: list[dict[str, Any]] = []
    record["sets"] += [{"name": plan.name, "path": str(path), "packs": packs, "notes": plan.notes}]
    # Where both sides are given, an image that is left out of one breaks the pairs; and a set
    # that people know by its count must not be short of some without anybody noticing.
    known = plan.name.lower() in KNOWN and not options.allow_partial

    def side(name: str, images: Files | ImageStore, made: str, **info: Any) -> None:
        if isinstance(images, dict):  # called by their own names, not by those of links
            images = [(name, file.resolve()) for name, file in images.items()]
        done = pack_images(
            images,
            path / f"{name}.lmdb",
            dtype=options.dtype,
            num_workers=options.num_workers,
            progress=step(f"{plan.name}: {name}.lmdb"),
            overwrite=options.overwrite,
            strict=bool(plan.lq) or known,
            info={**info, "made": made},
        )
        record["failed"] += done.failed
        plan.notes += [f"{plan.name}: {note}" for note in done.notes if name == "HR"]
        packs.append(vars(done) | {"target": str(done.target), "made": made})

    side("HR", plan.gt, "as given", role="gt")
    for scale in options.scales:
        gt = "HR"
        if own_gt := plan.gt_at.get(scale):
            gt = f"HR_X{scale}"
            side(gt, own_gt, "as given", role="gt")
        lq = {kind: files for (kind, s), files in plan.lq.items() if s == scale}
        info = {"role": "lq", "scale": scale}
        for kind, files in lq.items():
            side(f"LR_{kind}_X{scale}", files, "as given", degradation=kind, **info)
        # Where people bring an LR side of their own, a bicubic one would be taken before it.
        if "bicubic" not in lq and not (lq and plan.own_lq):

            def reduced(image: np.ndarray, scale: int = scale) -> np.ndarray:
                return imresize(modcrop(image, scale), 1 / scale, border=options.border)

            how, high = f"bicubic x{scale} {options.border}", open_store(path / f"{gt}.lmdb")
            source = [(n, Made(high, i, reduced, how)) for i, n in enumerate(high.names())]
            made = f"exact bicubic, border {options.border}"
            side(f"LR_bicubic_X{scale}", source, made, degradation="bicubic", **info)
