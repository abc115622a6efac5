"""A results.json with all that a test or a merge notes, to be changed by the tests here."""

from __future__ import annotations

from typing import Any


def record() -> dict[str, Any]:
    """Of ``superres test``; nothing that it names exists."""
    images = [{"name": n, "psnr": 30.0, "ssim": 0.9, "seconds": 0.1} for n in ("a", "b")]
    published = {"method": "EDSR", "psnr": 30.1, "ssim": 0.91, "source": "paper", "note": "n"}
    published["difference"] = {"psnr": -0.1, "ssim": -0.01}
    entry = {"method": "EDSR", "set": "Set5", "scale": 2, "protocol": "edsr-y", "psnr": 30.0}
    entry |= {"ssim": 0.9, "images": images, "notes": ["n"], "published": published, "lpips": 0.1}
    line = {"set": "Set5", "scale": 2, "gt": "/nowhere", "lq": None, "images": 2}
    return {
        "schema": 1,
        "checkpoint": {"path": "a.pth", "sha256": "00"},
        "results": [entry],
        "baselines": [{**entry, "method": "Bicubic"}],
        "protocols": {"edsr-y": {"name": "edsr-y", "line": "Y", "border": "scale"}},
        "metrics": {"lpips": {"title": "LPIPS", "line": "less is better"}},
        "config": "a.py",
        "iter": 3,
        "parameters": 5,
        "costs": [{"scale": 2, "parameters": 5, "flops": 10**9}],
        "runtime": [
            {"set": "Set5", "scale": 2, "memory_mb": 1, "seconds": {"total": 1, "median": 0.5}}
        ],
        "sets": [{**line, "lq_fingerprint": {"sha256": "00"}}],
        "eval_dataset": {"make_lq": "auto", "border": "reflect"},
        "inference": {"tile": 8},
    }
