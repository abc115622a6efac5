"""How the files of one set lie below its folder, in the layouts in circulation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from superres.datasets.layouts import read_side
from superres.datasets.prepare.entries import Entry
from superres.datasets.prepare.plan import SetPlan, add
from superres.errors import UserError

# SelfExSR: a ground truth for each scale; results of methods lie beside (.._SRF_2_A+.png)
_SELFEXSR = r"image_SRF_(?P<scale>\d+)/(?P<name>.+?)_SRF_\d+_(?P<side>HR|LR)"
_PLAIN = re.compile(r"(?P<name>[^/]+?)(?:_GT|_HR)?")


def layout_of(pictures: Iterable[tuple[str, Entry]], plain: bool = True) -> SetPlan | None:
    """Sort the pictures of one set.

    Args:
        pictures: the path below the set's folder, and the entry.
        plain: whether pictures right in the folder count as ground truths.

    Returns:
        A plan without a name, or None for a folder in no known layout.

    Raises:
        UserError: clashing names.
    """
    pictures = [(str(PurePosixPath(path).with_suffix("")), e) for path, e in pictures]
    plan = _by_folders(pictures) or _selfexsr(pictures)
    if plan is not None:
        return plan
    gt = {}
    for path, entry in pictures if plain else ():
        if match := _PLAIN.fullmatch(path):
            add(gt, match["name"], entry)
    return SetPlan("", gt) if gt else None


def _by_folders(pictures: list[tuple[str, Entry]]) -> SetPlan | None:
    """The sides by what their folders are called; see :mod:`superres.datasets.layouts`."""
    high: dict[tuple[str, ...], list[tuple[str, Entry]]] = {}
    low: dict[tuple[str, int], dict[str, Entry]] = {}
    for path, entry in pictures:
        *folders, name = path.split("/")
        for depth in (1, 2):
            side = read_side(folders[:depth]) if len(folders) >= depth else None
            if side and not side.low:
                high.setdefault(tuple(folders[:depth]), []).append((path, entry))
                break
            if side and side.low and (side.scale or depth == len(folders)):
                scale = side.scale or 0
                name = re.sub(rf"(?:_LR)?_?x{scale}$", "", name)
                add(low.setdefault((side.kind or "unknown", scale), {}), name, entry)
                break
    # MMEditing and BasicSR leave the uncropped originals beside GTmod12.
    first = min(
        high,
        key=lambda f: (f[0].lower() != "hr", not f[0].lower().startswith("gtmod")),
        default=None,
    )
    if first is None:
        return None
    plan = SetPlan("", {})
    for path, entry in high[first]:
        add(plan.gt, "/".join(path.split("/")[len(first) :]), entry)
    unsaid = {kind: images for (kind, scale), images in low.items() if not scale}
    plan.lq = dict(sorted(item for item in low.items() if item[0][1]))
    for kind, images in unsaid.items():
        plan.lq[kind, _ratio(plan.gt, images)] = images
    return plan


def _ratio(gt: dict[str, Entry], lq: dict[str, Entry]) -> int:
    """The scale of a side whose name states none, by the sizes of a pair."""
    for name, entry in lq.items():
        if name in gt:
            return max(1, round(gt[name].header().height / entry.header().height))
    raise UserError(
        f"{next(iter(lq.values())).label}: the folder's name states no scale, and no image has a "
        "partner of the same name; call it LR_x2, LR_x3 or LR_x4"
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
