"""superres: single-image super-resolution with configs, exact data and trustworthy tables.

Importing this package loads neither torch nor OpenCV; what needs them is imported on use.
"""

__version__ = "0.1.0"
