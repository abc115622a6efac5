"""One iteration: a batch in, updated weights and losses out."""

from __future__ import annotations


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """The seed of torch's generators for one step of one rank (SplitMix64's mixing)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + iteration * 0xBF58476D1CE4E5B9 + rank) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return (z ^ z >> 31) >> 1
