"""Clauses laid out as bits: for any value of a slot, which targets it contradicts and which clauses it satisfies.

A bit stands for each target ("some condition fails"), behind them one for each clause of several slots ("some condition holds"), then one for each
gate. The clauses of a target stand at the target's own place in further words, its folds, so that whole words of clauses close words of targets.

The values of a slot are cut into cells by the ends of its conditions' regions. A mark is a bit that is set for a run of cells. Runs of cells form
blocks, and a block owns a row of bits: those that all its cells set. What only some of its cells set stands in the block's list of entries. Where
many rules share a constant each cell is a block and there are no entries; where every rule has constants of its own a block holds a few entries, more
of them where there are more rules, so that rows stay near the processor. Slots of at most FEW_MARKS marks have no rows at all.

The tables are one array of int64 behind a head that says where each begins, because every array costs a kernel's caller 0.1 us.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.bitset import n_words
from nba_engine.rules.conditions import END, IS_NAN, IS_NULL, LEAST, NO_VALUE, Condition, Region, outside
from nba_engine.rules.slots import Slots
from nba_engine.schema import DOUBLE

Ints = npt.NDArray[np.int64]
Clause = tuple[Condition, ...]
"""Conditions of which one must hold, by slot; slots below zero are gates (-1 - gate). Empty: never."""
Clauses = tuple[Clause, ...]

ENTRIES_PER_BLOCK = 2
"""So many entries a block has where all rows stay near the processor."""
NEAR_BYTES = 1 << 20
"""Rows beyond this make blocks larger, up to the entries that cost what reading a row costs."""
ROWS_BYTES_MAX = 1 << 28
"""Rows beyond this make blocks larger whatever their entries cost."""
FEW_MARKS = 2
COUNTED_MAX = 16
"""So few thresholds are counted one by one; more are found by buckets of equal width."""
NO_VALUE_CELL, NULL_CELL, NAN_CELL, FIRST_CELL = 0, 1, 2, 3
ANY_OF, ALL_OF, NEEDED = 0, 1, 2
HEAD = ("n_slots", "n_words", "n_target_words", "n_folds",
        "program", "divisions", "thresholds", "buckets", "blocks", "starts", "entries", "folds", "demands", "references", "rows", "end")  # fmt: skip
"""The numbers and the beginnings of tables that stand in front of them."""



class _Marks:
    """The marks of one slot, column by column: the bit, and the values from `lows` to before `highs` for which it is set."""

    __slots__ = ("highs", "lows", "places")

    def __init__(self) -> None:
        self.places, self.lows, self.highs = list[int](), list[int](), list[int]()


class _Layout:
    """Gives every clause and gate its bit and notes where each bit is set."""

    def __init__(self, targets: Sequence[Clauses], gates: Sequence[Clauses]) -> None:
        self.n_target_words = max(n_words(len(targets)), 1)  # a catalog without rules has rows too
        self.marks: dict[int, _Marks] = defaultdict(_Marks)
        self.demands: list[tuple[int, int, list[int]]] = []
        self._places: dict[Clause, int] = {}
        self._gates: list[int] = []
        n_folds = _n_folds(targets, self.n_target_words)
        self.folds = np.repeat(np.arange(self.n_target_words), n_folds)
        first_fold = self.n_target_words + np.cumsum(n_folds) - n_folds
        self.start = np.zeros(self.n_target_words + len(self.folds), np.uint64)
        self.start[self.n_target_words :] = ~np.uint64(0)
        self._next = 64 * len(self.start)
        for gate in gates:
            parts = [self._part(clause) for clause in gate]
            self._gates.append(self._demanded(ALL_OF, parts))
        for t, clauses in enumerate(targets):
            own, needed = 64 * int(first_fold[t >> 6]) + (t & 63), list[int]()
            for clause in clauses:
                if len(clause) == 0:
                    self.start[t >> 6] |= np.uint64(1 << (t & 63))
                elif clause[0][0] < 0:
                    needed.append(self._part(clause))
                elif len(clause) == 1:
                    self._mark(clause[0][0], t, outside(clause[0][1]))
                else:
                    self.start[own >> 6] &= ~np.uint64(1 << (own & 63))
                    self._mark_clause(clause, own)
                    own += 64
            if needed:
                self.demands.append((NEEDED, t, needed))
        self.n_words = n_words(self._next)

    def _mark(self, slot: int, place: int, region: Region) -> None:
        marks = self.marks[slot]
        marks.lows += region[::2]
        marks.highs += region[1::2]
        marks.places += [place] * (len(region) // 2)

    def _mark_clause(self, clause: Iterable[Condition], place: int) -> None:
        for slot, region in clause:
            self._mark(slot, place, region)

    def _part(self, clause: Clause) -> int:
        """The bit of a clause outside the folds; gates, whose slots are below zero, stand first in it."""
        if clause not in self._places:
            gates = [self._gates[-1 - slot] for slot, _ in clause if slot < 0]
            rest = clause[len(gates) :]
            if not gates:
                self._places[clause] = place = self._new()
                self._mark_clause(rest, place)
            else:
                parts = [*gates, *([self._part(rest)] if rest else [])]
                self._places[clause] = parts[0] if len(parts) == 1 else self._demanded(ANY_OF, parts)
        return self._places[clause]

    def _demanded(self, kind: int, parts: list[int]) -> int:
        self.demands.append((kind, self._new(), parts))
        return self._next - 1

    def _new(self) -> int:
        self._next += 1
        return self._next - 1


class _Cells:
    """The cells of all slots, slot behind slot, first those that have rows, and the marks as runs of cells."""

    def __init__(self, marks: Mapping[int, _Marks], types: Sequence[Type | None]) -> None:
        slots = sorted(marks, key=lambda slot: (len(marks[slot].places) <= FEW_MARKS, slot))
        divisions, buckets, thresholds = list[tuple[int, ...]](), list[int](), list[int]()
        place, first, stop = list[int](), list[int](), list[int]()
        n_cells = self.n_with_rows = 0
        for slot in slots:
            own = marks[slot]
            cuts = sorted({*own.lows, *own.highs} - {NO_VALUE, IS_NULL, IS_NAN, LEAST, END})
            cell = {NO_VALUE: n_cells + NO_VALUE_CELL, IS_NULL: n_cells + NULL_CELL, IS_NAN: n_cells + NAN_CELL, LEAST: n_cells + FIRST_CELL}
            cell |= {bound: n_cells + FIRST_CELL + 1 + i for i, bound in enumerate([*cuts, END])}
            place += own.places
            first += [cell[low] for low in own.lows]
            stop += [cell[high] for high in own.highs]
            found, origin, shift = _buckets(cuts, len(thresholds)) if len(cuts) > COUNTED_MAX else ([], 0, 0)
            divisions.append((slot, int(types[slot] == DOUBLE), n_cells, len(thresholds), len(thresholds) + len(cuts), len(found) - 1 if found else 0,
                              origin, shift, len(buckets)))
            thresholds += cuts
            buckets += found
            n_cells = cell[END]
            self.n_with_rows = n_cells if len(own.places) > FEW_MARKS else self.n_with_rows
        self.divisions = np.array(divisions, np.int64).reshape(-1, 9)
        self.thresholds, self.buckets = np.array(thresholds, np.int64), np.array(buckets, np.int64)
        self.place, self.first, self.stop = (np.array(column, np.int64) for column in (place, first, stop))
        self.n = n_cells

    def blocks(self, n_words: int) -> tuple[Ints, int]:
        """int[n]: the block of each cell, from 1 on, and how many of them, block 0 included, have rows of `n_words`."""
        begins = np.zeros(self.n + 1, bool)
        begins[self.divisions[:, 2]] = True
        changes = np.bincount(self.first, minlength=self.n + 1) + np.bincount(self.stop, minlength=self.n + 1)
        changes[begins] = changes[self.n_with_rows :] = 0
        so_far = np.cumsum(changes)[:-1]
        n_entries = ENTRIES_PER_BLOCK
        while True:
            block = np.cumsum(begins[:-1] | (np.diff(so_far // n_entries, prepend=0) != 0))
            n_rows = 1 + (int(block[self.n_with_rows - 1]) if self.n_with_rows else 0)
            n_bytes = 8 * n_rows * n_words
            if n_bytes <= NEAR_BYTES or (n_bytes <= ROWS_BYTES_MAX and 4 * n_entries > n_words) or n_entries > len(self.place):
                return block, n_rows
            n_entries *= 2


def _buckets(cuts: Sequence[int], before: int) -> tuple[list[int], int, int]:
    """About two buckets of equal width for each of the sorted cuts: how many cuts lie before each bucket and the last one's end (`before` added),
    the first cut, and the width as a power of two."""
    origin = cuts[0]
    shift = max((cuts[-1] - origin).bit_length() - (2 * len(cuts)).bit_length() + 1, 0)
    bucket = [(cut - origin) >> shift for cut in cuts]
    return [before + int(n) for n in np.searchsorted(bucket, np.arange(bucket[-1] + 1))] + [before + len(cuts)], origin, shift


def tables_of(targets: Sequence[Clauses], gates: Sequence[Clauses], slots: Slots) -> tuple[Ints, int, int]:
    """The tables, the words of targets and those of all bits."""
    layout = _Layout(targets, gates)
    cells = _Cells(layout.marks, slots.types)
    block, n_rows = cells.blocks(layout.n_words)
    n_blocks = 1 + (int(block[-1]) if len(block) else 0)
    starts, entries, on, off = _divided(cells, block, n_blocks)
    references = [part for _, _, parts in layout.demands for part in parts]
    ends = np.cumsum([0, *(len(parts) for _, _, parts in layout.demands)])
    demands = [(kind, bit, *ends[i : i + 2]) for i, (kind, bit, _) in enumerate(layout.demands)]
    parts = [np.array(slots.instructions, np.int64).ravel(), cells.divisions.ravel(), cells.thresholds,
             *map(_packed, (cells.buckets, block, starts, entries, layout.folds, np.array(demands).ravel(), np.array(references)))]  # fmt: skip
    begins = len(HEAD) + np.cumsum([0, *map(len, parts), n_rows * layout.n_words])
    tables = np.zeros(begins[-1], np.int64)
    tables[: len(HEAD)] = [slots.n_slots, layout.n_words, layout.n_target_words, len(layout.folds), *begins]
    for begin, part in zip(begins, parts, strict=False):
        tables[begin : begin + len(part)] = part
    rows = tables[begins[-2] :].view(np.uint64).reshape(n_rows, layout.n_words)
    _fill_rows(rows, cells.place, on, off)
    rows[0, : len(layout.start)] = layout.start
    return tables, layout.n_target_words, layout.n_words


def _divided(cells: _Cells, block: Ints, n_blocks: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Marks as rows and entries: where each block's entries start, the entries int[k, 4] (word, bit, cells from and to) one behind the other, and
    for every mark the rows `on` to before `off` that have its bit."""
    begins = np.searchsorted(block, np.arange(n_blocks + 1))  # the first cell of each block
    low, high = block[cells.first], block[cells.stop - 1]
    cut_low, cut_high = cells.first > begins[low], cells.stop < begins[high + 1]
    without_row = cells.first >= cells.n_with_rows
    in_low, in_high = np.flatnonzero(without_row | cut_low | (cut_high & (low == high))), np.flatnonzero(~without_row & cut_high & (low < high))
    owner = np.concatenate([low[in_low], high[in_high]])
    mark = np.concatenate([in_low, in_high])[np.argsort(owner, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n_blocks))])
    entries = np.stack([cells.place[mark] >> 6, cells.place[mark] & 63, cells.first[mark], cells.stop[mark]], axis=1)
    on, off = low + cut_low, high + ~cut_high
    off[without_row | (on > off)] = on[without_row | (on > off)]
    return starts, entries.ravel(), on, off


def _fill_rows(rows: npt.NDArray[np.uint64], place: Ints, on: Ints, off: Ints) -> None:
    """Set bit `place` in the rows from `on` to before `off`: turned where they begin and where they end, then carried from row to row."""
    bits = np.uint64(1) << (place & 63).astype(np.uint64)
    for turn in (on, off):
        inside = (on < off) & (turn < len(rows))
        np.bitwise_xor.at(rows, (turn[inside], place[inside] >> 6), bits[inside])
    np.bitwise_xor.accumulate(rows, axis=0, out=rows)


def _n_folds(targets: Sequence[Clauses], n_target_words: int) -> Ints:
    """int[n_target_words]: the most clauses of several slots that a target of each word has."""
    n_folds = np.zeros(n_target_words, np.int64)
    for t, clauses in enumerate(targets):
        own = sum(len(clause) > 1 and clause[0][0] >= 0 for clause in clauses)
        n_folds[t >> 6] = max(n_folds[t >> 6], own)
    return n_folds


def _packed(values: Ints) -> Ints:
    """int32 two by two in int64."""
    return np.append(values, np.zeros(len(values) % 2, np.int64)).astype(np.int32).view(np.int64)


def n_of(tables: Ints, name: str) -> int:
    """How many int64 a table has."""
    i = HEAD.index(name)
    return int(tables[i + 1] - tables[i])
