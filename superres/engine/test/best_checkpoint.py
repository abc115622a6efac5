"""Which checkpoint is the best one, and by what that was decided."""

from __future__ import annotations

import dataclasses
from typing import Any

from superres.errors import UserError, did_you_mean

from .evaluate import EvalResults
from .sets import EvalSet


@dataclasses.dataclass
class Selection:
    """The best score so far of one set's metric.

    Attributes:
        set, metric, protocol: which score decides; None where there is nothing to decide by.
        role: 'validation' or 'test'. Choosing by a test set makes its score an optimistic one,
            so it is told and written down.
        score, iter: the best one, and after how many iterations.
    """

    set: str | None = None
    metric: str = "psnr"
    protocol: str | None = None
    role: str = "none"
    score: float | None = None
    iter: int | None = None

    @classmethod
    def from_wish(cls, wanted: str | None, sets: list[EvalSet], warn: Any) -> Selection:
        """Read ``save_best``: 'SET/psnr', 'SET/ssim', 'psnr' or 'ssim' of the first set, 'auto'
        (the first set's PSNR) or None.

        A set has one score per protocol: the first protocol's, or 'SET/psnr@PROTOCOL'.

        Raises:
            UserError: it names a set or protocol that is not validated by, or another metric.
        """
        if not wanted or not sets:
            return cls()
        if wanted in ("auto", "psnr", "ssim"):
            wanted = f"{sets[0].key}/{'psnr' if wanted == 'auto' else wanted}"
        known = {
            f"{s.key}/{metric}{f'@{by}' if by else ''}": cls(s.key, metric, by or names[0], s.role)
            for s, names in ((s, [protocol.name for protocol in s.protocols]) for s in sets)
            for by in ("", *names)
            for metric in ("psnr", "ssim")
        }
        if wanted not in known:
            near = did_you_mean(wanted, known)
            raise UserError(f"config: save_best = {wanted!r} is none of {', '.join(known)}{near}")
        found = known[wanted]
        if found.role == "test":
            warn(
                f"the best checkpoint is chosen by {found.set}, a test set: its score will be an "
                "optimistic one, and results.json says so. Name a validation set in val_sets"
            )
        return found

    def better(self, results: EvalResults, iteration: int) -> str | None:
        """Note a new best score; gives a line about it, or None if it is not better."""
        scores = [
            entry[self.metric]
            for entry in results.entries
            if self.set in (entry["set"], f"{entry['set']}_x{entry['scale']}")
            and self.protocol == entry["protocol"]
        ]
        if not scores or scores[0] is None or not (self.score is None or scores[0] > self.score):
            return None
        self.score, self.iter = scores[0], iteration
        where = f"{self.set} {self.metric} {self.score:.4f} by {self.protocol}"
        return f"{where} at iteration {iteration} (best.pth)"

    def record(self) -> dict[str, Any]:
        """For checkpoints and results.json."""
        return dataclasses.asdict(self)

    def restore(self, record: dict[str, Any] | None) -> None:
        """Continue from a checkpoint's record, if it was about the same score."""
        same = (self.set, self.metric, self.protocol)
        if record and tuple(record.get(key) for key in ("set", "metric", "protocol")) == same:
            self.score, self.iter = record["score"], record["iter"]
