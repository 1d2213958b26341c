"""Which targets of a rule index are definitely true for encoded rows: the only code of this room on the decision path.

Cost: one kernel call for any number of rows; `make bench` prints what 1,000 rules of 5 conditions take ("rules alone").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.bitset import clear_bit, has_bit, set_bit
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.rules import plain
from nba_engine.rules.index import RuleIndex
from nba_engine.rules.program import _fill_computed
from nba_engine.rules.slots import number_of
from nba_engine.rules.tables import ANY_OF, FIRST_CELL, HEAD, NAN_CELL, NEEDED, NO_VALUE_CELL, NULL_CELL, n_of

_FIRST_CELL, _NAN_CELL, _NULL_CELL, _NO_VALUE_CELL = FIRST_CELL, NAN_CELL, NULL_CELL, NO_VALUE_CELL
_PROGRAM, _DIVISIONS, _THRESHOLDS, _BUCKETS, _BLOCKS, _STARTS, _ENTRIES, _FOLDS, _DEMANDS, _REFERENCES, _ROWS = range(4, 15)
_ANY_OF, _NEEDED = ANY_OF, NEEDED
_STATE_NONE = 2
_COUNTED_MAX = 4
_STRETCH = 1024


class Rows(Protocol):
    """Encoded rows, as much as rules read of them: int64[n, n_columns], uint8[n, n_columns], int32[n_items], int32[n, n_lists + 1]."""

    values: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]
    item_codes: npt.NDArray[np.int32]
    item_offsets: npt.NDArray[np.int32]


class Evaluation:
    """Answers one rule index for up to `n_rows` rows at once, in arrays of its own: one thread at a time, results hold until the next run.

    bits uint64[n_rows, index.n_words]: bit t is target t (clauses and gates stand behind the targets); values int64[n_rows, n_slots] and
    states uint8[n_rows, n_slots]: every slot, 0 a value.
    """

    __slots__ = ("_hosts", "_scratch", "_tables", "bits", "states", "values")

    def __init__(self, index: RuleIndex, n_rows: int = 1) -> None:
        self._hosts, self._tables = index.hosts, index.tables
        n_slots, n_divisions = len(index.initial_values), n_of(index.tables, "divisions") // 9
        ends = np.cumsum([1, n_rows * n_slots, n_rows * index.n_words, n_divisions, -(-n_rows * n_slots // 8)])
        self._scratch = scratch = np.zeros(ends[-1], np.int64)
        scratch[0] = n_rows
        self.values = scratch[1 : ends[1]].reshape(n_rows, n_slots)
        self.values[:] = index.initial_values
        self.bits = scratch[ends[1] : ends[2]].view(np.uint64).reshape(n_rows, index.n_words)
        self.states = scratch[ends[3] :].view(np.uint8)[: n_rows * n_slots].reshape(n_rows, n_slots)

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
        _fill_truth(self._tables, rows.values, rows.states, rows.item_codes, rows.item_offsets, self._scratch)

    def _answer_hosts(self, row: int, variables: Mapping[str, Any]) -> None:
        for host in self._hosts:
            number = number_of(plain.cel_value(host.node, variables, nullable=True))
            self.states[row, host.slot] = 0 if number is not None else _STATE_NONE
            self.values[row, host.slot] = number or 0


@kernel
def _fill_truth(tables, row_values, row_states, item_codes, item_offsets, scratch):
    """Evaluate every row. `tables` as tables.py lays them out, `scratch` as Evaluation does: capacity, values, bits, chosen blocks, states.

    What is read number by number is found by where it begins: a view of an array costs two atomic counts, some 10 ns."""
    n_slots, n_words, n_target_words = tables[0], tables[1], tables[2]
    small, rows = tables.view(np.int32), _table(tables, _ROWS).view(np.uint64).reshape(-1, n_words)
    first_bits = 1 + scratch[0] * n_slots
    first_chosen = first_bits + scratch[0] * n_words
    n_divisions = (tables[_THRESHOLDS] - tables[_DIVISIONS]) // 9
    chosen, all_states = scratch[first_chosen:], scratch[first_chosen + n_divisions :].view(np.uint8)
    for r in range(row_values.shape[0]):
        values, states = scratch[1 + r * n_slots : 1 + (r + 1) * n_slots], all_states[r * n_slots : (r + 1) * n_slots]
        bits = scratch[first_bits + r * n_words : first_bits + (r + 1) * n_words].view(np.uint64)
        for i in range(row_values.shape[1]):
            values[i] = row_values[r, i]
        for i in range(row_values.shape[1]):
            states[i] = row_states[r, i]
        if tables[_PROGRAM] < tables[_PROGRAM + 1]:
            _fill_computed(_table(tables, _PROGRAM).reshape(-1, 5), item_codes, item_offsets[r], values, states)
        for w in range(n_words):
            bits[w] = rows[0, w]
        _fill_cells(tables, small, values, states, chosen)
        n_chosen = _fill_entries(tables, small, rows.shape[0], chosen, n_divisions, bits)
        _fill_union(rows, chosen, n_chosen, bits)
        for w in range(n_target_words):
            bits[w] = ~bits[w]
        for k in range(tables[3]):
            bits[small[2 * tables[_FOLDS] + k]] &= bits[n_target_words + k]
        if tables[_DEMANDS] < tables[_DEMANDS + 1]:
            _fill_demanded(_table(tables, _DEMANDS).view(np.int32).reshape(-1, 4), _table(tables, _REFERENCES).view(np.int32), bits)


@scalar
def _table(tables, number):
    return tables[tables[number] : tables[number + 1]]


@kernel
def _fill_cells(tables, small, values, states, cells):
    """For every divided slot the cell of its value: behind FIRST_CELL, how many of the slot's sorted thresholds are at most the value."""
    first, thresholds, buckets = tables[_DIVISIONS], tables[_THRESHOLDS], 2 * tables[_BUCKETS]
    for i in range((thresholds - first) // 9):
        d = first + 9 * i
        own = tables[d]
        cell, n_buckets = tables[d + 2], tables[d + 5]
        if states[own] != 0:
            cells[i] = cell + (_NULL_CELL if states[own] == 1 else _NO_VALUE_CELL)
            continue
        key = values[own]
        if tables[d + 1] != 0:
            double = _as_double(key)
            if math.isnan(double):
                cells[i] = cell + _NAN_CELL
                continue
            key = _as_int(double + 0.0)  # see conditions.ordered
            key ^= (key >> 63) & np.int64(0x7FFFFFFFFFFFFFFF)
        n = np.int64(0)
        if n_buckets == 0:
            for k in range(thresholds + tables[d + 3], thresholds + tables[d + 4]):
                n += np.int64(tables[k] <= key)
        elif key >= tables[d + 6]:
            place = (np.uint64(key) - np.uint64(tables[d + 6])) >> np.uint64(tables[d + 7])
            b = buckets + np.int64(min(place, np.uint64(n_buckets - 1))) + tables[d + 8]
            n = _n_at_most(key, tables, thresholds + small[b], thresholds + small[b + 1]) - thresholds - tables[d + 3]
        cells[i] = cell + _FIRST_CELL + n


@scalar
def _as_double(bits):
    return np.int64(bits).view(np.float64)


@scalar
def _as_int(double):
    return np.float64(double).view(np.int64)


@scalar
def _n_at_most(key, thresholds, low, high):
    """How many thresholds are at most `key`, given that those before `low` are and those from `high` are not."""
    while high - low > _COUNTED_MAX:
        middle = (low + high) >> 1
        if thresholds[middle] <= key:
            low = middle + 1
        else:
            high = middle
    while low < high and thresholds[low] <= key:
        low += 1
    return low


@kernel
def _fill_entries(tables, small, n_rows, chosen, n_cells, bits):
    """Replace the cells in `chosen` by those of their blocks that have rows, how many is returned; every block's entries into `bits`."""
    n_chosen = 0
    blocks, starts, entries = 2 * tables[_BLOCKS], 2 * tables[_STARTS], 2 * tables[_ENTRIES]
    for i in range(n_cells):
        cell = chosen[i]
        block = np.int64(small[blocks + cell])
        for k in range(entries + 4 * small[starts + block], entries + 4 * small[starts + block + 1], 4):
            inside = np.uint64(small[k + 2] <= cell) & np.uint64(cell < small[k + 3])
            bits[small[k]] |= inside << np.uint64(small[k + 1])
        chosen[n_chosen] = block
        n_chosen += np.int64(block < n_rows)
    return n_chosen


@kernel
def _fill_union(rows, chosen, n_chosen, bits):
    """OR the chosen rows into `bits`, eight at a time over stretches that stay near the processor."""
    for start in range(0, bits.shape[0], _STRETCH):
        stop, i = min(start + _STRETCH, bits.shape[0]), 0
        while i + 8 <= n_chosen:
            a, b, c, d = rows[chosen[i]], rows[chosen[i + 1]], rows[chosen[i + 2]], rows[chosen[i + 3]]
            e, f, g, h = rows[chosen[i + 4]], rows[chosen[i + 5]], rows[chosen[i + 6]], rows[chosen[i + 7]]
            for w in range(start, stop):
                bits[w] |= a[w] | b[w] | c[w] | d[w] | e[w] | f[w] | g[w] | h[w]
            i += 8
        while i < n_chosen:
            a = rows[chosen[i]]
            for w in range(start, stop):
                bits[w] |= a[w]
            i += 1


@kernel
def _fill_demanded(demands, references, bits):
    """Settle gates and what targets need of them, in order."""
    for i in range(demands.shape[0]):
        kind, number = demands[i, 0], demands[i, 1]
        if kind != _NEEDED or has_bit(bits, number):
            holds = kind != _ANY_OF
            for k in range(demands[i, 2], demands[i, 3]):
                if has_bit(bits, references[k]) == (kind == _ANY_OF):
                    holds = not holds
                    break
            if kind == _NEEDED and not holds:
                clear_bit(bits, number)
            elif kind != _NEEDED and holds:
                set_bit(bits, number)
