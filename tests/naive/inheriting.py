"""Slow twin of models/inheriting.py: the evidence of one spread and one common variance, sibling by sibling and feature by feature."""

from __future__ import annotations

import math

import numpy as np


def log_evidence(precision: np.ndarray, shift: np.ndarray, spread: float, common: float) -> float:
    """Likelihoods exp(shift c - precision c^2 / 2), float64[n, n_features] each, of coefficients c = a mean ~ N(0, common) + N(0, spread)."""
    found = 0.0
    for f in range(precision.shape[1]):
        along = total = 0.0
        for p, b in zip(precision[:, f].tolist(), shift[:, f].tolist(), strict=True):
            alone = 1.0 + p * spread
            found += 0.5 * spread * b * b / alone - 0.5 * math.log(alone)
            along, total = along + p / alone, total + b / alone
        found += 0.5 * common * total * total / (1.0 + common * along) - 0.5 * math.log(1.0 + common * along)
    return found
