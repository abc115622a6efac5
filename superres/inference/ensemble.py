"""Self-ensemble: the mean over the eight flips and transposes of an image (EDSR+, x8)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def self_ensemble(run: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The mean of ``run`` over the eight dihedral views of ``x`` (N, C, h, w).

    View i flips the width if bit 0 is set, then the height if bit 1 is, then transposes if bit 2
    is; the result is taken back in the opposite order. The eight float results are averaged
    unclamped, so that whoever rounds does so once (EDSR-PyTorch, src/model/__init__.py,
    forward_x8; Lim et al. 2017, section 3.4).
    """
    total: np.ndarray | None = None
    for index in range(8):
        flips = (
            slice(None, None, -1 if index & 2 else 1),
            slice(None, None, -1 if index & 1 else 1),
        )
        seen = x[..., *flips]
        seen = np.ascontiguousarray(seen.swapaxes(-1, -2)) if index & 4 else seen.copy("K")
        y = run(seen)
        y = (y.swapaxes(-1, -2) if index & 4 else y)[..., *flips]
        total = y.copy() if total is None else np.add(total, y, out=total)
    total /= 8
    return total
