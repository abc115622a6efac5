"""The one place that imports OpenCV, so that a missing system library is explained, not traced."""

from __future__ import annotations

import functools
import os
import re
from types import ModuleType

from superres.errors import UserError

# Shared library -> (Debian and Ubuntu package, Fedora package). opencv-python's wheels link
# against these but do not carry them; a bare container lacks them.
_SYSTEM_PACKAGES = {
    "libGL.so": ("libgl1", "mesa-libGL"),
    "libgthread-2.0.so": ("libglib2.0-0", "glib2"),
    "libglib-2.0.so": ("libglib2.0-0", "glib2"),
    "libSM.so": ("libsm6", "libSM"),
    "libICE.so": ("libice6", "libICE"),
    "libX11.so": ("libx11-6", "libX11"),
    "libxcb.so": ("libxcb1", "libxcb"),
    "libXext.so": ("libxext6", "libXext"),
    "libXrender.so": ("libxrender1", "libXrender"),
}


def explain_import_error(error: ImportError) -> str:
    """The message for a failed ``import cv2``: what is missing and the command that installs it."""
    found = re.search(r"([\w.+-]+\.so[.\d]*)", str(error))
    if found is None:
        return (
            f"OpenCV cannot be imported: {error}. Install it into this environment with "
            "'pip install opencv-python'."
        )
    library = found.group(1)
    for prefix, (debian, fedora) in _SYSTEM_PACKAGES.items():
        if library.startswith(prefix):
            # The two that a bare system lacks are named together: installing one only shows
            # that the other is missing too.
            names = [debian] if debian in ("libgl1", "libglib2.0-0") else ["libgl1", debian]
            both = sorted({*names, "libgl1", "libglib2.0-0"})
            return (
                f"OpenCV cannot be imported because the system library {library} is missing. "
                f"On Debian or Ubuntu: apt-get install {' '.join(both)}. "
                f"On Fedora: dnf install {fedora}."
            )
    return (
        f"OpenCV cannot be imported because the system library {library} cannot be loaded "
        f"({error}). Install the system package that provides it."
    )


@functools.cache
def import_cv2() -> ModuleType:
    """The ``cv2`` module.

    OpenCV prints its own warnings about broken pictures; errors are raised here with the file's
    name, so its log is set to silent unless the user has set ``OPENCV_LOG_LEVEL``.

    Raises:
        UserError: OpenCV is absent, or a system library that it needs is; names the package.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(explain_import_error(error)) from error
    if "OPENCV_LOG_LEVEL" not in os.environ and hasattr(cv2, "utils"):
        logging = getattr(cv2.utils, "logging", None)
        if logging is not None:
            logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    return cv2
