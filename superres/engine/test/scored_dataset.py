"""Pairs of pictures as a test wants them: one that is missing takes no other along."""

from __future__ import annotations

from typing import Any

import numpy as np

from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import partner_numbers
from superres.errors import UserError
from superres.evaluation.protocols import pillow_bicubic
from superres.registry import DATASETS


@DATASETS.register_module()
class ScoredDataset(PairedDataset):
    """A :class:`PairedDataset` in which each picture that cannot be scored has its own reason.

    Training needs whole sets, so there the first fault is an error. A table is better off with
    the other pictures' scores and a mark than with nothing.

    Args:
        round_up: take pictures whose low-quality side was rounded up, so that ``scale`` times it
            is larger than the ground truth by less than ``scale`` pixels. Only protocols that
            resize the ground truth can score them; :meth:`load` gives it resized.
        **options: of :class:`PairedDataset`.

    Attributes:
        faults: reasons, by picture number.
        extra: names of low-quality pictures that belong to no ground truth.

    Raises:
        UserError: as there; of pictures without a partner or of wrong sizes only where it is all.
    """

    def __init__(self, *, round_up: bool = False, **options: Any) -> None:
        self.round_up = round_up
        self.faults: dict[int, str] = {}
        self.extra: list[str] = []
        super().__init__(**options)

    def _match(self) -> list[int]:
        numbers = partner_numbers(self.gt, self.lq, self.scale)
        if max(numbers) < 0:
            return super()._match()  # says how pairs are named
        if not self.gt.is_part:
            unused = sorted({*range(len(self.lq))} - {*numbers})
            self.extra = [self.lq.name_at(i) for i in unused]
        return numbers

    def _unused(self) -> list[str]:
        return []  # they are in `extra`

    def _check_sizes(self) -> None:
        for i in range(len(self)):
            if self.lq is not None and self.partners[i] < 0:
                self.faults[i] = f"it has no low-quality picture in {self.lq.path}"
            elif not self.is_rounded_up(i):
                try:
                    self._check_size(i)
                except UserError as error:
                    self.faults[i] = str(error)
        if len(self.faults) == len(self):
            raise UserError(next(reversed(self.faults.values())))

    def is_rounded_up(self, i: int) -> bool:
        """Whether a picture is one of those that ``round_up`` is about."""
        if not self.round_up or self.lq is None or i in self.faults:
            return False
        sides = zip(self.gt.shape_at(i)[:2], self.lq.shape_at(self.partners[i])[:2])
        rest = [g - q * self.scale for g, q in sides]
        return min(rest) < 0 and all(abs(r) < self.scale for r in rest)

    def load(self, i: int) -> tuple[Any, np.ndarray]:
        """As there; the ground truth of a picture that was rounded up is resized, not cropped.

        Raises:
            UserError: the picture's fault, among others.
        """
        if i in self.faults:
            raise UserError(self.faults[i])
        if not self.is_rounded_up(i):
            return super().load(i)
        lq = self.lq.read_at(self.partners[i])
        gt = np.asarray(self.gt.read_at(i))
        return lq, pillow_bicubic(gt, lq.shape[0] * self.scale, lq.shape[1] * self.scale)
