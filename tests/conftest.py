"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell ignores Ctrl-C for what it runs in the background, and children inherit that; the tests
# that press Ctrl-C on a process of their own need it to be heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# PyPI's torchvision is built for CUDA. Beside a torch for the CPU its operators are missing, and it
# cannot be imported; those who import it for other things need their names only.
if importlib.util.find_spec("torchvision"):
    import torch

    for _name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # it is there, as it should be
            torch.library.define(
                f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou) -> Tensor"
            )


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder with published images and golden vectors; skips where it is not at hand."""
    root = os.environ.get("SUPERRES_REFERENCE_DIR")
    if not root:
        pytest.skip("SUPERRES_REFERENCE_DIR is not set: no published images or golden vectors here")
    path = Path(root)
    if not (path / "data").is_dir():
        pytest.fail(f"SUPERRES_REFERENCE_DIR={root} has no data/ folder")
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For small pictures and layers: threads would mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
