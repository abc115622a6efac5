"""Which low-quality picture belongs to which ground truth."""

from __future__ import annotations

import numpy as np

from superres.errors import UserError

from .storage import PictureStore

# How the low-quality side is named in the sets in circulation; {n} is the ground truth's name.
TEMPLATES = (
    "{n}",
    "{n}x{s}",
    "{n}_x{s}",
    "{n}_LR_x{s}",
    "{n}_LR",
    "{n}LRBI_x{s}",
    "{n}x{s}m",
    "{n}_LRBD_x{s}",
    "{n}LRBD_x{s}",
)


def _template(gt: PictureStore, lq: PictureStore, scale: int) -> str | None:
    first = gt.name_at(0)
    last = gt.name_at(len(gt) - 1)
    for template in TEMPLATES:
        if template.format(n=first, s=scale) in lq and template.format(n=last, s=scale) in lq:
            return template
    fitting = {
        template: sum(template.format(n=name, s=scale) in lq for name in gt.names())
        for template in TEMPLATES
    }
    best = max(TEMPLATES, key=fitting.__getitem__)
    return best if fitting[best] else None


def partner_numbers(gt: PictureStore, lq: PictureStore, scale: int) -> list[int]:
    """For each ground truth the number of its partner in ``lq``, -1 where it has none."""
    template = _template(gt, lq, scale)
    if template is None:
        return [-1] * len(gt)
    names = (template.format(n=name, s=scale) for name in gt.names())
    return [lq.index(name) if name in lq else -1 for name in names]


def match_names(gt: PictureStore, lq: PictureStore, scale: int) -> np.ndarray | None:
    """For each ground truth the number of its partner in ``lq``.

    None stands for "the same number", which is how packs of one set lie.

    Raises:
        UserError: pictures without a partner, which are named.
    """
    template = _template(gt, lq, scale)
    if template is None:
        raise UserError(
            f"{lq.path}: no partner for {gt.name_at(0)!r} of {gt.path} (found e.g. "
            f"{lq.name_at(0)!r}). Names that are understood: "
            + ", ".join(t.format(n="NAME", s=scale) for t in TEMPLATES)
        )
    numbers = np.empty(len(gt), np.int64)
    missing = []
    for i in range(len(gt)):
        name = template.format(n=gt.name_at(i), s=scale)
        if name in lq:
            numbers[i] = lq.index(name)
        else:
            missing.append(name)
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise UserError(
            f"{lq.path}: {len(missing)} of {len(gt)} pictures of {gt.path} have no partner here: "
            f"{shown}"
        )
    if len(lq) == len(gt) and (numbers == np.arange(len(gt))).all():
        return None
    return numbers
