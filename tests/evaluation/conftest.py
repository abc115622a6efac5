"""Pairs of images whose three channels differ."""

from __future__ import annotations

import cv2
import numpy as np
import pytest


@pytest.fixture
def make_pair():
    def make(height: int = 67, width: int = 83, noise: float = 6, seed: int = 0):
        """(sr, hr) uint8 RGB: smooth structure, with noise that differs by channel."""
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (-(-height // 6), -(-width // 6), 3), dtype=np.uint8)
        hr = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        error = rng.normal(0, 1, hr.shape) * np.array([0.5, 1, 2]) * noise
        sr = np.clip(hr * np.array([1, 0.97, 1.02]) + error, 0, 255).round().astype(np.uint8)
        return sr, hr

    return make
