"""Check that data sets are what they should be: ``superres data verify``."""

from superres.datasets.verify.judge import Verdict, judge
from superres.datasets.verify.run import verify
from superres.datasets.verify.sets import FoundSet, find_sets

__all__ = ["FoundSet", "Verdict", "find_sets", "judge", "verify"]
