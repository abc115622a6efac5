"""Benchmarks: one module per name of ``tools/benchmark.py NAME``.

A module has ``add_arguments(parser)`` and ``run(args) -> dict``, which returns
:func:`benchmarks.harness.report`; putting the file here is all it takes. It imports
numpy, OpenCV and torch inside ``run`` only, after ``harness.single_thread()``, because the
thread pools of the numeric libraries are sized when they are first imported.
"""
