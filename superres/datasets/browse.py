"""A contact sheet of what the network sees: after the pipeline, as the batches hold it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from superres.datasets.fingerprint import rgb8
from superres.datasets.loader import collate
from superres.datasets.sampler import IterationSampler
from superres.datasets.transforms.degrade import to_uint8
from superres.files import write_atomically


def first_pairs(
    dataset: Dataset, global_batch_size: int, seed: int, iteration: int, count: int
) -> list[dict[str, Any]]:
    """The samples that training sees from ``iteration`` on: ``lq``, ``gt`` (HWC) and ``meta``.

    Every draw is a function of (seed, iteration), so these are the very samples, in their order.
    Images that are smaller than the patch are left out, as in training, which moves all draws.

    Raises:
        UserError: all images are smaller than the patch.
    """
    skip = dataset.too_small() if hasattr(dataset, "too_small") else []
    sampler = IterationSampler.of(dataset, global_batch_size, seed, start=iteration, skip=skip)
    keys = itertools.islice(itertools.chain.from_iterable(sampler), count)
    batches = (collate([dataset[key]]) for key in keys)
    return [
        {"lq": b["inputs"][0].numpy(), "gt": b["gt"][0].numpy(), "meta": b["meta"][0]}
        for b in batches
    ]


def contact_sheet(pairs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw pairs beside each other, low quality and ground truth, with what was drawn for them.

    Args:
        pairs: from :func:`first_pairs`.
        path: of a PNG.

    Raises:
        UserError: it cannot be written.
    """
    from matplotlib.figure import Figure

    columns = math.ceil(math.sqrt(len(pairs) / 2))
    rows = math.ceil(len(pairs) / columns)
    figure = Figure((5.2 * columns, 3 * rows), layout="tight")
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for pair, places in zip(pairs, axes.reshape(-1, 2)):
        meta = pair["meta"]
        cut = f"top {meta['top']} left {meta['left']} " if "top" in meta else ""
        places[0].set_title(f"{meta['name']} x{meta['scale']}", fontsize=8, parse_math=False)
        places[1].set_title(f"{cut}view {meta['view']}", fontsize=8)
        for place, side in zip(places, ("lq", "gt")):
            image = pair[side]  # floats are [0, 1], 16 bits are reduced, grey is repeated
            image = rgb8(image if image.dtype.kind == "u" else to_uint8(image * 255))
            place.imshow(image, interpolation="nearest")
    write_atomically(path, lambda file: figure.savefig(file, format="png"))
