"""Which targets of a rule index are definitely true for encoded rows: the only code of this room on the decision path.

Cost: one kernel call for any number of rows; `make bench` prints what 1,000 rules of 5 conditions take ("rules alone").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.rules import plain
from nba_engine.rules.index import RuleIndex
from nba_engine.rules.lines import LINE_WORDS, n_below, or_lines
from nba_engine.rules.program import _fill_computed, _fill_members
from nba_engine.rules.slots import number_of
from nba_engine.rules.tables import ANY_OF, COUNTED, DIVISION, HEAD, MANY, NEEDED, aligned, n_of

_COUNTED, _MANY, _ANY_OF, _NEEDED = COUNTED, MANY, ANY_OF, NEEDED
(_N_SLOTS, _N_WORDS, _N_TARGET_WORDS, _N_FOLDS, _N_WITH_ROWS, _N_DIVISIONS, _N_UNMARKED, _MEMBERS, _PROGRAM, _DIVISIONS, _THRESHOLDS, _BUCKETS,
 _CELLS, _PLACES, _TESTED, _START, _FOLDS, _DEMANDS, _REFERENCES, _ROWS) = range(len(HEAD) - 1)  # fmt: skip
_SLOT, _IS_DOUBLE, _NONE, _BUCKET, _LAST, _ORIGIN, _SCALE, _N_SEARCHED, _FIRST_COUNTED, _N_MARKS = range(len(DIVISION))
_SHIFT, _BITS, _CHOSEN, _VALUES = range(4)
_STATE_NONE = 2
_AT_ONCE = 8
_ROWS_AT_ONCE = 32
_LOW_HALF = 0xFFFFFFFF
_NEGATIVE_ZERO, _ALL_BUT_SIGN = np.int64(-(2**63)), np.int64(2**63 - 1)


class Rows(Protocol):
    """Encoded rows, as much as rules read of them: int64[n, n_columns], uint8[n, n_columns], int32[n_items], int32[n, n_lists + 1]."""

    values: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]
    item_codes: npt.NDArray[np.int32]
    item_offsets: npt.NDArray[np.int32]


class Evaluation:
    """Answers one rule index for up to `n_rows` rows at once, in arrays of its own: one thread at a time, results hold until the next run.

    bits uint64[n_rows, index.n_words]: bit t is target t (clauses and gates stand behind the targets); values int64[n_rows, n_slots] and
    states int64[n_rows, n_slots]: every slot, 0 a value.
    """

    __slots__ = ("_has_members", "_hosts", "_scratch", "_tables", "bits", "states", "values")

    def __init__(self, index: RuleIndex, n_rows: int = 1) -> None:
        self._hosts, self._tables, self._has_members = index.hosts, index.tables, n_of(index.tables, "members") > 0
        n_slots, step = len(index.initial_values), int(index.tables[_N_DIVISIONS]) + _AT_ONCE
        ends = np.cumsum([_VALUES, n_rows * n_slots, n_rows * n_slots, n_rows * index.n_words, min(n_rows, _ROWS_AT_ONCE) * 2 * step])
        self._scratch = scratch = aligned(ends[-1], ends[2])
        # How far a state stands behind its value; where bits begin; where keys and chosen rows do.
        scratch[:_VALUES] = n_rows * n_slots, ends[2], ends[3]
        self.values = scratch[_VALUES : ends[1]].reshape(n_rows, n_slots)
        self.values[:] = index.initial_values
        self.states = scratch[ends[1] : ends[2]].reshape(n_rows, n_slots)
        self.bits = scratch[ends[2] : ends[3]].view(np.uint64).reshape(n_rows, index.n_words)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays; the tables are the index's."""
        return self._scratch.nbytes

    def run(self, rows: Rows, variables: Callable[[int], Mapping[str, Any]]) -> None:
        """Evaluate encoded rows. `variables` gives the facts of a row as the plain evaluator reads them; it is called only where the index
        has host slots."""
        if self._hosts:
            for r in range(len(rows.values)):
                self._answer_hosts(r, variables(r))
        if self._has_members:
            _fill_truth_and_members(self._tables, rows.values, rows.states, rows.item_codes, rows.item_offsets, self._scratch)
        else:
            _fill_truth(self._tables, rows.values, rows.states, self._scratch)

    def _answer_hosts(self, row: int, variables: Mapping[str, Any]) -> None:
        for host in self._hosts:
            number = number_of(plain.cel_value(host.node, variables, nullable=True))
            self.states[row, host.slot] = 0 if number is not None else _STATE_NONE
            self.values[row, host.slot] = number or 0


@kernel
def _fill_truth(tables, row_values, row_states, scratch):
    """Evaluate every row, _ROWS_AT_ONCE at a time. `tables` as tables.py lays them out, `scratch` as Evaluation does.

    All kernels find what they need by its place in these two: a view of an array costs two atomic counts, some 10 ns."""
    n_slots, n_words = tables[_N_SLOTS], tables[_N_WORDS]
    for first in range(0, row_values.shape[0], _ROWS_AT_ONCE):
        n, values, bits = min(row_values.shape[0] - first, _ROWS_AT_ONCE), _VALUES + first * n_slots, scratch[_BITS] + first * n_words
        _fill_values(row_values, row_states, first, n, n_slots, scratch)
        _fill_computed(tables, tables[_PROGRAM], tables[_PROGRAM + 1], n, n_slots, scratch, values, scratch[_SHIFT])
        for r in range(n):
            for w in range(n_words):
                scratch[np.uint64(bits + r * n_words + w)] = _at(tables, tables[_START] + w)
        _fill_keys(tables, n, scratch, values)
        _fill_cells(tables, n, scratch)
        _fill_marked(tables, n, scratch, bits)
        _fill_union(tables, n, scratch, bits)
        for r in range(n):
            _fill_settled(tables, scratch, bits + r * n_words)


@kernel
def _fill_truth_and_members(tables, row_values, row_states, item_codes, item_offsets, scratch):
    """The same where rules ask what is in lists: two arrays more, which cost a single row 0.25 us."""
    for r in range(row_values.shape[0]):
        values = _VALUES + r * tables[_N_SLOTS]
        _fill_members(tables, tables[_MEMBERS], tables[_MEMBERS + 1], r, row_states, item_codes, item_offsets, scratch, values, scratch[_SHIFT])
    _fill_truth(tables, row_values, row_states, scratch)


@kernel
def _fill_values(row_values, row_states, first, n, n_slots, scratch):
    """Values and states of `n` rows from `first` on."""
    for r in range(first, first + n):
        values = _VALUES + r * n_slots
        states = values + scratch[_SHIFT]
        for i in range(row_values.shape[1]):
            scratch[np.uint64(values + i)] = row_values[np.uint64(r), np.uint64(i)]
        for i in range(row_values.shape[1]):
            scratch[np.uint64(states + i)] = row_states[np.uint64(r), np.uint64(i)]


@kernel
def _fill_keys(tables, n, scratch, values):
    """For each of `n` rows and each division: the value in an order of integers as the key; where its bucket stands as what is chosen, or ~ the cell
    of its state where it has no value.

    Keys and what is chosen are columns beside each other, without a jump in the second loop: the compiler joins four slots."""
    n_divisions, n_slots, shift, slots = tables[_N_DIVISIONS], tables[_N_SLOTS], scratch[_SHIFT], tables[_DIVISIONS]
    is_double, none, bucket = slots + _IS_DOUBLE * n_divisions, slots + _NONE * n_divisions, slots + _BUCKET * n_divisions
    last, origin, scale = slots + _LAST * n_divisions, slots + _ORIGIN * n_divisions, slots + _SCALE * n_divisions
    for r in range(n):
        keys = scratch[_CHOSEN] + 2 * r * (n_divisions + _AT_ONCE)
        chosen = keys + n_divisions + _AT_ONCE
        for i in range(n_divisions):
            slot = values + r * n_slots + _at(tables, slots + i)
            scratch[np.uint64(keys + i)], scratch[np.uint64(chosen + i)] = _at(scratch, slot), _at(scratch, slot + shift)
        for i in range(n_divisions):
            key, state, double = _at(scratch, keys + i), _at(scratch, chosen + i), _at(tables, is_double + i) != 0
            number = _as_double(key) if double else np.float64(key)
            place = _bucket(number, _as_double(_at(tables, origin + i)), _as_double(_at(tables, scale + i)), _as_double(_at(tables, last + i)))
            place += tables[_BUCKETS] + _at(tables, bucket + i)
            scratch[np.uint64(keys + i)] = _ordered(key) if double else key
            scratch[np.uint64(chosen + i)] = place if (state == 0) & (number == number) else ~(_at(tables, none + i) - state)


@kernel
def _fill_cells(tables, n, scratch):
    """Slot by slot, for `n` rows, the cell of the value, by how many of the slot's thresholds are below it. Chosen is where the row of the cell
    begins, and the key becomes what the cell marks; where cells mark many, the cell itself is chosen.

    How often the search turns depends on the slot alone, and choices are made without branches: what a processor cannot foresee costs it 5 ns."""
    n_divisions, thresholds, first_bucket, cells = tables[_N_DIVISIONS], tables[_THRESHOLDS], tables[_BUCKETS], tables[_CELLS]
    searched, counted = tables[_DIVISIONS] + _N_SEARCHED * n_divisions, tables[_DIVISIONS] + _FIRST_COUNTED * n_divisions
    marks, step = tables[_DIVISIONS] + _N_MARKS * n_divisions, n_divisions + _AT_ONCE
    for i in range(n_divisions):
        n_searched, first, n_marks, key = _at(tables, searched + i), _at(tables, counted + i), _at(tables, marks + i), scratch[_CHOSEN] + i
        for _ in range(n):
            place = _at(scratch, key + step)
            low = _at(tables, place if place >= 0 else first_bucket)  # any bucket will do where there is no value
            found = first + _n_below(tables, thresholds, _at(scratch, key), low, n_searched)
            cell = found if place >= 0 else ~place
            if n_marks != _MANY:
                scratch[np.uint64(key)] = _at(tables, cells + 2 * cell + 1)
                cell = _at(tables, cells + 2 * cell)
            scratch[np.uint64(key + step)] = cell & _LOW_HALF
            key += 2 * step


@scalar
def _ordered(bits):
    """See conditions.ordered."""
    bits = bits if bits != _NEGATIVE_ZERO else 0
    return bits ^ ((bits >> 63) & _ALL_BUT_SIGN)


@scalar
def _bucket(number, origin, scale, last):
    place = (number - origin) * scale
    place = place if place > 0.0 else 0.0
    return np.int64(place if place < last else last)


@scalar
def _n_below(tables, thresholds, key, low, n):
    """How many of a slot's sorted thresholds are below `key`, where that is `low` at least and `low` + `n` at most."""
    while n > 2 * _COUNTED:
        half = (n + 1) >> 1
        low += half & -np.int64(_at(tables, thresholds + low + half - 1) < key)
        n -= half
    if n > _COUNTED:
        low += _COUNTED & -np.int64(_at(tables, thresholds + low + _COUNTED - 1) < key)
    return low + n_below(tables, thresholds + low, key)


@scalar
def _at(numbers, place):
    """What stands at a place that is not negative: places that may be cost a comparison each time."""
    return numbers[np.uint64(place)]


@scalar
def _as_double(bits):
    return np.int64(bits).view(np.float64)


@kernel
def _fill_marked(tables, n, scratch, bits):
    """Slot by slot, for `n` rows, set what cells mark one by one; where they may mark many, also choose the row of the cell.

    Apart from finding cells: setting a bit waits for those set before, and what comes behind a loop whose end is not foreseen waits for that."""
    n_divisions, cells, n_words = tables[_N_DIVISIONS], tables[_CELLS], tables[_N_WORDS]
    marks, step = tables[_DIVISIONS] + _N_MARKS * n_divisions, n_divisions + _AT_ONCE
    for i in range(tables[_N_UNMARKED], n_divisions):
        key, into = scratch[_CHOSEN] + i, bits
        for _ in range(n):
            if _at(tables, marks + i) != _MANY:
                mark = _at(scratch, key)
                _set_bit(scratch, into, mark & _LOW_HALF, mark >> 32)
            else:
                cell = _at(scratch, key + step)
                _fill_listed(tables, cell, scratch, into)
                scratch[np.uint64(key + step)] = _at(tables, cells + 2 * cell) & _LOW_HALF
            key, into = key + 2 * step, into + n_words


@kernel
def _fill_listed(tables, cell, scratch, bits):
    """Set what stands in the lists of a cell."""
    places, begin, end = tables[_PLACES], _at(tables, tables[_CELLS] + 2 * cell) >> 32, _at(tables, tables[_CELLS] + 2 * cell + 1)
    tested = tables[_TESTED] + (end >> 32)
    for k in range(places + begin, places + (end & _LOW_HALF)):
        _set_bit(scratch, bits, _at(tables, k), 1)
    for k in range(tested + 1, tested + 1 + 3 * _at(tables, tested), 3):
        _set_bit(scratch, bits, _at(tables, k), (_at(tables, k + 1) <= cell) & (cell < _at(tables, k + 2)))


@kernel
def _fill_union(tables, n, scratch, bits):
    """OR the rows chosen for each of `n` rows into its bits, _AT_ONCE slots at a time: what these choose from stays near from row to row."""
    n_words, rows, step = tables[_N_WORDS], tables[_ROWS], tables[_N_DIVISIONS] + _AT_ONCE
    for slot in range(0, tables[_N_WITH_ROWS], _AT_ONCE):
        i, into = scratch[_CHOSEN] + step + slot, bits
        for _ in range(n):
            a, b, c, d = rows + _at(scratch, i), rows + _at(scratch, i + 1), rows + _at(scratch, i + 2), rows + _at(scratch, i + 3)
            e, f, g, h = rows + _at(scratch, i + 4), rows + _at(scratch, i + 5), rows + _at(scratch, i + 6), rows + _at(scratch, i + 7)
            for w in range(0, n_words, LINE_WORDS):
                or_lines(scratch, into + w, tables, (a + w, b + w, c + w, d + w, e + w, f + w, g + w, h + w))
            i, into = i + 2 * step, into + n_words


@kernel
def _fill_settled(tables, scratch, bits):
    """Turn one row's bits to what holds; then clauses close their targets, and gates and what targets need of them are settled, in order."""
    n_target_words = tables[_N_TARGET_WORDS]
    for w in range(bits, bits + n_target_words):
        scratch[np.uint64(w)] = ~_at(scratch, w)
    for k in range(tables[_N_FOLDS]):
        scratch[np.uint64(bits + _at(tables, tables[_FOLDS] + k))] &= _at(scratch, bits + n_target_words + k)
    for i in range(tables[_DEMANDS], tables[_DEMANDS + 1], 4):
        kind, number = tables[i], tables[i + 1]
        if kind != _NEEDED or _has_bit(scratch, bits, number):
            holds = kind != _ANY_OF
            for k in range(tables[_REFERENCES] + tables[i + 2], tables[_REFERENCES] + tables[i + 3]):
                if _has_bit(scratch, bits, tables[k]) == (kind == _ANY_OF):
                    holds = not holds
                    break
            if kind == _NEEDED and not holds:
                scratch[bits + (number >> 6)] &= ~(1 << (number & 63))
            elif kind != _NEEDED and holds:
                _set_bit(scratch, bits, number, 1)


@scalar
def _has_bit(scratch, bits, place):
    return (scratch[bits + (place >> 6)] >> (place & 63)) & 1 != 0


@scalar
def _set_bit(scratch, bits, place, truth):
    scratch[np.uint64(bits + (place >> 6))] |= np.int64(truth) << (place & 63)
