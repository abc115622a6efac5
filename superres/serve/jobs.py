"""One picture from its upload to its result, and what the page is told of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superres.serve.offers import Offer


@dataclass
class Job:
    """One picture on its way.

    Attributes:
        id: that nobody can guess; whoever has it may see the picture.
        name: the upload's, made harmless.
        state: ``queued``, ``working``, ``done``, ``failed`` or ``cancelled``.
        phase: of the work, in words.
        done, total: tiles.
        result, before, after: files: what is downloaded, and what the slider shows.
    """

    id: str
    name: str
    folder: Path
    offer: Offer
    scale: int
    format: str | None = None
    self_ensemble: bool = False
    state: str = "queued"
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    message: str = ""
    notes: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    reduced: int = 1
    result: Path | None = None
    result_name: str = ""
    begun: float = 0.0
    tiles_begun: float = 0.0
    ended: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def source(self) -> Path:
        """The upload."""
        return self.folder / "source"

    @property
    def before(self) -> Path:
        """The upload as the page shows it."""
        return self.folder / "before.png"

    @property
    def after(self) -> Path:
        """The result as the page shows it."""
        return self.folder / "after.png"

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    def as_dict(self, ahead: int = 0) -> dict[str, Any]:
        """What the page is told; no path."""
        now = self.ended or time.monotonic()
        left = None
        if self.done and self.state == "working":
            left = (now - self.tiles_begun) / self.done * (self.total - self.done)
        return {
            "id": self.id,
            "name": self.name,
            "model": self.offer.name,
            "scale": self.scale,
            "state": self.state,
            "phase": self.phase,
            "ahead": ahead,
            "done": self.done,
            "total": self.total,
            "seconds": round(now - self.begun, 1) if self.begun else 0,
            "left": None if left is None else round(left, 1),
            "message": self.message,
            "notes": self.notes,
            "size": self.size,
            "result_size": self.result_size,
            "reduced": self.reduced,
            "result_name": self.result_name,
            "bytes": self.result.stat().st_size if self.result and self.result.exists() else 0,
        }
