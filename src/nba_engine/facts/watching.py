"""Which two facts belong together: pairs of facts watched for what the model leaves unexplained.

For each pair of crossable columns a table counts the residuals of outcomes, reward - expected propensity, and their variances p (1 - p), in cells
of `BINS` x `BINS` places (numbers by z at -1, -0.3, 0.3, 1; categories by code, five codes apart alike; one place for what is absent) and in
`BUCKETS` of actions, so that effects of opposite signs do not cancel. From time to time a pair's table is judged: what its rows and columns
explain alone is taken out, and what is left is weighed as evidence for an effect of the two facts together against none, three ways: a value per cell
for all actions alike; the product of the two places, counted in steps, times a number per bucket; the product of any pattern over the one fact's
places and any over the other's, times a number per bucket. A pair is worth a cross when the best of the three Bayes factors is larger than the number
of ways that were tried, three for each pair.

Each outcome feeds `FED_MAX` pairs at most, in turn, so that cost is bounded whatever the number of facts; of more than `PAIRS_MAX` pairs the first
are watched. What was counted early, when the model knew little, weighs less: the tables are halved whenever the number of outcomes has doubled,
from `HALVED_FROM` on.
**Source** the score statistic of a coefficient at 0 (Rao 1948), weighed under a normal prior as in Kass and Raftery 1995, "Bayes factors", JASA 90;
the patterns are the best rank-one part of the tables (De Lathauwer et al. 2000, the higher-order power method), less what noise alone would give.
**Cost** feeding O(active features + pairs fed), judging O(cells * buckets) a pair, at most JUDGED_MAX every STOCK_EVERY outcomes. Memory: 2.3 kB a
pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.facts.features import LINE_SCALE, Features
from nba_engine.numerics.kernel import kernel, scalar

BINS, BUCKETS = 6, 8
FED_MAX, JUDGED_MAX, PAIRS_MAX = 256, 64, 2016
STOCK_EVERY = 128
HALVED_FROM = 4096
FOUND_MAX = 8
_VARIANCE = 0.125
_TURNS = 8
_SWEEPS = 4
_ABSENT = BINS - 1
_PLACES = {"z": -1, "false": 0, "true": BINS - 2, "other": 2, "null": _ABSENT, "missing": _ABSENT}
"""What features say of a fact, but for texts with a code."""

Table = npt.NDArray[np.float32]


class Watch:
    """The pairs of one catalog version's features, `pairs_max` at most.

    Attributes
    ----------
    pairs : the column names of each
    found : pairs that were worth a cross, in the order in which they were found
    """

    def __init__(self, columns: Features, pairs_max: int = PAIRS_MAX) -> None:
        names = [name for name, _ in columns.crossable]
        self._sides = np.array(list(combinations(range(len(names)), 2))[:pairs_max], np.int32).reshape(-1, 2)
        self.pairs = [(names[a], names[b]) for a, b in self._sides.tolist()]
        self.found: list[tuple[str, str]] = []
        self._table: Table = np.zeros((len(self.pairs), BUCKETS, BINS * BINS, 2), np.float32)
        self._evidence = np.full(len(self.pairs), -np.inf)
        self._places = np.zeros(len(names), np.int64)
        self._left = np.zeros((BUCKETS + 3, BINS * BINS))
        sides = {name: i for i, name in enumerate(names)}
        self._reads = np.array([_read(sides.get(name, -1), bin_) for name, bin_ in columns.names], np.int32)
        self.n_seen = 0

    def feed(self, index: npt.NDArray[np.int32], value: npt.NDArray[np.float64], n_active: npt.NDArray[np.int64],
             buckets: npt.NDArray[np.int64], rewards: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> None:
        """Count n outcomes: `index` int32[n, a], `value` float64[n, a] and `n_active` int64[n] are their rows' features when they were learned,
        `buckets` int64[n] numbers that tell actions apart, `rewards` and `expected` propensities float64[n]."""
        _fill_watched(index, value, n_active, buckets, rewards, expected, self._reads, self._sides, self._places, self._table, self.n_seen)
        self.n_seen += len(rewards)

    @property
    def due(self) -> int:
        """After how many more outcomes pairs are judged."""
        return STOCK_EVERY - self.n_seen % STOCK_EVERY

    def judge(self, taken: set[frozenset[str]]) -> tuple[str, str] | None:
        """To be called when `due` outcomes were fed: the pair most worth a cross, of those whose turn it is and not `taken`; None where none is."""
        if not self.pairs:
            return None
        turn = self.n_seen // STOCK_EVERY
        stop = math.ceil(len(self.pairs) / JUDGED_MAX)
        judged = np.arange(turn % stop, len(self.pairs), stop)
        _fill_evidence(self._table, judged, self._left, self._evidence)
        if self.n_seen >= HALVED_FROM and self.n_seen & (self.n_seen - 1) == 0:
            self._table *= np.float32(0.5)
        if len(self.found) >= FOUND_MAX:
            return None
        best = max((p for p in judged.tolist() if frozenset(self.pairs[p]) not in taken), key=lambda p: self._evidence[p], default=-1)
        if best < 0 or self._evidence[best] < math.log(3 * len(self.pairs)):
            return None
        self.found.append(self.pairs[best])
        return self.pairs[best]

    def evidence(self) -> dict[tuple[str, str], float]:
        """Log evidence of each pair when it was judged last, for an effect of both facts together against none."""
        return {pair: float(e) for pair, e in zip(self.pairs, self._evidence, strict=True)}

    def state(self) -> dict[str, Any]:
        """Plain data; the same outcomes give the same bytes."""
        return {"pairs": [list(pair) for pair in self.pairs], "table": self._table.copy(), "evidence": self._evidence.copy(),
                "found": [list(pair) for pair in self.found], "n_seen": self.n_seen}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave: pairs that both know by name; a found pair is kept where its facts are still there."""
        known = {frozenset(pair): i for i, pair in enumerate(map(tuple, state["pairs"]))}
        for i, pair in enumerate(self.pairs):
            was = known.get(frozenset(pair))
            if was is not None:
                table = state["table"][was]
                if tuple(state["pairs"][was]) != pair:
                    table = table.reshape(BUCKETS, BINS, BINS, 2).transpose(0, 2, 1, 3).reshape(BUCKETS, BINS * BINS, 2)
                self._table[i], self._evidence[i] = table, state["evidence"][was]
        names = {name for pair in self.pairs for name in pair}
        self.found = [(a, b) for a, b in state["found"] if a in names and b in names]
        self.n_seen = state["n_seen"]

    @property
    def nbytes(self) -> int:
        """Bytes of its tables."""
        return self._table.nbytes + self._evidence.nbytes + self._sides.nbytes


def _read(side: int, bin_: str) -> tuple[int, int]:
    """What an active feature says of a side: (side, place), place -1 for the number's line; side -1 where it says nothing."""
    if side < 0 or not (bin_ in _PLACES or bin_.startswith("#")):
        return -1, 0
    return side, _PLACES[bin_] if bin_ in _PLACES else (int(bin_[1:]) - 1) % _ABSENT


@kernel
def _fill_watched(index, value, n_active, buckets, rewards, expected, reads, sides, places, table, n_seen):
    """Row after row at most FED_MAX pairs, in turn."""
    n_pairs = sides.shape[0]
    fed = min(n_pairs, FED_MAX)
    for r in range(rewards.shape[0]):
        places[:] = _ABSENT
        for i in range(n_active[r]):
            feature = index[r, i]
            if feature < reads.shape[0] and reads[feature, 0] >= 0:
                place = reads[feature, 1]
                places[reads[feature, 0]] = place if place >= 0 else _bin(value[r, i] / LINE_SCALE)
        residual, variance = np.float32(rewards[r] - expected[r]), np.float32(expected[r] * (1.0 - expected[r]))
        bucket = buckets[r] % BUCKETS
        for k in range(fed):
            pair = ((n_seen + r) * fed + k) % n_pairs
            cell = places[sides[pair, 0]] * BINS + places[sides[pair, 1]]
            table[pair, bucket, cell, 0] += residual
            table[pair, bucket, cell, 1] += variance


@scalar
def _bin(z):
    """Of a number's five places its own."""
    return np.int64(z > -1.0) + np.int64(z > -0.3) + np.int64(z > 0.3) + np.int64(z > 1.0)


@kernel
def _fill_evidence(table, judged, left, evidence):
    """Log evidence of pairs `judged`: the best of three ways to look at their tables. `left` f64[BUCKETS + 3, BINS * BINS] is working space: what
    is left of each bucket in units of its deviation, then residual and variance of one bucket, of all."""
    variance, pooled, pooled_variance = left[BUCKETS], left[BUCKETS + 1], left[BUCKETS + 2]
    for j in range(judged.shape[0]):
        product, known, squares = 0.0, 0.0, 0.0
        left[BUCKETS + 1:, :] = 0.0
        for bucket in range(BUCKETS):
            residual = left[bucket]
            for cell in range(BINS * BINS):
                residual[cell], variance[cell] = table[judged[j], bucket, cell, 0], table[judged[j], bucket, cell, 1]
                pooled[cell] += residual[cell]
                pooled_variance[cell] += variance[cell]
            _take_out(residual, variance)
            product += _product(residual, variance)
            seen, cells = 0.0, 0
            for cell in range(BINS * BINS):
                residual[cell] /= math.sqrt(variance[cell] + 1.0)
                seen += variance[cell] / (variance[cell] + 1.0)
                cells += variance[cell] > 0.0
            known += seen / max(cells, 1)
            squares += (seen / max(cells, 1)) ** 2
        _take_out(pooled, pooled_variance)
        alike = _cells(pooled, pooled_variance)
        evidence[judged[j]] = max(product, alike, 0.5 * (_patterns(left) - _noise(known, squares)))


@scalar
def _noise(known, squares):
    """Square of the best rank-one part of mere noise: (sqrt(a) + sqrt(b) + sqrt(c))^2 for an a x b x c table of it; here 4 x 4 x the buckets that
    count, with the share of the noise that the division by variance + 1 leaves. `known` and `squares` are the sums of these shares and of their
    squares."""
    if known <= 0.0:
        return 0.0
    return squares / known * (4.0 + known / math.sqrt(squares)) ** 2


@scalar
def _patterns(left):
    """Square of the best rank-one part of left[bucket, a, b], sought by turns from the strongest row."""
    row, strongest = 0, -1.0
    for line in range(BUCKETS * BINS):
        square = 0.0
        for b in range(BINS):
            square += left[line // BINS, line % BINS * BINS + b] ** 2
        if square > strongest:
            row, strongest = line, square
    one, other, found = left[BUCKETS], left[BUCKETS + 1], 0.0
    for b in range(BINS):
        other[b] = left[row // BINS, row % BINS * BINS + b]
    for a in range(BINS):
        one[a] = np.float64(a == row % BINS)
    for _ in range(_TURNS):
        found = _turn(left, one, other, 1, BINS)
        found = _turn(left, other, one, BINS, 1)
    return found


@scalar
def _turn(left, one, other, stride_other, stride_one):
    """Make `one` the pattern that fits best beside `other`, of length 1; returns the square of what both explain."""
    length = 0.0
    for i in range(BINS):
        length += other[i] * other[i]
    for i in range(BINS):
        other[i] /= math.sqrt(length) if length > 0.0 else 1.0
        one[BINS + i] = 0.0
    found = 0.0
    for bucket in range(BUCKETS):
        weight = 0.0
        for i in range(BINS):
            for k in range(BINS):
                weight += one[i] * left[bucket, i * stride_one + k * stride_other] * other[k]
        for i in range(BINS):
            for k in range(BINS):
                one[BINS + i] += weight * left[bucket, i * stride_one + k * stride_other] * other[k]
        found += weight * weight
    length = 0.0
    for i in range(BINS):
        length += one[BINS + i] ** 2
    for i in range(BINS):
        one[i] = one[BINS + i] / math.sqrt(length) if length > 0.0 else 0.0
    return found


@scalar
def _take_out(residual, variance):
    """Subtract from the residuals f64[BINS * BINS] what rows alone and columns alone explain, by turns."""
    for sweep in range(2 * _SWEEPS):
        step, stride = (BINS, 1) if sweep % 2 == 0 else (1, BINS)
        for line in range(BINS):
            over, under = 0.0, 0.0
            for i in range(BINS):
                over += residual[line * step + i * stride]
                under += variance[line * step + i * stride]
            if under > 0.0:
                for i in range(BINS):
                    residual[line * step + i * stride] -= over / under * variance[line * step + i * stride]


@scalar
def _cells(residual, variance):
    found = 0.0
    for cell in range(BINS * BINS):
        found += _log_evidence(residual[cell], variance[cell])
    return found


@scalar
def _product(residual, variance):
    """Evidence for one coefficient of the product of the two places, counted from the middle in steps; what is absent has none."""
    over, under = 0.0, 0.0
    for a in range(BINS - 1):
        for b in range(BINS - 1):
            x = (a - 2.0) * (b - 2.0) / 2.0
            over += x * residual[a * BINS + b]
            under += x * x * variance[a * BINS + b]
    return _log_evidence(over, under)


@scalar
def _log_evidence(residual, variance):
    """Of a coefficient N(0, _VARIANCE) on the scale of log odds against 0, by the score and its variance at 0."""
    if variance <= 0.0:
        return 0.0
    scale = 1.0 + _VARIANCE * variance
    return 0.5 * (_VARIANCE * residual * residual / scale - math.log(scale))
