"""What the server of :mod:`.process` imports once, by one thread, as a process may be forked."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; and equal bits in equal runs

import superres

for _name in superres.__all__:
    getattr(superres, _name)
