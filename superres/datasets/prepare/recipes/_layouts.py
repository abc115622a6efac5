"""How the files of one set lie below its folder, in the layouts in circulation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from superres.datasets.layouts import Place, choose_sides, side_of
from superres.datasets.pairing import partners
from superres.datasets.prepare.entries import Entry
from superres.datasets.prepare.plan import SetPlan, add
from superres.errors import UserError

# SelfExSR: a ground truth for each scale; results of methods lie beside (.._SRF_2_A+.png)
_SELFEXSR = r"image_SRF_(?P<scale>\d+)/(?P<name>.+?)_SRF_\d+_(?P<side>HR|LR)"
_PLAIN = re.compile(r"(?P<name>[^/]+?)(?:_GT|_HR)?")


def layout_of(
    pictures: Iterable[tuple[str, Entry]], label: str, plain: bool = True
) -> SetPlan | None:
    """Sort the pictures of one set.

    Args:
        pictures: the path below the set's folder, and the entry.
        label: the set's folder, for messages.
        plain: whether pictures right in the folder count as ground truths.

    Returns:
        A plan without a name, or None for a folder in no known layout.

    Raises:
        UserError: clashing names; several sets, or folders that could be the same side.
    """
    pictures = [(str(PurePosixPath(path).with_suffix("")), e) for path, e in pictures]
    plan = _by_folders(pictures, label) or _selfexsr(pictures)
    if plan is not None:
        return plan
    gt = {}
    for path, entry in pictures if plain else ():
        if match := _PLAIN.fullmatch(path):
            add(gt, match["name"], entry)
    return SetPlan("", gt) if gt else None


def _by_folders(pictures: list[tuple[str, Entry]], label: str) -> SetPlan | None:
    """The sides by what their folders are called; see :mod:`superres.datasets.layouts`."""
    high: dict[Place, dict[str, Entry]] = {}
    low: dict[tuple[str, str, int], dict[str, Entry]] = {}
    for path, entry in pictures:
        *folders, name = path.split("/")
        side, count = side_of(folders)
        if side is None:
            continue
        of_side = (
            low.setdefault((side.word, side.kind or "unknown", side.scale or 0), {})
            if side.low
            else high.setdefault(
                Place(Path(label, *folders[:count]), side, tuple(folders[:count])), {}
            )
        )
        add(of_side, "/".join((*folders[count:], name)), entry)
    if not high:
        return None
    sets = sorted({place.side.word: place.path.name for place in high}.values())
    if len(sets) > 1:
        raise UserError(
            f"{label}: several sets are here ({', '.join(sets)}). Put the two sides of each into a "
            "folder of its own, and prepare them one by one"
        )
    own = {place.side.scale: place for place in high if place.side.scale}
    first = choose_sides(high, 0, None, label)[0] or own[min(own)]
    plan = SetPlan("", high[first])
    plan.gt_at = {s: high[place] for s, place in sorted(own.items()) if place != first}
    word = first.side.word
    for key in sorted(key for key in low if key[0] == word) or sorted(low):
        _, kind, scale = key
        images = low[key]
        partner = partners(list(plan.gt), list(images), scale or 1)
        names = {list(images)[at]: name for name, at in zip(plan.gt, partner) if at >= 0}
        images = {names.get(name, name): entry for name, entry in images.items()}
        plan.lq.setdefault((kind, scale or _ratio(plan.gt, images)), images)
    return plan


def _ratio(gt: dict[str, Entry], lq: dict[str, Entry]) -> int:
    """The scale of a side whose name states none, by the sizes of a pair."""
    for name, entry in lq.items():
        if name in gt:
            return max(1, round(gt[name].header().height / entry.header().height))
    raise UserError(
        f"{next(iter(lq.values())).label}: the folder's name states no scale, and no image has a "
        "partner by its name; call it LR_x2, LR_x3 or LR_x4"
    )


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
        scale: sum(h.height * h.width for h in (entry.header() for entry in gt.values()))
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
        part, all_of_it = entry.load(dtype="keep"), whole[name].load(dtype="keep")
        if not np.array_equal(all_of_it[: part.shape[0], : part.shape[1]], part):
            return False
    return True
