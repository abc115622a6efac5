"""NIQE, of SR alone, through pyiqa."""

from superres.registry import METRICS

from ._library import Compute, LibraryMetric


@METRICS.register_module("niqe")
class NIQE(LibraryMetric):
    """Naturalness of SR."""

    title = "NIQE"
    better = "lower"
    text = "Mittal et al. 2013, of SR alone, without HR"
    needs = ("pyiqa", "pip install pyiqa")

    def load(self) -> Compute:
        import pyiqa

        metric = pyiqa.create_metric("niqe", device=self.device)
        return lambda sr, hr: metric(sr.float())
