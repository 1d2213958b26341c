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
from nba_engine.rules.program import _fill_computed, _fill_members
from nba_engine.rules.slots import number_of
from nba_engine.rules.tables import ANY_OF, COUNTED, DIVISION, HEAD, NAN_CELL, NEEDED, aligned, n_of

_NAN_CELL, _DIVISION, _COUNTED, _ANY_OF, _NEEDED = NAN_CELL, len(DIVISION), COUNTED, ANY_OF, NEEDED
(_N_SLOTS, _N_WORDS, _N_TARGET_WORDS, _N_FOLDS, _N_WITH_ROWS, _MEMBERS, _PROGRAM, _DIVISIONS, _THRESHOLDS, _BUCKETS, _CELLS, _PLACES, _TESTED,
 _START, _FOLDS, _DEMANDS, _REFERENCES, _ROWS) = range(len(HEAD) - 1)  # fmt: skip
_SHIFT, _BITS, _CHOSEN, _VALUES = range(4)
_STATE_NONE = 2
_AT_ONCE = 8
_ROWS_AT_ONCE = 16
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
        n_slots, n_divisions = len(index.initial_values), n_of(index.tables, "divisions") // len(DIVISION)
        ends = np.cumsum([_VALUES, n_rows * n_slots, n_rows * n_slots, n_rows * index.n_words, min(n_rows, _ROWS_AT_ONCE) * (n_divisions + _AT_ONCE)])
        self._scratch = scratch = aligned(ends[-1], ends[2])
        scratch[:_VALUES] = n_rows * n_slots, ends[2], ends[3]  # how far a state stands behind its value; where bits and chosen rows begin
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
        _fill_cells(tables, n, scratch, values)
        _fill_marked(tables, n, scratch, bits)
        for r in range(n):
            _fill_union(tables, r, scratch, bits + r * n_words)
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
def _fill_cells(tables, n, scratch, values):
    """Slot by slot, for `n` rows, the cell of the value: that of its state where it has none, else by how many of the slot's thresholds are below it.

    How often the search turns depends on the slot alone, and choices are made without branches: what a processor cannot foresee costs it 5 ns."""
    begin, thresholds, n_slots = tables[_DIVISIONS], tables[_THRESHOLDS], tables[_N_SLOTS]
    n_divisions = (thresholds - begin) // _DIVISION
    for i in range(n_divisions):
        d = begin + _DIVISION * i
        slot, is_double, first_cell, n_searched = values + _at(tables, d), _at(tables, d + 1) != 0, _at(tables, d + 2), _at(tables, d + 3)
        bucket, counted, cell = tables[_BUCKETS] + _at(tables, d + 4), _at(tables, d + 8), scratch[_CHOSEN] + i
        last, origin, scale = _as_double(_at(tables, d + 5)), _as_double(_at(tables, d + 6)), _as_double(_at(tables, d + 7))
        for _ in range(n):
            key, state = _at(scratch, slot), _at(scratch, slot + scratch[_SHIFT])
            number = _as_double(key) if is_double else np.float64(key)
            key = _ordered(key) if is_double else key
            low = _at(tables, bucket + _bucket(number, origin, scale, last))
            found, none = counted + _n_below(tables, thresholds, key, low, n_searched), first_cell + _NAN_CELL - state
            scratch[np.uint64(cell)] = found if (state == 0) & (number == number) else none
            slot, cell = slot + n_slots, cell + n_divisions + _AT_ONCE


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
    first = thresholds + low
    return (low + np.int64(_at(tables, first) < key) + np.int64(_at(tables, first + 1) < key) + np.int64(_at(tables, first + 2) < key)
            + np.int64(_at(tables, first + 3) < key))  # fmt: skip


@scalar
def _at(numbers, place):
    """What stands at a place that is not negative: places that may be cost a comparison each time."""
    return numbers[np.uint64(place)]


@scalar
def _as_double(bits):
    return np.int64(bits).view(np.float64)


@kernel
def _fill_marked(tables, n, scratch, bits):
    """Slot by slot, for `n` rows: put where the row of its cell begins in the cell's place; set what the cell marks one by one.

    Apart from finding cells: where a loop's end is not foreseen, what comes behind it waits."""
    begin, cells, places, tested, n_words = tables[_DIVISIONS], tables[_CELLS], tables[_PLACES], tables[_TESTED], tables[_N_WORDS]
    n_divisions = (tables[_THRESHOLDS] - begin) // _DIVISION
    for i in range(n_divisions):
        n_places, chosen, into = _at(tables, begin + _DIVISION * i + 9), scratch[_CHOSEN] + i, bits
        for _ in range(n):
            cell = _at(scratch, chosen)
            row, end = _at(tables, cells + 2 * cell), _at(tables, cells + 2 * cell + 1)
            scratch[np.uint64(chosen)] = row & _LOW_HALF
            first, end, mark = places + (row >> 32), places + (end & _LOW_HALF), tested + (end >> 32)
            for k in range(first, first + n_places):
                _set_bit(scratch, into, _at(tables, k), k < end)
            for k in range(first + n_places, end):
                _set_bit(scratch, into, _at(tables, k), 1)
            for k in range(mark + 1, mark + 1 + 3 * _at(tables, mark), 3):
                _set_bit(scratch, into, _at(tables, k), (_at(tables, k + 1) <= cell) & (cell < _at(tables, k + 2)))
            chosen, into = chosen + n_divisions + _AT_ONCE, into + n_words


@kernel
def _fill_union(tables, r, scratch, bits):
    """OR the rows chosen for row `r`, _AT_ONCE at a time, into its bits."""
    n_words, rows = tables[_N_WORDS], tables[_ROWS]
    first = scratch[_CHOSEN] + r * ((tables[_THRESHOLDS] - tables[_DIVISIONS]) // _DIVISION + _AT_ONCE)
    for i in range(first, first + tables[_N_WITH_ROWS], _AT_ONCE):
        a, b, c, d = rows + _at(scratch, i), rows + _at(scratch, i + 1), rows + _at(scratch, i + 2), rows + _at(scratch, i + 3)
        e, f, g, h = rows + _at(scratch, i + 4), rows + _at(scratch, i + 5), rows + _at(scratch, i + 6), rows + _at(scratch, i + 7)
        for w in range(n_words):
            scratch[np.uint64(bits + w)] |= (_at(tables, a + w) | _at(tables, b + w) | _at(tables, c + w) | _at(tables, d + w) | _at(tables, e + w)
                                             | _at(tables, f + w) | _at(tables, g + w) | _at(tables, h + w))  # fmt: skip


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
