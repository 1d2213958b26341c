"""Which targets of a rule index are definitely true for encoded rows: the only code of this room on the decision path.

Cost: one kernel call for any number of rows; `make bench` prints what 1,000 rules of 5 conditions take ("rules alone").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.rules import plain
from nba_engine.rules.index import RuleIndex
from nba_engine.rules.program import _fill_computed, _fill_members
from nba_engine.rules.slots import number_of
from nba_engine.rules.tables import ANY_OF, DIVISION, FIRST_CELL, HEAD, NAN_CELL, NEEDED, NO_VALUE_CELL, NULL_CELL, n_of

_FIRST_CELL, _NAN_CELL, _NULL_CELL, _NO_VALUE_CELL = FIRST_CELL, NAN_CELL, NULL_CELL, NO_VALUE_CELL
_DIVISION = len(DIVISION)
(_N_SLOTS, _N_WORDS, _N_TARGET_WORDS, _N_FOLDS, _MEMBERS, _PROGRAM, _DIVISIONS, _THRESHOLDS, _BUCKETS, _CELLS, _PLACES, _TESTED, _START, _FOLDS,
 _DEMANDS, _REFERENCES, _ROWS) = range(len(HEAD) - 1)  # fmt: skip
_ANY_OF, _NEEDED = ANY_OF, NEEDED
_STATE_NONE = 2
_AT_ONCE = 8
_STRETCH = 1024
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
        ends = np.cumsum([1, n_rows * n_slots, n_rows * n_slots, n_rows * index.n_words, n_divisions + _AT_ONCE])
        self._scratch = scratch = np.zeros(ends[-1], np.int64)
        scratch[0] = n_rows
        self.values = scratch[1 : ends[1]].reshape(n_rows, n_slots)
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
    """Evaluate every row. `tables` as tables.py lays them out, `scratch` as Evaluation does."""
    for r in range(row_values.shape[0]):
        _fill_row(r, tables, row_values, row_states, scratch)


@kernel
def _fill_truth_and_members(tables, row_values, row_states, item_codes, item_offsets, scratch):
    """The same where rules ask what is in lists: two arrays more, which cost a single row 0.25 us."""
    n_slots = tables[_N_SLOTS]
    members = tables[tables[_MEMBERS] : tables[_MEMBERS + 1]]
    for r in range(row_values.shape[0]):
        states = scratch[1 + (scratch[0] + r) * n_slots : 1 + (scratch[0] + r + 1) * n_slots]
        _fill_members(members, row_states[r], item_codes, item_offsets[r], scratch[1 + r * n_slots : 1 + (r + 1) * n_slots], states)
        _fill_row(r, tables, row_values, row_states, scratch)


@kernel
def _fill_row(r, tables, row_values, row_states, scratch):
    """Evaluate row `r`. `scratch`: its capacity in rows; their values, states and bits; the chosen rows of tables.

    What is read number by number is found by where it begins: a view of an array costs two atomic counts, some 10 ns."""
    n_slots, n_words, n_target_words = tables[_N_SLOTS], tables[_N_WORDS], tables[_N_TARGET_WORDS]
    first_states = 1 + scratch[0] * n_slots
    first_bits = first_states + scratch[0] * n_slots
    values, states = scratch[1 + r * n_slots : 1 + (r + 1) * n_slots], scratch[first_states + r * n_slots : first_states + (r + 1) * n_slots]
    bits, chosen = scratch[first_bits + r * n_words : first_bits + (r + 1) * n_words], scratch[first_bits + scratch[0] * n_words :]
    for i in range(row_values.shape[1]):
        values[i] = row_values[r, i]
    for i in range(row_values.shape[1]):
        states[i] = row_states[r, i]
    _fill_computed(tables[tables[_PROGRAM] : tables[_PROGRAM + 1]], values, states)
    for w in range(n_words):
        bits[w] = _at(tables, tables[_START] + w)
    _fill_cells(tables, values, states, chosen)
    _fill_union(tables[tables[_ROWS] :], chosen, _fill_places(tables, chosen, bits), bits)
    for w in range(n_target_words):
        bits[w] = ~bits[w]
    for k in range(tables[_N_FOLDS]):
        bits[np.uint64(_at(tables, tables[_FOLDS] + k))] &= bits[n_target_words + k]
    _fill_demanded(tables, bits)


@kernel
def _fill_cells(tables, values, states, cells):
    """For every divided slot the cell of its value: behind FIRST_CELL, how many of the slot's sorted thresholds are at most the value.

    How often the search turns depends on the slot alone, and choices are made without branches: what a processor cannot foresee costs it 5 ns."""
    first = tables[_DIVISIONS]
    for i in range((tables[_THRESHOLDS] - first) // _DIVISION):
        d = first + _DIVISION * i
        key, state, first_cell = _at(values, _at(tables, d)), _at(states, _at(tables, d)), _at(tables, d + 2)
        if _at(tables, d + 1) != 0:
            number = _as_double(key)
            key = key if key != _NEGATIVE_ZERO else 0  # see conditions.ordered
            key ^= (key >> 63) & _ALL_BUT_SIGN
            cell = first_cell + _NAN_CELL if number != number else _found(tables, d, key, number)
        else:
            cell = _found(tables, d, key, np.float64(key))
        cells[i] = cell if state == 0 else first_cell + (_NULL_CELL if state == 1 else _NO_VALUE_CELL)


@scalar
def _found(tables, d, key, number):
    """The cell of a value by its slot's buckets and thresholds."""
    place = (number - _as_double(_at(tables, d + 6))) * _as_double(_at(tables, d + 7))
    place = place if place > 0.0 else 0.0
    last = _as_double(_at(tables, d + 5))
    place = place if place < last else last
    low = _at(tables, tables[_BUCKETS] + _at(tables, d + 4) + np.int64(place))
    n = _at(tables, d + 3)
    while n > 0:
        half = (n + 1) >> 1
        low += half & -np.int64(_at(tables, tables[_THRESHOLDS] + low + half - 1) <= key)
        n -= half
    return low + _at(tables, d + 8)


@scalar
def _at(numbers, place):
    """What stands at a place that is not negative: places that may be cost a comparison each time."""
    return numbers[np.uint64(place)]


@scalar
def _as_double(bits):
    return np.int64(bits).view(np.float64)


@kernel
def _fill_places(tables, chosen, bits):
    """What the cells in `chosen` mark one by one into `bits`; replace them by those rows that there are, with the empty row up to a whole number
    of _AT_ONCE, and return how many."""
    n_chosen = 0
    cells, places, tested = tables[_CELLS], tables[_PLACES], tables[_TESTED]
    for i in range((tables[_THRESHOLDS] - tables[_DIVISIONS]) // _DIVISION):
        cell = chosen[i]
        low, high = _at(tables, cells + 2 * cell), _at(tables, cells + 2 * cell + 1)
        for k in range(places + (low >> 32), places + (high & _LOW_HALF)):
            _set_bit(bits, _at(tables, k), 1)
        t = tested + (high >> 32)
        for k in range(t + 1, t + 1 + 3 * _at(tables, t), 3):
            _set_bit(bits, _at(tables, k), np.int64(_at(tables, k + 1) <= cell) & np.int64(cell < _at(tables, k + 2)))
        row = low & _LOW_HALF
        chosen[n_chosen] = row * tables[_N_WORDS]
        n_chosen += np.int64(row != 0)
    while n_chosen % _AT_ONCE != 0:
        chosen[n_chosen] = 0
        n_chosen += 1
    return n_chosen


@kernel
def _fill_union(rows, chosen, n_chosen, bits):
    """OR the chosen rows, _AT_ONCE at a time, into `bits`, over stretches that stay near the processor.

    All parts are counted from 0 and are equally long: otherwise the compiler joins one word at a time, which takes twice as long."""
    for start in range(0, bits.shape[0], _STRETCH):
        n = min(bits.shape[0] - start, _STRETCH)
        into = _part(bits, start, n)
        for i in range(0, n_chosen, _AT_ONCE):
            a, b, c, d = (_part(rows, chosen[i] + start, n), _part(rows, chosen[i + 1] + start, n), _part(rows, chosen[i + 2] + start, n),
                          _part(rows, chosen[i + 3] + start, n))  # fmt: skip
            e, f, g, h = (_part(rows, chosen[i + 4] + start, n), _part(rows, chosen[i + 5] + start, n), _part(rows, chosen[i + 6] + start, n),
                          _part(rows, chosen[i + 7] + start, n))  # fmt: skip
            for w in range(n):
                into[w] |= a[w] | b[w] | c[w] | d[w] | e[w] | f[w] | g[w] | h[w]


@scalar
def _part(rows, begin, n):
    return rows[begin : begin + n]


@kernel
def _fill_demanded(tables, bits):
    """Settle gates and what targets need of them, in order."""
    for i in range(tables[_DEMANDS], tables[_DEMANDS + 1], 4):
        kind, number = tables[i], tables[i + 1]
        if kind != _NEEDED or _has_bit(bits, number):
            holds = kind != _ANY_OF
            for k in range(tables[_REFERENCES] + tables[i + 2], tables[_REFERENCES] + tables[i + 3]):
                if _has_bit(bits, tables[k]) == (kind == _ANY_OF):
                    holds = not holds
                    break
            if kind == _NEEDED and not holds:
                bits[number >> 6] &= ~(1 << (number & 63))
            elif kind != _NEEDED and holds:
                _set_bit(bits, number, 1)


@scalar
def _has_bit(bits, place):
    return (bits[place >> 6] >> (place & 63)) & 1 != 0


@scalar
def _set_bit(bits, place, truth):
    bits[np.uint64(place >> 6)] |= np.int64(truth) << (place & 63)
