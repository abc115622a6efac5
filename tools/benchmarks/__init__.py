"""Benchmarks: one module per name of ``tools/benchmark.py NAME``; putting it here is all it takes.

A module has ``add_arguments(parser)`` and ``run(args, folder) -> dict``, whose dict holds arguments
of :func:`benchmarks.harness.report` (``rows``, ``ratios``, ``setup``, ``device``). ``args.repeats``
is the number of rounds, ``folder`` an empty one that is removed afterwards. It imports numpy, cv2
and torch inside ``run`` only, after ``harness.single_thread()``, because the thread pools of the
numeric libraries are sized when they are first imported.
"""
