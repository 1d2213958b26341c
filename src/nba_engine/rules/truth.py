"""Which targets of a rule index are definitely true for encoded rows: the only code of this room on the decision path.

Cost: two kernel calls for any number of rows; `make bench` prints what 1,000 rules of 5 conditions take ("rules alone").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.bitset import clear_bit, has_bit, set_bit
from nba_engine.numerics.kernel import kernel
from nba_engine.rules import plain
from nba_engine.rules.conditions import FIRST_CELL, IS_NAN, IS_NULL, NO_VALUE
from nba_engine.rules.index import ANY_OF, NEEDED, RuleIndex
from nba_engine.rules.program import _fill_slots
from nba_engine.rules.slots import number_of

_FIRST_CELL, _IS_NAN, _IS_NULL, _NO_VALUE = FIRST_CELL, IS_NAN, IS_NULL, NO_VALUE
_ANY_OF, _NEEDED = ANY_OF, NEEDED
_STATE_NONE = 2
_COUNTED_MAX = 16


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

    def __init__(self, index: RuleIndex, n_rows: int = 1) -> None:
        self._index = index
        chosen = np.zeros(len(index.divisions), np.int32)
        self._tables = (index.divisions, index.cuts, index.rows, index.demands, index.references, index.n_target_words, chosen)
        self.bits = np.zeros((n_rows, index.n_words), np.uint64)
        self.values = np.tile(index.initial_values, (n_rows, 1))
        self.states = np.zeros(self.values.shape, np.uint8)

    def run(self, rows: Rows, variables: Callable[[int], Mapping[str, Any]]) -> None:
        """Evaluate encoded rows. `variables` gives the facts of a row as the plain evaluator reads them; it is called only where the index
        has host slots."""
        if self._index.hosts:
            for r in range(len(rows.values)):
                self._answer_hosts(r, variables(r))
        _fill_slots(self._index.program, rows.values, rows.states, rows.item_codes, rows.item_offsets, self.values, self.states)
        _fill_truth(len(rows.values), self.values, self.states, *self._tables, self.bits)

    def _answer_hosts(self, row: int, variables: Mapping[str, Any]) -> None:
        for host in self._index.hosts:
            number = number_of(plain.cel_value(host.node, variables, nullable=True))
            self.states[row, host.slot] = 0 if number is not None else _STATE_NONE
            self.values[row, host.slot] = number or 0


@kernel
def _fill_truth(n_rows, values, states, divisions, cuts, rows, demands, references, n_target_words, chosen, bits):
    for r in range(n_rows):
        _fill_row(values[r], states[r], divisions, cuts, rows, demands, references, n_target_words, chosen, bits[r])


@kernel
def _fill_row(values, states, divisions, cuts, rows, demands, references, n_target_words, chosen, bits):
    """AND the row of every slot's cell over the targets' words, OR them over the clauses' words, then settle the demands in order."""
    _fill_chosen(values, states, divisions, cuts, chosen)
    bits[:] = 0
    for w in range(rows.shape[1]):
        bits[w] = rows[0, w]
    for i in range(chosen.shape[0]):
        row = chosen[i]
        for w in range(n_target_words):
            bits[w] &= rows[row, w]
        for w in range(n_target_words, rows.shape[1]):
            bits[w] |= rows[row, w]
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


@kernel
def _fill_chosen(values, states, divisions, cuts, chosen):
    """For every divided slot the row of its cell: past FIRST_CELL, 2 x the number of cuts below the value, plus 1 where the next one equals it.

    Long lists of cuts are halved until few are left; those are counted without branches.
    """
    doubles = values.view(np.float64)
    for i in range(divisions.shape[0]):
        slot, row, low, high = divisions[i, 0], np.int64(divisions[i, 2]), np.int64(divisions[i, 3]), np.int64(divisions[i, 4])
        if states[slot] != 0:
            chosen[i] = row + (_IS_NULL if states[slot] == 1 else _NO_VALUE)
            continue
        key = values[slot]
        if divisions[i, 1] != 0:
            if math.isnan(doubles[slot]):
                chosen[i] = row + _IS_NAN
                continue
            key = np.float64(doubles[slot] + 0.0).view(np.int64)  # see conditions.ordered
            key ^= (key >> 63) & np.int64(0x7FFFFFFFFFFFFFFF)
        start, stop = low, high
        while high - low > _COUNTED_MAX:
            middle = (low + high) >> 1
            if cuts[middle] < key:
                low = middle + 1
            else:
                high = middle
        n_below = low - start
        for k in range(low, high):
            n_below += np.int64(cuts[k] < key)
        hit = start + n_below < stop and cuts[start + n_below] == key
        chosen[i] = row + _FIRST_CELL + 2 * n_below + np.int64(hit)
