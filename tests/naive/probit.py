"""Slow twin of models/probit.py, models/filtering.py and models/posterior.py: dicts of Python floats and integers, by docs/maths/probit.md."""

from __future__ import annotations

import math
from statistics import NormalDist

from scipy.integrate import quad

STEP = 2.0**-24
_NORMAL = NormalDist()


def moments(mean: float, variance: float) -> tuple[float, float]:
    """Mean and standard deviation of Phi(eta), eta ~ N(mean, variance): P(two normals of correlation r both below t) for the square's mean."""
    t, r = mean / math.sqrt(1.0 + variance), variance / (1.0 + variance)
    both = quad(lambda x: math.exp(-t * t / (1.0 + math.sin(x))) / (2.0 * math.pi), 0.0, math.asin(r), epsabs=0.0)[0]  # Plackett 1954
    return _NORMAL.cdf(t), math.sqrt(both)


class NaiveProbit:
    """`prior(feature, entity)` gives (precision, precision * mean); paths are lists of entities."""

    def __init__(self, prior, paths: list[list[int]]) -> None:
        self.prior, self.paths = prior, paths
        self.sums: dict[tuple[int, int], list[int]] = {}

    def belief(self, feature: int, entity: int) -> tuple[float, float]:
        """Mean and variance of one coefficient."""
        precision, shift = self.prior(feature, entity)
        sums = self.sums.get((feature, entity), [0, 0])
        precision, shift = precision + sums[0] * STEP, shift + sums[1] * STEP
        return shift / precision, 1.0 / precision

    def eta(self, features: list[tuple[int, float]], candidate: int) -> tuple[float, float]:
        """Mean and variance of the linear predictor, down the path."""
        mean = variance = 0.0
        q = sum(x * x for _, x in features)
        for entity in self.paths[candidate]:
            mean += sum(x * self.belief(feature, entity)[0] for feature, x in features)
            now = sum(x * x * self.belief(feature, entity)[1] for feature, x in features)
            at_prior = sum(x * x / self.prior(feature, entity)[0] for feature, x in features)
            learned = max(q / now - q / at_prior, 0.0)
            variance = 1.0 / (1.0 / (variance + at_prior) + learned)
        return mean, variance

    def propensity(self, features: list[tuple[int, float]], candidate: int) -> tuple[float, float]:
        return moments(*self.eta(features, candidate))

    def update(self, features: list[tuple[int, float]], candidate: int, reward: float) -> dict[tuple[int, int], tuple[int, int]]:
        """Learn; what was added per coefficient, in units of 2**-24."""
        mean, variance = self.eta(features, candidate)
        c = math.sqrt(1.0 + variance)
        t = mean / c
        up, down = _NORMAL.pdf(t) / _NORMAL.cdf(t), _NORMAL.pdf(t) / _NORMAL.cdf(-t)
        g = (reward * up - (1.0 - reward) * down) / c
        h = (reward * up * (up + t) + (1.0 - reward) * down * (down - t)) / c**2
        new_variance = variance * (1.0 - variance * h)
        information = 1.0 / new_variance - 1.0 / variance
        receipt = {}
        for entity in self.paths[candidate]:
            for feature, x in features:
                m, v = self.belief(feature, entity)
                new_m, new_precision = m + v * x * g, 1.0 / v + x * x * information
                receipt[feature, entity] = (round((new_precision - 1.0 / v) / STEP), round((new_m * new_precision - m / v) / STEP))
        for (feature, entity), steps in receipt.items():
            sums = self.sums.setdefault((feature, entity), [0, 0])
            sums[0] += steps[0]
            sums[1] += steps[1]
        return receipt
