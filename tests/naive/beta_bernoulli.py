"""Slow twin of models/rates.py and models/beta_bernoulli.py: fractions of counts, from docs/maths/beta_bernoulli.md."""

from __future__ import annotations

from fractions import Fraction


def rate_of_relatives(path: list[int], paths: list[list[int]], outcomes: list[tuple[int, float]], base_rate: float, strength: float) -> Fraction:
    """What everybody on the path's entities but the candidates below the next one says, from the top down."""
    rate = Fraction(base_rate)
    for entity, following in zip(path, path[1:], strict=False):
        others = [Fraction(reward) for c, reward in outcomes if entity in paths[c] and following not in paths[c]]
        rate = (sum(others) + Fraction(strength) * rate) / (len(others) + Fraction(strength))
    return rate


def propensity(paths: list[list[int]], outcomes: list[tuple[int, float]], candidate: int, base_rate: float, strength: float,
               relatives_strength: float) -> tuple[float, float]:
    """Mean and standard deviation of the candidate's belief after (candidate, reward) outcomes."""
    above = rate_of_relatives(paths[candidate], paths, outcomes, base_rate, relatives_strength)
    own = [Fraction(reward) for c, reward in outcomes if paths[candidate][-1] in paths[c]]
    total = len(own) + Fraction(strength)
    p = (sum(own) + Fraction(strength) * above) / total
    a, b = p * total, (1 - p) * total
    return float(p), float(a * b / ((a + b) ** 2 * (a + b + 1))) ** 0.5
