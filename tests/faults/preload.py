"""What the server of :mod:`.runs` imports once, so that the commands it forks start at once."""

from __future__ import annotations

import os

# Equal bits in equal runs, and a process that may be forked: set before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import importlib

for _name in (
    "superres.cli.train",
    "superres.cli.test",
    "superres.cli.data",
    "superres.cli.export",
    "superres.cli.upscale",
    "superres.datasets.pack",
    "superres.engine.entry",
    "superres.engine.test.runner",
    "superres.engine.train.trainer",
    "superres.evaluation.extra_metrics",
    "superres.evaluation.render",
    "superres.export",
    "superres.models",
    "superres.upscaling.jobs",
    "superres.upscaling.networks",
    "superres.upscaling.run",
    "superres.upscaling.writing",
    "rich.progress",
    "tests.faults.patches",
):
    importlib.import_module(_name)
