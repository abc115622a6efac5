"""How the files of one set lie below its folder, in the layouts in circulation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from superres.datasets.prepare.entries import Entry
from superres.datasets.prepare.plan import SetPlan, add

# Best first: (ground truth, low-quality side). {s} is the scale.
_LAYOUTS = (
    # EDSR's benchmark.tar, and the folders that superres writes
    (r"HR/(?P<name>.+?)", r"LR_(?P<kind>bicubic|unknown)/X(?P<scale>\d+)/(?P<name>.+?)"),
    # BasicSR, MMEditing
    (r"GTmod12/(?P<name>.+?)", r"LR(?P<kind>bic)x(?P<scale>\d+)/(?P<name>.+?)"),
    # SelfExSR: a ground truth for each scale; results of methods lie beside (.._SRF_2_A+.png)
    (
        r"image_SRF_(?P<scale>\d+)/(?P<name>.+?)_SRF_\d+_HR",
        r"image_SRF_(?P<scale>\d+)/(?P<name>.+?)_SRF_\d+_LR",
    ),
    (r"(?:original|GT)/(?P<name>.+?)", None),
)
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
    for gt_pattern, lq_pattern in _LAYOUTS:
        by_scale: dict[int, dict[str, Entry]] = {}
        lq: dict[tuple[str, int], dict[str, Entry]] = {}
        for path, entry in pictures:
            if match := re.fullmatch(gt_pattern, path, re.IGNORECASE):
                scale = int(match.groupdict().get("scale") or 0)
                add(by_scale.setdefault(scale, {}), match["name"], entry)
            elif lq_pattern and (match := re.fullmatch(lq_pattern, path, re.IGNORECASE)):
                scale = int(match["scale"])
                kind = (match.groupdict().get("kind") or "bicubic").lower()
                kind = "bicubic" if kind == "bic" else kind
                name = re.sub(rf"(?:_LR)?_?x{scale}$", "", match["name"])
                add(lq.setdefault((kind, scale), {}), name, entry)
        if by_scale:
            gt = by_scale.pop(0, None)
            plan = _joined(by_scale) if gt is None else SetPlan("", gt)
            plan.lq = dict(sorted(lq.items()))
            return plan
    gt = {}
    for path, entry in pictures if plain else ():
        if match := _PLAIN.fullmatch(path):
            add(gt, match["name"], entry)
    return SetPlan("", gt) if gt else None


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
