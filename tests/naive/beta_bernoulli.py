"""Slow twin of models/beta_bernoulli.py: fractions of counts, from docs/maths/beta_bernoulli.md."""

from __future__ import annotations

from fractions import Fraction


def propensity(paths: list[list[int]], outcomes: list[tuple[int, float]], candidate: int, base_rate: float, strength: float) -> tuple[float, float]:
    """Mean and standard deviation of the candidate's belief after (candidate, reward) outcomes."""
    p, total = Fraction(base_rate), Fraction(strength)
    for entity in paths[candidate]:
        below = [Fraction(reward) for c, reward in outcomes if entity in paths[c]]
        total = len(below) + Fraction(strength)
        p = (sum(below) + Fraction(strength) * p) / total
    a, b = p * total, (1 - p) * total
    return float(p), float(a * b / ((a + b) ** 2 * (a + b + 1))) ** 0.5
