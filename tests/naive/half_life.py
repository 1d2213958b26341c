"""Slow twin of models/half_life.py: outcomes are kept with their times, and weigh by how long they lie behind; docs/maths/forgetting.md."""

from __future__ import annotations

from fractions import Fraction

from tests.naive.probit import STEP, NaiveProbit

TICKS = 16


def moment(times: list[int], half_life: int) -> Fraction:
    """As of when beliefs are read: the latest time, rounded down to a sixteenth of the half-life."""
    tick = Fraction(half_life, TICKS)
    return max(times) // tick * tick


def weights(times: list[int], half_life: int) -> list[float]:
    now = moment(times, half_life)
    return [2.0 ** float((t - now) / half_life) for t in times]


class ForgettingProbit(NaiveProbit):
    """A probit that remembers what each outcome taught and when."""

    def __init__(self, prior, paths: list[list[int]], half_life: int) -> None:
        super().__init__(prior, paths)
        self.half_life, self.times = half_life, [0]
        self.taught: list[tuple[int, dict[tuple[int, int], tuple[int, int]]]] = []

    def belief(self, feature: int, entity: int) -> tuple[float, float]:
        """Mean and variance of one coefficient as of the moment."""
        precision, shift = self.prior(feature, entity)
        now = moment(self.times, self.half_life)
        for at, receipt in self.taught:
            steps = receipt.get((feature, entity), (0, 0))
            weight = 2.0 ** float((at - now) / self.half_life)
            precision, shift = precision + weight * steps[0] * STEP, shift + weight * steps[1] * STEP
        return shift / precision, 1.0 / precision

    def learn(self, features: list[tuple[int, float]], candidate: int, reward: float, at: int) -> None:
        self.times.append(at)
        self.taught.append((at, self.update(features, candidate, reward)))
