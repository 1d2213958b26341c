"""Which two facts belong together: pairs of facts watched for what the model leaves unexplained.

For each pair of crossable columns a table counts the residuals of outcomes, reward - expected propensity, and their variances p (1 - p), in cells
of `BINS` x `BINS` places (numbers by z at -1, -0.3, 0.3, 1; categories by code, five codes apart alike; one place for what is absent) and in
`BUCKETS` of actions, so that effects of opposite signs do not cancel. From time to time a pair's table is judged: what its rows and columns
explain alone is taken out, and what is left is weighed as evidence for an effect of the two facts together against none, three ways: a value per cell
for all actions alike; the product of the two places, counted in steps, times a number per bucket; the product of any pattern over the one fact's
places and any over the other's, times a number per bucket. A pair is worth a cross when the best of the three Bayes factors is larger than the number
of ways that were tried, three for each pair.

Pairs take turns: some are due whenever `STOCK_EVERY` outcomes were fed, count then what came since their last turn, which until then stands in a
ring of rows, a byte a fact, and are judged; later on only where their outcomes have grown by a sixth or so. Of more than `FED_MAX` pairs each counts
every second outcome, or every third and so on, so that cost is bounded whatever the number of facts; of more than `PAIRS_MAX` pairs the first are
watched. What was counted early, when the model knew little, weighs less: the tables are halved whenever the number of outcomes has doubled, from
`HALVED_FROM` on.
**Source** the score statistic of a coefficient at 0 (Rao 1948), weighed under a normal prior as in Kass and Raftery 1995, "Bayes factors", JASA 90;
the patterns are the best rank-one part of the tables (De Lathauwer et al. 2000, the higher-order power method), less what noise alone would give.
**Cost** feeding O(active features), 0.3 us an outcome; judging at most JUDGED_MAX pairs every STOCK_EVERY outcomes, O(rows counted + cells * buckets)
each, 0.1 ms altogether. Memory: 2.3 kB a pair, and a ring of at most 4,032 rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.facts.features import LINE_SCALE, Features
from nba_engine.numerics.kernel import kernel, scalar

BINS, BUCKETS = 6, 8
FED_MAX, JUDGED_MAX, PAIRS_MAX = 512, 16, 2016
STOCK_EVERY = 32
TURNS_MIN = 4
"""Stock-takings from one turn of a pair to its next, at least."""
_CYCLES = 3
"""Of 2 ** _CYCLES turns on not every one ends in a judgement, only where the outcomes have grown by an eighth to a quarter."""
HALVED_FROM = 4096
FOUND_MAX = 8
_VARIANCE = 0.125
_TURNS = 8
_SWEEPS = 4
_ABSENT = BINS - 1
_LANES = (BUCKETS + 1) * JUDGED_MAX
_FOUND = 3 * BINS + 1
"""Where the working space of evidence keeps what it finds for each pair."""
_FALSE, _TRUE = 0, BINS - 2
_BY_LINE, _BY_SIGN = -1, -2
_PLACES = {"z": _BY_LINE, "true": _BY_SIGN, "other": 2, "null": _ABSENT, "missing": _ABSENT}
"""What features say of a fact, but for texts with a code: a place, or that their value says it, a number's line or a bool's sign."""

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
        self._n_turns = max(TURNS_MIN, math.ceil(len(self.pairs) / JUDGED_MAX))
        self._every = max(1, math.ceil(len(self.pairs) / FED_MAX))
        self._table: Table = np.zeros((len(self.pairs), BUCKETS, BINS * BINS, 2), np.float32)
        self._evidence = np.full(len(self.pairs), -np.inf)
        n_rows = self._n_turns * STOCK_EVERY if self.pairs else 0
        self._places, self._added = np.zeros((len(names) + 1, n_rows), np.uint8), np.zeros((n_rows, 2), np.float32)
        self._work: Table = np.zeros((3, BINS * BINS, _LANES) if self.pairs else (0, 0, 0), np.float32)
        self._side_of = {name: i for i, name in enumerate(names)}
        self.read(columns.names)
        self.n_seen = 0
        self._n_counted = 0
        """Rows that all pairs have counted; a pair has counted more if it had its turn since."""

    def read(self, names: Sequence[tuple[str, str]]) -> None:
        """Go on with these features, (fact, bin) of each, of the same columns."""
        self._reads = np.array([_read(self._side_of.get(name, -1), bin_) for name, bin_ in names], np.int32)

    def feed(self, index: npt.NDArray[np.int32], value: npt.NDArray[np.float64], n_active: npt.NDArray[np.int64],
             buckets: npt.NDArray[np.int64], rewards: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> None:
        """Take in n outcomes, `due` at most: `index` int32[n, a], `value` float64[n, a] and `n_active` int64[n] are their rows' features when they
        were learned, `buckets` int64[n] numbers that tell actions apart, `rewards` and `expected` propensities float64[n]."""
        if self.pairs:
            _fill_places(index, value, n_active, buckets, rewards, expected, self._reads, self._places, self._added, self.n_seen)
        self.n_seen += len(rewards)

    @property
    def due(self) -> int:
        """After how many more outcomes pairs are judged."""
        return STOCK_EVERY - self.n_seen % STOCK_EVERY

    def judge(self, taken: Collection[frozenset[str]]) -> tuple[str, str] | None:
        """To be called when `due` outcomes were fed: the pair most worth a cross, of those whose turn it is and not `taken`; None where none is."""
        if not self.pairs:
            return None
        cycle, turn = divmod(self.n_seen // STOCK_EVERY, self._n_turns)
        judged = self._count(turn, self.n_seen - self._n_turns * STOCK_EVERY)
        if cycle % (1 << max(cycle.bit_length() - _CYCLES, 0)):
            judged = judged[:0]  # what was counted has hardly grown since the last time
        if len(judged):
            _fill_evidence(self._table, judged, self._work, self._evidence)
        if self.n_seen >= HALVED_FROM and self.n_seen & (self.n_seen - 1) == 0:
            self._count_all()
            self._table *= np.float32(0.5)
        if len(self.found) >= FOUND_MAX:
            return None
        enough = judged[self._evidence[judged] >= math.log(3 * len(self.pairs))].tolist()
        best = max((p for p in enough if frozenset(self.pairs[p]) not in taken), key=lambda p: self._evidence[p], default=-1)
        if best < 0:
            return None
        self.found.append(self.pairs[best])
        return self.pairs[best]

    def _count(self, turn: int, since: int) -> npt.NDArray[np.int64]:
        """Let the pairs whose turn it is count the rows from number `since` on that they have not counted; these pairs."""
        pairs, first = np.arange(turn, len(self.pairs), self._n_turns), max(since, self._n_counted)
        first += (turn - first) % self._every
        _fill_tables(self._places, self._added, first, self.n_seen, self._every, pairs, self._sides, self._table)
        return pairs

    def _count_all(self) -> None:
        """Let every pair count what is left in the ring."""
        if not self.pairs:
            return
        stocks = self.n_seen // STOCK_EVERY
        for turn in range(self._n_turns):
            self._count(turn, (stocks - (stocks - turn) % self._n_turns) * STOCK_EVERY)
        self._n_counted = self.n_seen

    def evidence(self) -> dict[tuple[str, str], float]:
        """Log evidence of each pair when it was judged last, for an effect of both facts together against none."""
        return {pair: float(e) for pair, e in zip(self.pairs, self._evidence, strict=True)}

    def state(self, copied: Callable[[Table], Table] = np.copy) -> dict[str, Any]:
        """Plain data; the same outcomes give the same bytes. `copied` copies the large array."""
        self._count_all()
        return {"pairs": [list(pair) for pair in self.pairs], "table": copied(self._table), "evidence": self._evidence.copy(),
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
        self.n_seen = self._n_counted = state["n_seen"]

    @property
    def nbytes(self) -> int:
        """Bytes of its tables."""
        return self._table.nbytes + self._evidence.nbytes + self._sides.nbytes + self._places.nbytes + self._added.nbytes


def _read(side: int, bin_: str) -> tuple[int, int]:
    """What an active feature says of a side: (side, place), the place as in `_PLACES`; side -1 where it says nothing."""
    if side < 0 or not (bin_ in _PLACES or bin_.startswith("#")):
        return -1, 0
    return side, _PLACES[bin_] if bin_ in _PLACES else (int(bin_[1:]) - 1) % _ABSENT


@kernel
def _fill_places(index, value, n_active, buckets, rewards, expected, reads, places, added, n_seen):
    """Note the place of every side, and behind them the bucket, with residual and variance, for rows from number `n_seen` on, in a ring."""
    for r in range(rewards.shape[0]):
        at = (n_seen + r) % places.shape[1]
        for side in range(places.shape[0] - 1):
            places[side, at] = _ABSENT
        for i in range(n_active[r]):
            feature = index[r, i]
            if reads[feature, 0] >= 0:
                place = reads[feature, 1]
                if place == _BY_SIGN:
                    place = _TRUE if math.copysign(1.0, value[r, i]) > 0.0 else _FALSE
                places[reads[feature, 0], at] = place if place != _BY_LINE else _bin(value[r, i] / LINE_SCALE)
        places[places.shape[0] - 1, at] = buckets[r] % BUCKETS
        added[at, 0], added[at, 1] = rewards[r] - expected[r], expected[r] * (1.0 - expected[r])


@kernel
def _fill_tables(places, added, first, stop, every, pairs, sides, table):
    """Count every `every`-th of the rows from number `first` to `stop` in the tables of `pairs`."""
    n_rows, buckets = places.shape[1], places[places.shape[0] - 1]
    for pair in pairs:
        one, other, cells, at = places[sides[pair, 0]], places[sides[pair, 1]], table[pair], first % n_rows
        for _ in range(first, stop, every):
            bucket, cell = buckets[at], one[at] * np.uint8(BINS) + other[at]
            cells[bucket, cell, 0] += added[at, 0]
            cells[bucket, cell, 1] += added[at, 1]
            at += every
            if at >= n_rows:
                at -= n_rows


@scalar
def _bin(z):
    """Of a number's five places its own."""
    return np.int64(z > -1.0) + np.int64(z > -0.3) + np.int64(z > 0.3) + np.int64(z > 1.0)


@kernel
def _fill_evidence(table, judged, work, evidence):
    """Log evidence of at most JUDGED_MAX pairs `judged`: the best of three ways to look at their tables.

    All are worked on together, in `work` f32[3, BINS * BINS, _LANES]: residuals by cell, variances, some sums. A lane is a bucket of a pair, all
    pairs of one bucket side by side; the last bucket is the sum of all.
    """
    left, variance, sums = work[0], work[1], work[2]
    left[:], variance[:] = 0.0, 0.0
    for j in range(judged.shape[0]):
        whole = BUCKETS * JUDGED_MAX + j
        for bucket in range(BUCKETS):
            lane = bucket * JUDGED_MAX + j
            for cell in range(BINS * BINS):
                left[cell, lane], variance[cell, lane] = table[judged[j], bucket, cell, 0], table[judged[j], bucket, cell, 1]
                left[cell, whole] += left[cell, lane]
                variance[cell, whole] += variance[cell, lane]
    product, alike, noise = sums[_FOUND], sums[_FOUND + 1], sums[_FOUND + 2]
    _fill_left(left, variance, sums[0], sums[1])
    _fill_products(left, variance, sums[0], sums[1], product)
    _fill_cells(left, variance, alike)
    _fill_standard(left, variance, sums[0], sums[1], noise)
    _fill_patterns(left, sums)
    for j in range(judged.shape[0]):
        evidence[judged[j]] = max(product[j], alike[j], 0.5 * (sums[_FOUND + 3, j] - noise[j]))


@kernel
def _fill_left(left, variance, over, under):
    """Subtract from the residuals what rows alone and columns alone explain, by turns."""
    for sweep in range(2 * _SWEEPS):
        step, stride = (BINS, 1) if sweep % 2 == 0 else (1, BINS)
        for line in range(0, BINS * step, step):
            over[:], under[:] = 0.0, 0.0
            for cell in range(line, line + BINS * stride, stride):
                for k in range(over.shape[0]):
                    over[k] += left[cell, k]
                    under[k] += variance[cell, k]
            for k in range(over.shape[0]):
                over[k] = over[k] / under[k] if under[k] > 0.0 else np.float32(0.0)
            for cell in range(line, line + BINS * stride, stride):
                for k in range(over.shape[0]):
                    left[cell, k] -= over[k] * variance[cell, k]


@kernel
def _fill_products(left, variance, over, under, product):
    """Evidence for one coefficient a bucket of the product of the two places, counted from the middle in steps; what is absent has none."""
    over[:], under[:] = 0.0, 0.0
    for a in range(BINS - 1):
        for b in range(BINS - 1):
            x, cell = np.float32((a - 2.0) * (b - 2.0) / 2.0), a * BINS + b
            for k in range(over.shape[0]):
                over[k] += x * left[cell, k]
                under[k] += x * x * variance[cell, k]
    for j in range(JUDGED_MAX):
        gain, scales = 0.0, 1.0
        for lane in range(j, BUCKETS * JUDGED_MAX, JUDGED_MAX):
            scale = 1.0 + _VARIANCE * under[lane]
            gain += _gain(over[lane], under[lane], scale)
            scales *= scale
        product[j] = 0.5 * (gain - math.log(scales))


@kernel
def _fill_cells(left, variance, alike):
    """Evidence for a coefficient of each cell, all buckets alike."""
    for j in range(JUDGED_MAX):
        gain, scales, lane = 0.0, 1.0, BUCKETS * JUDGED_MAX + j
        for cell in range(BINS * BINS):
            scale = 1.0 + _VARIANCE * variance[cell, lane]
            gain += _gain(left[cell, lane], variance[cell, lane], scale)
            scales *= scale
        alike[j] = 0.5 * (gain - math.log(scales))


@kernel
def _fill_standard(left, variance, seen, cells, noise):
    """Divide the residuals by their deviations. `noise`: square of the best rank-one part of mere noise, (sqrt(a) + sqrt(b) + sqrt(c))^2 for an
    a x b x c table of it; here 4 x 4 x the buckets that count, with the share of the noise that the division by variance + 1 leaves."""
    seen[:], cells[:] = 0.0, 0.0
    for cell in range(BINS * BINS):
        for k in range(seen.shape[0]):
            whole = variance[cell, k] + np.float32(1.0)
            left[cell, k] /= math.sqrt(whole)
            seen[k] += variance[cell, k] / whole
            cells[k] += np.float32(variance[cell, k] > 0.0)
    for j in range(JUDGED_MAX):
        known, squares = 0.0, 0.0
        for bucket in range(BUCKETS):
            share = seen[bucket * JUDGED_MAX + j] / max(cells[bucket * JUDGED_MAX + j], 1.0)
            known += share
            squares += share * share
        noise[j] = squares / known * (4.0 + known / math.sqrt(squares)) ** 2 if known > 0.0 else 0.0


@kernel
def _fill_patterns(left, sums):
    """Square of the best rank-one part of each pair's left[(a, b), bucket], sought by turns from its strongest row."""
    one, other, beside, found = sums[:BINS], sums[BINS : 2 * BINS], sums[2 * BINS : 3 * BINS], sums[_FOUND + 3]
    for a in range(BINS):
        beside[a] = 0.0
        for cell in range(a * BINS, a * BINS + BINS):
            for k in range(beside.shape[1]):
                beside[a, k] += left[cell, k] * left[cell, k]
    for j in range(JUDGED_MAX):
        strongest, row, lane = -1.0, 0, 0
        for k in range(j, BUCKETS * JUDGED_MAX, JUDGED_MAX):
            for a in range(BINS):
                if beside[a, k] > strongest:
                    strongest, row, lane = beside[a, k], a, k
        for b in range(BINS):
            one[b, j], other[b, j] = np.float64(b == row), left[row * BINS + b, lane]
    _fill_spread(one, sums[3 * BINS])
    _fill_spread(other, sums[3 * BINS])
    for _ in range(_TURNS):
        _fill_turn(left, one, other, BINS, 1, beside, sums[3 * BINS], found)
        _fill_turn(left, other, one, 1, BINS, beside, sums[3 * BINS], found)


@kernel
def _fill_spread(pattern, inverse):
    """Scale each pair's pattern, which stands in the lanes of the first bucket, to length 1 and copy it to the lanes of all."""
    inverse[:] = 0.0
    for i in range(BINS):
        for j in range(JUDGED_MAX):
            inverse[j] += pattern[i, j] * pattern[i, j]
    for j in range(JUDGED_MAX):
        inverse[j] = np.float32(1.0) / math.sqrt(inverse[j]) if inverse[j] > 0.0 else np.float32(0.0)
    for i in range(BINS):
        for j in range(JUDGED_MAX):
            pattern[i, j] *= inverse[j]
        for k in range(JUDGED_MAX, BUCKETS * JUDGED_MAX):
            pattern[i, k] = pattern[i, k - JUDGED_MAX]


@kernel
def _fill_turn(left, one, other, stride_one, stride_other, beside, along, found):
    """Make `one` the pattern that fits best beside `other`; `found`: the square of what both explain."""
    along[:] = 0.0
    for i in range(BINS):
        near, own = beside[i], one[i]
        near[:] = 0.0
        for j in range(BINS):
            cells, share = left[i * stride_one + j * stride_other], other[j]
            for k in range(near.shape[0]):
                near[k] += cells[k] * share[k]
        for k in range(near.shape[0]):
            along[k] += own[k] * near[k]
    found[:] = 0.0
    one[:] = 0.0
    for lane in range(0, BUCKETS * JUDGED_MAX, JUDGED_MAX):
        for j in range(JUDGED_MAX):
            found[j] += along[lane + j] * along[lane + j]
        for i in range(BINS):
            near, own = beside[i], one[i]
            for j in range(JUDGED_MAX):
                own[j] += along[lane + j] * near[lane + j]
    _fill_spread(one, along)


@scalar
def _gain(residual, variance, scale):
    """Twice the log evidence of a coefficient N(0, _VARIANCE) on the scale of log odds against 0, by the score and its variance at 0, but for the
    log of `scale`, 1 + _VARIANCE * variance: the scales of many are multiplied before one logarithm is taken."""
    return _VARIANCE * residual * residual / scale if variance > 0.0 else 0.0
