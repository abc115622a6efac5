"""Which samples form which iteration: a pure function of (seed, iteration)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from superres.errors import UserError


class SampleKey(NamedTuple):
    """One sample: which image, which number of all draws, and the scale of its batch."""

    index: int
    draw: int
    scale: int | None = None


def sample_generator(seed: int, draw: int) -> np.random.Generator:
    """The random numbers of one sample: a function of (seed, draw) and of nothing else.

    Philox is counter-based, so neighbouring keys give independent streams. The stream is that of
    ``Philox(key=[seed, draw])``.
    """
    return np.random.Generator(np.random.Philox(_Key(seed, draw), _START))


class _Key(ISeedSequence):
    """Hands Philox its key. ``Philox(key=...)`` asks the system for entropy first, needlessly."""

    # Making the generator would otherwise take a third of the time that a sample takes.

    __slots__ = ("words",)

    def __init__(self, seed: int, draw: int) -> None:
        self.words = np.array((seed, draw), np.uint64)

    def generate_state(self, n_words: int, dtype: type = np.uint32) -> np.ndarray:
        return self.words


_ROUND = 4096  # draws; each weighted set has its share
_START = np.zeros(4, np.uint64)  # the counter; as an array numpy need not take a number apart


class IterationSampler:
    """Yields, for each iteration from ``start`` on, this rank's list of :class:`SampleKey`.

    Iteration *i* (from 0) takes the draws ``i * batch .. (i + 1) * batch - 1``. Draw *d* is entry
    ``d mod n`` of the permutation of epoch ``d div n``, which is made from (seed, epoch). Rank *r*
    takes the *r*-th equal share of the batch. So the same (seed, i) gives the same samples after a
    resume, for any number of workers and for any number of ranks.

    With ``shares``, a set's share of the samples is its weight: each round of some thousand draws
    holds as many of every set, in an order made from (seed, round), and the *j*-th of a set's own
    draws is entry ``j mod n`` of the set's own permutations, as above.

    Args:
        size: images in the dataset.
        global_batch_size: samples of one iteration over all ranks.
        seed: of the run.
        rank, world_size: this process among those that share the batch.
        start, stop: first iteration and the one before which to end (None: never).
        scales: for multi-scale training: one of them is drawn per iteration from (seed, i).
        skip: images that are never drawn (too small for the patch).
        shares: (images, weight) of each of the sets that the dataset consists of, in order.

    Raises:
        UserError: an empty dataset, or a batch that the ranks cannot share equally.
    """

    def __init__(
        self,
        size: int,
        global_batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
        stop: int | None = None,
        scales: list[int] | None = None,
        skip: Collection[int] = (),
        shares: Sequence[tuple[int, float]] | None = None,
    ) -> None:
        usable = np.setdiff1d(np.arange(size), np.fromiter(skip, np.int64))
        ends = np.cumsum([count for count, _ in shares] if shares else [size])
        # Of each set the images that are drawn.
        self.sets = np.split(usable, np.searchsorted(usable, ends[:-1]))
        if not all(len(images) for images in self.sets):
            text = "a training set is empty, or all its images are smaller than the patch"
            raise UserError(f"{text}; lower lq_patch_size (or gt_patch_size)")
        weights = np.array([weight for _, weight in shares or ()])
        self.counts = np.maximum(1, np.rint(_ROUND * weights / weights.sum())).astype(int).tolist()
        size = sum(self.counts) or len(usable)
        if global_batch_size % world_size:
            what = f"global_batch_size {global_batch_size} cannot be shared equally"
            raise UserError(f"{what} by {world_size} processes")
        self.size, self.seed, self.scales = size, seed, scales
        self.start, self.stop = start, stop
        self.global_batch_size = global_batch_size
        self.share = global_batch_size // world_size
        self.offset = rank * self.share
        self._epoch: tuple[int, np.ndarray] | None = None

    @classmethod
    def of(cls, dataset: Any, *args: Any, **options: Any) -> IterationSampler:
        """Of a dataset, which may have ``scales`` and ``shares``."""
        own = {key: getattr(dataset, key, None) for key in ("scales", "shares")}
        return cls(len(dataset), *args, **own, **options)

    def _permutation(self, epoch: int) -> np.ndarray:
        """The images of an epoch, or of a round where sets have shares, in their order."""
        if self._epoch is None or self._epoch[0] != epoch:
            # The epoch's stream lies apart from those of the draws: bit 63 is never set in a draw.
            generator = sample_generator(self.seed, (1 << 63) | epoch)
            if self.counts:
                which = np.repeat(np.arange(len(self.counts)), self.counts)
                order = self._of_sets(epoch, generator.permutation(which))
            else:
                order = self.sets[0][generator.permutation(self.size)]
            self._epoch = (epoch, order)
        return self._epoch[1]

    def _of_sets(self, turn: int, which: np.ndarray) -> np.ndarray:
        """The images of a round, of whose draws it is said from which set they come."""
        order = np.empty(len(which), np.int64)
        for number, (images, count) in enumerate(zip(self.sets, self.counts)):
            epochs, places = np.divmod(turn * count + np.arange(count), len(images))
            drawn = np.empty(count, np.int64)
            for epoch in np.unique(epochs).tolist():
                stream = (1 << 63) | (1 << 61) | (number << 44) | epoch
                permuted = sample_generator(self.seed, stream).permutation(images)
                drawn[epochs == epoch] = permuted[places[epochs == epoch]]
            order[which == number] = drawn
        return order

    def scale_of(self, iteration: int) -> int | None:
        """The scale of one iteration's batch, the same on all ranks."""
        if not self.scales:
            return None
        generator = sample_generator(self.seed, (1 << 63) | (1 << 62) | iteration)
        return int(self.scales[generator.integers(len(self.scales))])

    def keys(self, iteration: int) -> list[SampleKey]:
        """This rank's samples of one iteration."""
        scale = self.scale_of(iteration)
        draw = iteration * self.global_batch_size + self.offset
        end = draw + self.share
        keys: list[SampleKey] = []
        while draw < end:
            epoch, position = divmod(draw, self.size)
            # As much as this epoch has left; a small set has several epochs in one batch.
            entries = self._permutation(epoch)[position : position + end - draw].tolist()
            keys += [SampleKey(index, draw + i, scale) for i, index in enumerate(entries)]
            draw += len(entries)
        return keys

    def iterations(self) -> Iterator[int]:
        """Their numbers, from ``start`` on."""
        endless = itertools.count(self.start)
        return endless if self.stop is None else iter(range(self.start, self.stop))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return map(self.keys, self.iterations())

    def __len__(self) -> int:
        return max(0, self.stop - self.start)  # an endless one has no length: TypeError
