"""Slow twin of models/widths.py: the factor by which coefficients scatter wider, coefficient by coefficient."""

from __future__ import annotations

import math


def factor_of(precision: list[float], shift: list[float], variance: float) -> float:
    """exp of the mean of log c, at least 1; c on a grid of half octaves from 1/64 to 8, half of the prior probability on 1."""
    if not any(precision[1:]):
        return 1.0
    factors = [2.0 ** (k / 2) for k in range(-12, 7)]
    length = max(sum(precision) / precision[0], 1.0)
    evidence = []
    for c in factors:
        total = 0.0
        for known, toward in zip(precision[1:], shift[1:], strict=True):
            if known > 0.0:
                scatter = c * variance + 1.0 / known
                total -= 0.5 * (math.log(scatter) + (toward / known) ** 2 / scatter)
        evidence.append(total / length)
    weights = [((0.5 if c == 1.0 else 0.0) + 0.5 / len(factors)) * math.exp(e - max(evidence)) for c, e in zip(factors, evidence, strict=True)]
    return max(1.0, math.exp(sum(w * math.log(c) for w, c in zip(weights, factors, strict=True)) / sum(weights)))
