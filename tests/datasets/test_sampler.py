"""The order of the data: a function of (seed, iteration), whoever asks and from where."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from superres.datasets.sampler import IterationSampler, sample_generator
from superres.errors import UserError


def test_a_samples_numbers_are_those_of_philox_with_its_key():
    for seed, draw in ((0, 0), (3, 12345), (2**63 - 1, 2**63 | 7)):
        key = np.array([seed, draw], dtype=np.uint64)
        expected = np.random.Generator(np.random.Philox(key=key))
        found = sample_generator(seed, draw)
        assert (found.integers(0, 2**40, 100) == expected.integers(0, 2**40, 100)).all()
        assert found.random() == expected.random()
        assert found.standard_normal() == expected.standard_normal()


@pytest.mark.parametrize(("size", "batch"), [(10, 4), (3, 16), (7, 7), (100, 16)])
def test_every_epoch_is_a_permutation(size: int, batch: int):
    sampler = IterationSampler(size, batch, seed=5)
    keys = list(itertools.chain.from_iterable(sampler.keys(i) for i in range(4 * size)))
    assert [k.draw for k in keys] == list(range(len(keys)))
    epochs = [[k.index for k in keys[e : e + size]] for e in range(0, len(keys) - size + 1, size)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    if size > 5:
        assert len(set(map(tuple, epochs))) == len(epochs)
    assert all(type(k.index) is int and type(k.draw) is int for k in keys)


@pytest.mark.parametrize("start", [0, 1, 6, 7, 1000])
def test_resume_from_any_iteration(start: int):
    whole = IterationSampler(11, 4, seed=9, stop=start + 20)
    resumed = IterationSampler(11, 4, seed=9, start=start, stop=start + 20)
    assert list(resumed) == list(whole)[start:]
    assert len(resumed) == 20
    backwards = [resumed.keys(i) for i in reversed(range(start, start + 20))]
    assert backwards == list(resumed)[::-1]
    assert list(IterationSampler(11, 4, seed=8, start=start, stop=start + 20)) != list(resumed)


@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_the_ranks_together_draw_what_one_process_draws(ranks: int):
    one = IterationSampler(13, 12, seed=2)
    parts = [IterationSampler(13, 12, 2, r, ranks) for r in range(ranks)]
    for i in range(30):
        assert [k for part in parts for k in part.keys(i)] == one.keys(i)


def test_the_scale_of_a_batch_is_the_same_on_all_ranks():
    samplers = [IterationSampler(9, 4, 7, r, 4, scales=[2, 3, 4]) for r in range(4)]
    drawn = []
    for i in range(300):
        scales = {key.scale for sampler in samplers for key in sampler.keys(i)}
        assert len(scales) == 1
        drawn += scales
    counts = [drawn.count(s) for s in (2, 3, 4)]
    assert sum((c - 100) ** 2 / 100 for c in counts) < 13.8  # chi-square, 2 degrees, p = 0.001
    assert IterationSampler(9, 4, 7, start=250, scales=[2, 3, 4]).scale_of(250) == drawn[250]
    # Which scale was drawn does not change which images were.
    plain = IterationSampler(9, 4, 7)
    assert [k.index for k in samplers[0].keys(3)] == [k.index for k in plain.keys(3)][:1]
    assert plain.keys(0)[0].scale is None


def test_mistakes():
    with pytest.raises(UserError, match="empty"):
        IterationSampler(0, 4, 0)
    with pytest.raises(UserError, match="global_batch_size 16 cannot be shared equally by 3"):
        IterationSampler(5, 16, 0, 0, 3)
    with pytest.raises(TypeError):
        len(IterationSampler(5, 16, 0))
