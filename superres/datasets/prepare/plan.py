"""What a recipe decides: which pictures make which set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from superres.datasets.prepare.source import Entry
from superres.errors import UserError, some


@dataclass
class Options:
    """What a person asked for; see the command's help.

    Attributes:
        scales: of the low-quality sides.
        border: border rule of a bicubic that is made here, ``reflect`` or ``replicate``.
        name: of the set, for recipes whose source does not name it.
    """

    root: Path
    out: Path
    scales: tuple[int, ...] = (2, 3, 4)
    num_workers: int | None = None
    verify: bool = True
    format: str = "lmdb"
    name: str | None = None
    border: str = "reflect"
    dtype: str = "uint8"
    allow_partial: bool = False
    overwrite: bool = False


@dataclass
class SetPlan:
    """One set to be made.

    Attributes:
        name: the folder below the target.
        gt: picture name -> ground truth.
        lq: (degradation, scale) -> picture name -> low-quality picture, where the source has it.
            The names are those of the ground truths.
        gt_at: scale -> ground truths of their own for that scale, where the source has some that
            differ by more than a crop.
        expected: the names that the complete set has, or how many; None where nobody knows.
        must_be_complete: whether an incomplete set fails the command, or is only told.
        own_lq: a low-quality side of the source stands alone; no bicubic one is made beside it.
        notes: for the report.
    """

    name: str
    gt: dict[str, Entry]
    lq: dict[tuple[str, int], dict[str, Entry]] = field(default_factory=dict)
    gt_at: dict[int, dict[str, Entry]] = field(default_factory=dict)
    expected: Iterable[str] | int | None = None
    must_be_complete: bool = True
    own_lq: bool = False
    notes: list[str] = field(default_factory=list)

    def incomplete(self) -> str:
        """What the count says against the set; empty where it is complete."""
        if self.expected is None:
            return ""
        if isinstance(self.expected, int):
            if len(self.gt) == self.expected:
                return ""
            return f"{self.name}: {len(self.gt)} pictures, the complete set has {self.expected}"
        expected = list(self.expected)
        missing = [name for name in expected if name not in self.gt]
        if not missing:
            return ""
        return f"{self.name}: {len(self.gt)} of {len(expected)} pictures, missing: {some(missing)}"


def add(pictures: dict[str, Entry], name: str, entry: Entry) -> None:
    """Add a picture; of two places that hold the same one the first is taken.

    Raises:
        UserError: two files of one folder have the same name without their suffix.
    """
    first = pictures.setdefault(name, entry)
    if first is entry:
        return
    beside = first.file.parent == entry.file.parent and first.folders == entry.folders
    if beside and PurePosixPath(first.path).stem == entry.stem:
        raise UserError(
            f"{first.file} and {entry.file} have the same name without their suffix. Rename or "
            "remove one of them."
        )
