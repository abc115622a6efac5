"""OpenVINO's library: imported so that it reports to nobody, and one core of it."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

_TELEMETRY = "openvino_telemetry"
_lock = threading.RLock()
_core: Any = None


def import_openvino() -> ModuleType:
    """The module ``openvino``, without its telemetry.

    Importing it, and each conversion, would send an event to its maker (through Google Analytics)
    unless the user has opted out. Where its telemetry package cannot be imported it uses an empty
    one of its own. A program that imported openvino before keeps what it chose.

    Raises:
        ImportError: it is not installed, or broken.
    """
    with _lock:
        if "openvino" not in sys.modules:
            before = sys.modules.get(_TELEMETRY)
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
            try:
                import openvino
            finally:
                sys.modules.pop(_TELEMETRY)
                if before is not None:
                    sys.modules[_TELEMETRY] = before
        import openvino

        return openvino


def openvino_core() -> Any:
    """The process's one ``openvino.Core``, never given up.

    Its CPU plugin gives the thread that loads it a stack to handle signals on, and frees that stack
    when it goes. Where it goes in another thread (by garbage collection, say), the first thread
    keeps the address, and its next signal, Ctrl-C or a child that ends, kills the process.
    """
    global _core
    openvino = import_openvino()
    with _lock:
        if _core is None:
            _core = openvino.Core()
    return _core


def infer(request: Any, pixels: Any) -> None:
    """Run an ``openvino.InferRequest``.

    Not by its own ``infer``, which with one thread (2026.4, found by a crash) says nothing when an
    operation fails and leaves the failed request at the head of a queue: the next network that is
    given the same queue runs that one first, and when it is gone, this ends the process.

    Args:
        request: its outputs may lie in the caller's memory.
        pixels: a numpy array, for the only input.

    Raises:
        RuntimeError: an operation failed.
    """
    try:
        request.start_async([pixels], share_inputs=True)
    finally:  # also after a Ctrl-C: nothing may be freed that it works on
        request.wait()
