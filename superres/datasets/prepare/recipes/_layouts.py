"""How the files of one set lie below its folder, in the layouts in circulation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from superres.datasets.layouts import is_lmdb
from superres.datasets.pairing import partners
from superres.datasets.prepare.plan import SetPlan, add
from superres.datasets.prepare.source import Entry
from superres.datasets.verify.sets import FoundSet, sets_at
from superres.errors import UserError
from superres.imaging.io import image_header, read_image
from superres.imaging.listing import list_images

# SelfExSR: a ground truth for each scale; results of methods lie beside (.._SRF_2_A+.png)
_SELFEXSR = r"image_SRF_(?P<scale>\d+)/(?P<name>.+?)_SRF_\d+_(?P<side>HR|LR)"
_PLAIN = re.compile(r"(?P<name>[^/]+?)(?:_GT|_HR)?")


def layout_of(pictures: Iterable[tuple[str, Entry]], folder: Path) -> SetPlan | None:
    """Sort the pictures of one set.

    Args:
        pictures: the path below the set's folder, and the entry.
        folder: the set's folder.

    Returns:
        A plan without a name, or None for a folder in no known layout.

    Raises:
        UserError: clashing names; folders that could be the same side.
    """
    for found in sets_at(folder, 0):
        return plan_of(found)
    pictures = [(str(PurePosixPath(path).with_suffix("")), e) for path, e in pictures]
    if plan := _selfexsr(pictures):
        return plan
    gt: dict[str, Entry] = {}
    for path, entry in pictures:
        if match := _PLAIN.fullmatch(path):
            add(gt, match["name"], entry)
    return SetPlan("", gt) if gt else None


def plan_of(found: FoundSet) -> SetPlan:
    """The plan, without a name, of a set whose two sides are known.

    Raises:
        UserError: clashing names; nothing but the low-quality side is missing, and what lies here
            may be it.
    """
    if not found.lq and (found.unread or found.unused):
        unread = f"{found.unread}, and the high-quality side has no other. Move it away"
        raise UserError(
            unread
            if found.unread
            else f"{found.unused[0]} holds images that would not be used, and the high-quality "
            "side has no low-quality one. Call that folder LR, or move it away"
        )
    sides = [found.gt, *found.gt_at.values(), *found.lq.values()]
    gt = _pictures(found.gt, sides)
    plan = SetPlan("", gt)
    plan.gt_at = {s: _pictures(p, sides) for s, p in found.gt_at.items() if p != found.gt}
    for (kind, scale), path in found.lq.items():
        images = _pictures(path, sides)
        partner = partners(list(gt), list(images), scale)
        names = {list(images)[at]: name for name, at in zip(gt, partner) if at >= 0}
        plan.lq[kind, scale] = {names.get(name, name): e for name, e in images.items()}
    plan.notes += [f"{path}: images that are not used" for path in found.unused]
    return plan


def _pictures(folder: Path, sides: list[Path]) -> dict[str, Entry]:
    """Those of one side; below it too, where no other side lies there."""
    if is_lmdb(folder):
        raise UserError(f"{folder}: packed already. Give a folder of pictures (--root)")
    deep = not any(other != folder and other.is_relative_to(folder) for other in sides)
    found: dict[str, Entry] = {}
    for file in list_images(folder, recursive=deep):
        below = file.relative_to(folder)
        add(found, below.with_suffix("").as_posix(), Entry(below.as_posix(), file))
    return found


def _selfexsr(pictures: list[tuple[str, Entry]]) -> SetPlan | None:
    gt: dict[int, dict[str, Entry]] = {}
    lq: dict[tuple[str, int], dict[str, Entry]] = {}
    for path, entry in pictures:
        if match := re.fullmatch(_SELFEXSR, path, re.IGNORECASE):
            scale = int(match["scale"])
            side = (
                gt.setdefault(scale, {})
                if match["side"].upper() == "HR"
                else lq.setdefault(("bicubic", scale), {})
            )
            add(side, match["name"], entry)
    if not gt:
        return None
    plan = _joined(gt)
    plan.lq = dict(sorted(lq.items()))
    return plan


def _joined(by_scale: dict[int, dict[str, Entry]]) -> SetPlan:
    """One ground truth for all scales where the others are its crops, as mod-cropping makes them.

    The scale whose pictures are the largest gives it; scales whose pictures are no crops of that
    (481x321: 480x320 at x2, but 480x321 at x3) keep ground truths of their own.
    """
    area = {
        scale: sum(h.height * h.width for h in (image_header(entry.file) for entry in gt.values()))
        for scale, gt in by_scale.items()
    }
    first = max(sorted(by_scale), key=area.__getitem__)
    plan = SetPlan("", by_scale[first])
    for scale, gt in sorted(by_scale.items()):
        if scale != first and not _crops(plan.gt, gt):
            plan.gt_at[scale] = gt
            plan.notes.append(
                f"x{scale} has ground truths of its own (not crops of those at x{first}): "
                f"HR_X{scale}"
            )
    return plan


def _crops(whole: dict[str, Entry], parts: dict[str, Entry]) -> bool:
    if whole.keys() != parts.keys():
        return False
    for name, entry in parts.items():
        part, all_of_it = (read_image(e.file, dtype="keep") for e in (entry, whole[name]))
        if not np.array_equal(all_of_it[: part.shape[0], : part.shape[1]], part):
            return False
    return True
