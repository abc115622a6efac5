"""Records as results.json holds them, with scores that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superres.evaluation.protocols import get_protocol
from superres.evaluation.results import results_record, set_result


def entry(
    method: str,
    scores: Mapping[str, float | None],
    set_name: str = "Set5",
    scale: int = 2,
    protocol: str = "edsr-y",
) -> dict[str, Any]:
    """A result from PSNR by image; SSIM is a hundredth of it; None is an image not scored."""
    images = [
        {"name": name, "psnr": psnr, "ssim": None if psnr is None else min(psnr / 100, 1.0)}
        | ({"error": "truncated"} if psnr is None else {"seconds": 0.5})
        for name, psnr in scores.items()
    ]
    return set_result(set_name, scale, protocol, images, method)


def record(*entries: dict[str, Any], sha256: str = "00", baselines=(), **extra: Any):
    """A record of these results."""
    names = dict.fromkeys(e["protocol"] for e in [*entries, *baselines])
    checkpoint = {"path": "best.pth", "sha256": sha256}
    protocols = [get_protocol(name) for name in names]
    return results_record(entries, protocols, checkpoint, baselines=list(baselines), **extra)
