"""Check that data sets are what they should be: ``superres data verify``."""

from superres.datasets.verify.inspect import Verdict, judge
from superres.datasets.verify.verify_set import verify

__all__ = ["Verdict", "judge", "verify"]
