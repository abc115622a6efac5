"""The one place that imports OpenCV, so that a missing system library is explained, not traced."""

from __future__ import annotations

import functools
import os
from types import ModuleType


def explain_import_error(error: ImportError) -> str:
    """The message for a failed ``import cv2``: what is missing and the command that installs it."""
    return (
        f"OpenCV cannot be imported: {error}. Do 'pip install opencv-python-headless', or "
        "opencv-python with the system libraries that it needs (Debian, Ubuntu: apt-get install "
        "libgl1 libglib2.0-0; Fedora: dnf install mesa-libGL glib2)"
    )


@functools.cache
def import_cv2() -> ModuleType:
    """The ``cv2`` module.

    OpenCV prints its own warnings about broken images; errors are raised here with the file's
    name, so its log is set to silent unless the user has set ``OPENCV_LOG_LEVEL``.
    """
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
