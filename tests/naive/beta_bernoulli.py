"""Slow twin of models/rates.py and models/beta_bernoulli.py: fractions of counts, from docs/maths/beta_bernoulli.md."""

from __future__ import annotations

from fractions import Fraction


def rate_of_relatives(path: list[int], paths: list[list[int]], outcomes: list[tuple[int, float]], base_rate: float, strength: float,
                      weights: list[float] | None = None) -> Fraction:
    """What everybody on the path's entities but the candidates below the next one says, from the top down."""
    rate = Fraction(base_rate)
    for entity, following in zip(path, path[1:], strict=False):
        n, rewards = _counted(outcomes, weights, lambda c, on=entity, but=following: on in paths[c] and but not in paths[c])
        rate = (rewards + Fraction(strength) * rate) / (n + Fraction(strength))
    return rate


def propensity(paths: list[list[int]], outcomes: list[tuple[int, float]], candidate: int, base_rate: float, strength: float,
               relatives_strength: float, weights: list[float] | None = None) -> tuple[float, float]:
    """Mean and standard deviation of the candidate's belief after (candidate, reward) outcomes, which count as `weights` say."""
    above = rate_of_relatives(paths[candidate], paths, outcomes, base_rate, relatives_strength, weights)
    n, rewards = _counted(outcomes, weights, lambda c: paths[candidate][-1] in paths[c])
    total = n + Fraction(strength)
    p = (rewards + Fraction(strength) * above) / total
    a, b = p * total, (1 - p) * total
    return float(p), float(a * b / ((a + b) ** 2 * (a + b + 1))) ** 0.5


def _counted(outcomes: list[tuple[int, float]], weights: list[float] | None, counts) -> tuple[Fraction, Fraction]:
    """Outcomes and rewards of the candidates that count."""
    each = zip(outcomes, weights or [1.0] * len(outcomes), strict=True)
    pairs = [(Fraction(weight), Fraction(reward)) for (c, reward), weight in each if counts(c)]
    return sum((w for w, _ in pairs), Fraction()), sum((w * r for w, r in pairs), Fraction())
