"""Slow twin of models/naive_bayes.py: dicts of counts, logarithms taken when asked, isotonic regression from its min-max formula."""

from __future__ import annotations

import math


class NaiveNaiveBayes:
    """One action. Rows are {predictor: {bin: share}}; `ordered[predictor]` lists the bins of a number, `unordered[predictor]` the others."""

    def __init__(self, ordered, unordered, strength, score_strength, pool_strength, thin, apart, bin_of):
        self.ordered, self.unordered, self.strength, self.bin_of = ordered, unordered, strength, bin_of
        self.score_strength, self.pool_strength, self.thin, self.apart = score_strength, pool_strength, thin, apart
        self.counts: dict[tuple[str, str], list[float]] = {}
        self.scores: dict[int, list[float]] = {}

    def pooled(self, predictor: str) -> dict[str, tuple[float, float]]:
        """Positives and negatives as they count for each bin."""
        found, group = {}, []
        own = {b: self.counts.get((predictor, b), [0.0, 0.0]) for b in [*self.ordered[predictor], *self.unordered[predictor]]}

        def total(bins):
            return sum(own[b][0] for b in bins), sum(own[b][1] for b in bins)

        for b in [*self.ordered[predictor], None]:
            if group and (b is None or self._are_apart(total(group), tuple(own[b]))):
                found |= dict.fromkeys(group, total(group))
                group = []
            group = [*group, b]
        thin = [b for b in self.unordered[predictor] if sum(own[b]) < self.thin]
        return found | {b: total(thin) if b in thin else tuple(own[b]) for b in self.unordered[predictor]}

    def _are_apart(self, one, other) -> bool:
        a, b = sum(one), sum(other)
        if a < self.thin or b < self.thin:
            return False
        rate = (one[0] + other[0]) / (a + b)
        return abs(one[0] / a - other[0] / b) > self.apart * math.sqrt(rate * (1 - rate) * (1 / a + 1 / b))

    def score(self, row, rate: float) -> float:
        total = 0.0
        for predictor, shares in row.items():
            pooled = self.pooled(predictor)
            odds = {b: (pooled[b][0] + self.strength * rate) / (pooled[b][1] + self.strength * (1 - rate)) / (rate / (1 - rate)) for b in shares}
            total += sum(share * math.log(odds[b]) for b, share in shares.items()) / sum(shares.values())
        return total

    def propensity(self, row, rate: float, n_bins: int) -> tuple[float, float]:
        """Mean and deviation: the isotonic fit is the largest, over starts at or before the bin, of the least mean over stops at or after it."""
        place = self.bin_of(self.score(row, rate))
        bins = [self.scores.get(b, [0.0, 0.0]) for b in range(n_bins)]
        positives = [p + self.score_strength * rate for p, _ in bins]
        outcomes = [p + n + self.score_strength for p, n in bins]

        def fit(b):
            return max(min(sum(positives[i:j]) / sum(outcomes[i:j]) for j in range(b + 1, n_bins + 1)) for i in range(b + 1))

        same = [b for b in range(n_bins) if abs(fit(b) - fit(place)) < 1e-9]
        n = sum(outcomes[b] for b in same) + self.pool_strength
        mean = (sum(positives[b] for b in same) + self.pool_strength * rate) / n
        return mean, math.sqrt(mean * (1 - mean) / (n + 1))

    def learn(self, row, reward: float, rate: float) -> None:
        own = self.scores.setdefault(self.bin_of(self.score(row, rate)), [0.0, 0.0])
        own[0], own[1] = own[0] + reward, own[1] + 1 - reward
        for predictor, shares in row.items():
            for b, share in shares.items():
                counted = self.counts.setdefault((predictor, b), [0.0, 0.0])
                counted[0] += share / sum(shares.values()) * reward
                counted[1] += share / sum(shares.values()) * (1 - reward)
