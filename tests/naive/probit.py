"""Slow twin of models/probit.py and models/posterior.py: dicts of Python floats and integers, from Graepel et al. 2010 in natural parameters."""

from __future__ import annotations

import math
from statistics import NormalDist

STEP = 2.0**-24
_NORMAL = NormalDist()


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
        """Mean and variance of the linear predictor."""
        mean = variance = 0.0
        for entity in self.paths[candidate]:
            for feature, x in features:
                m, v = self.belief(feature, entity)
                mean += x * m
                variance += x * x * v
        return mean, variance

    def propensity(self, features: list[tuple[int, float]], candidate: int) -> tuple[float, float]:
        mean, variance = self.eta(features, candidate)
        c = math.sqrt(1.0 + variance)
        return _NORMAL.cdf(mean / c), _NORMAL.pdf(mean / c) * math.sqrt(variance) / c

    def update(self, features: list[tuple[int, float]], candidate: int, reward: float) -> dict[tuple[int, int], tuple[int, int]]:
        """Learn; what was added per coefficient, in units of 2**-24."""
        mean, variance = self.eta(features, candidate)
        c2 = 1.0 + variance
        t = mean / math.sqrt(c2)
        up, down = _NORMAL.pdf(t) / _NORMAL.cdf(t), _NORMAL.pdf(t) / _NORMAL.cdf(-t)
        v = reward * up - (1.0 - reward) * down
        w = reward * up * (up + t) + (1.0 - reward) * down * (down - t)
        receipt = {}
        for entity in self.paths[candidate]:
            for feature, x in features:
                m, s2 = self.belief(feature, entity)
                new_mean = m + s2 * x * v / math.sqrt(c2)
                new_s2 = s2 * (1.0 - s2 * x * x * w / c2)
                receipt[feature, entity] = (round((1 / new_s2 - 1 / s2) / STEP), round((new_mean / new_s2 - m / s2) / STEP))
        for place, steps in receipt.items():
            self.add(place, steps, 1)
        return receipt

    def add(self, place: tuple[int, int], steps: tuple[int, int], sign: int) -> None:
        sums = self.sums.setdefault(place, [0, 0])
        sums[0] += sign * steps[0]
        sums[1] += sign * steps[1]
