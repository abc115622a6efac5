"""Which checkpoint is the best one, and by what that was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superres.errors import UserError, did_you_mean

from .evaluate import EvalResults
from .sets import EvalSet


@dataclass
class Selection:
    """The best score so far of one set's metric.

    Attributes:
        set_name, metric: which score decides; None where there is nothing to decide by.
        role: 'validation' or 'test'. Choosing by a test set makes its score an optimistic one,
            so it is told and written down.
        wanted_protocol: by which the score is taken; '': by the set's first.
        score, iter, protocol: the best one, after how many iterations, and by what it was taken.
    """

    set_name: str | None = None
    metric: str = "psnr"
    role: str = "none"
    wanted_protocol: str = ""
    score: float | None = None
    iter: int | None = None
    protocol: str | None = None

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
            f"{s.key}/{metric}{by}": (s.key, metric, s.role, by[1:])
            for s in sets
            for by in ("", *(f"@{protocol.name}" for protocol in s.protocols))
            for metric in ("psnr", "ssim")
        }
        if wanted not in known:
            near = did_you_mean(wanted, known)
            raise UserError(f"config: save_best = {wanted!r} is none of {', '.join(known)}{near}")
        found = cls(*known[wanted])
        if found.role == "test":
            warn(
                f"the best checkpoint is chosen by {found.set_name}, a test set: its score will be "
                "an optimistic one, and results.json says so. Name a validation set in val_sets"
            )
        return found

    def better(self, results: EvalResults, iteration: int) -> str | None:
        """Note a new best score; gives a line about it, or None if it is not better."""
        if self.set_name is None:
            return None
        entry = next(
            entry
            for entry in results.entries
            if self.set_name in (entry["set"], f"{entry['set']}_x{entry['scale']}")
            and self.wanted_protocol in ("", entry["protocol"])
        )
        score = entry[self.metric]
        if score is None or (self.score is not None and not score > self.score):
            return None
        self.score, self.iter, self.protocol = score, iteration, entry["protocol"]
        by = f" by {self.protocol}" if self.wanted_protocol else ""
        return f"{self.set_name} {self.metric} {score:.4f}{by} at iteration {iteration} (best.pth)"

    def record(self) -> dict[str, Any]:
        """For checkpoints and results.json."""
        keys = ("metric", "role", "protocol", "score", "iter")
        return {"set": self.set_name, **{key: getattr(self, key) for key in keys}}

    def restore(self, record: dict[str, Any] | None) -> None:
        """Continue from a checkpoint's record, if it was about the same score."""
        if not record or (record["set"], record["metric"]) != (self.set_name, self.metric):
            return
        if self.wanted_protocol in ("", record.get("protocol")):
            self.score, self.iter = record["score"], record["iter"]
            self.protocol = record.get("protocol")
