"""Which two facts belong together: pairs of facts watched for what the model leaves unexplained.

For each pair of crossable columns a table counts the residuals of outcomes, reward - expected propensity, and their variances p (1 - p), in cells
of `BINS` x `BINS` places (numbers by z at -1, -0.3, 0.3, 1; categories by code, five codes apart alike; one place for what is absent) and in
`BUCKETS` of actions, so that effects of opposite signs do not cancel. From time to time a pair's table is judged, in three ways (association.py). A
pair is worth a cross when the best of the three Bayes factors is larger than the number of ways that were tried, three for each pair.

Pairs take turns: some are due whenever `STOCK_EVERY` outcomes were fed, count then what came since their last turn, which until then stands in a
ring of rows, a byte a fact, and are judged; later on only where their outcomes have grown by a sixth or so. Of more than `FED_MAX` pairs each counts
every second outcome, or every third and so on, so that cost is bounded whatever the number of facts; of more than `PAIRS_MAX` pairs the first are
watched. What was counted early, when the model knew little, weighs less: the tables are halved whenever the number of outcomes has doubled, from
`HALVED_FROM` on.
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

from nba_engine.facts.association import BINS, BUCKETS, JUDGED_MAX, Table, _fill_evidence, make_work
from nba_engine.facts.features import LINE_SCALE, Features
from nba_engine.numerics.kernel import kernel, scalar

FED_MAX, PAIRS_MAX = 512, 2016
STOCK_EVERY = 32
TURNS_MIN = 4
"""Stock-takings from one turn of a pair to its next, at least."""
_CYCLES = 3
"""Of 2 ** _CYCLES turns on not every one ends in a judgement, only where the outcomes have grown by an eighth to a quarter."""
HALVED_FROM = 4096
FOUND_MAX = 8
_ABSENT = BINS - 1
_FALSE, _TRUE = 0, BINS - 2
_BY_LINE, _BY_SIGN = -1, -2
_PLACES = {"z": _BY_LINE, "true": _BY_SIGN, "other": 2, "null": _ABSENT, "missing": _ABSENT}
"""What features say of a fact, but for texts with a code: a place, or that their value says it, a number's line or a bool's sign."""


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
        self._work = make_work()
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
    """Count every `every`-th of the rows from number `first` to `stop` in the tables of `pairs`: two at a time, since a row's bucket, residual and
    variance are the same for all."""
    n_rows, buckets, last = places.shape[1], places[places.shape[0] - 1], pairs.shape[0] - 1
    for p in range(0, pairs.shape[0], 2):
        near, far = pairs[p], pairs[min(p + 1, last)]
        one, other, cells = places[sides[near, 0]], places[sides[near, 1]], table[near]
        one_far, other_far, cells_far = places[sides[far, 0]], places[sides[far, 1]], table[far]
        counts_far, at = np.float32(p < last), first % n_rows
        for _ in range(first, stop, every):
            bucket, residual, variance = buckets[at], added[at, 0], added[at, 1]
            cell, cell_far = one[at] * np.uint8(BINS) + other[at], one_far[at] * np.uint8(BINS) + other_far[at]
            cells[bucket, cell, 0] += residual
            cells[bucket, cell, 1] += variance
            cells_far[bucket, cell_far, 0] += counts_far * residual
            cells_far[bucket, cell_far, 1] += counts_far * variance
            at += every
            if at >= n_rows:
                at -= n_rows


@scalar
def _bin(z):
    """Of a number's five places its own."""
    return np.int64(z > -1.0) + np.int64(z > -0.3) + np.int64(z > 0.3) + np.int64(z > 1.0)
