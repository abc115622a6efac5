"""The published numbers: every file follows the schema, and a few cells by hand."""

from __future__ import annotations

import dataclasses
import json

import pytest

from superres.evaluation.protocols import PROTOCOLS
from superres.evaluation.published import (
    FOLDER,
    PublishedScore,
    find_published,
    load_published,
)

FILES = sorted(FOLDER.glob("*.json"))
SETS = {"Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_schema(path):
    entries = [PublishedScore(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    assert entries
    for entry in entries:
        assert entry in load_published()
        assert entry.ssim is None or 0.5 < entry.ssim < 1, entry
        assert type(entry.psnr) is float, entry
        assert 20 < entry.psnr < 45, entry
        assert entry.set in SETS, entry
        assert entry.protocol in PROTOCOLS, entry
        assert entry.scale in (2, 3, 4, 8), entry
        assert entry.degradation in ("bicubic", "blur-down"), entry
        assert all(text.strip() for text in (entry.method, entry.source)), entry


def test_no_source_has_a_cell_twice():
    cells = [dataclasses.replace(e, psnr=0, ssim=0, note="") for e in load_published()]
    assert len({*cells}) == len(cells)


@pytest.mark.parametrize(
    ("cell", "psnr", "ssim"),
    [
        (("Bicubic", "Set5", 2, "classical-y"), 33.66, 0.9299),
        (("DRLN", "Set5", 3, "edsr-y"), 34.78, 0.9303),
        (("DRLN", "Set5", 3, "edsr-y", "blur-down"), 34.81, 0.9297),
        (("VDSR", "Urban100", 4, "classical-y"), 25.18, 0.7524),
        (("EDSR", "B100", 3, "edsr-y"), 29.25, 0.8093),
        (("EDSR-baseline", "Set14", 4, "mmediting-ssim-bug"), 26.787, 0.7366),
        (("super-image drln-bam", "Urban100", 3, "super-image"), 29.82, 0.8828),
        (("DRLN+", "Manga109", 8, "edsr-y"), 25.55, 0.8087),
        (("RCAN", "Set5", 2, "edsr-y"), 38.27, 0.9614),
        (("ablation task 8 width 128", "B100", 2, "edsr-y"), 32.023, None),
    ],
)
def test_cells(cell, psnr, ssim):
    (entry,) = find_published(*cell)  # of bicubic LR, if it does not say otherwise
    assert (entry.psnr, entry.ssim) == (psnr, ssim)


def test_what_could_not_be_verified_is_absent():
    for method, where in (
        ("MDSR", {"set": "Set5"}),  # recalled, not verified
        ("SRResNet", {}),
        ("EDSR-baseline", {"set": "Set5", "protocol": "edsr-y"}),
        ("ablation task 10", {"set": "Set5"}),  # published, but below bicubic: invalid
    ):
        assert find_published(method, **where) == []
