"""Clauses laid out as bits: for any value of a slot, which targets it contradicts and which clauses it satisfies.

A bit stands for each target ("some condition fails"), behind them one for each clause of several slots ("some condition holds"), then one for each
gate. The clauses of a target stand at the target's own place in further words, its folds, so that whole words of clauses close words of targets.

The values of a slot are cut into cells by the ends of its conditions' regions. A mark is a bit that is set for a run of cells. Runs of cells form
blocks, and a block owns a row of bits: those that all its cells set. Marks that end or begin within a block stand in its list of places, first
those that end, by their ends, then those that begin, by their beginnings: what a cell sets besides the row is one stretch of that list. Marks that
do both within one block are tested one by one. Where many rules share a constant each cell is a block and its lists are empty; where every rule has
constants of its own a block holds a few places, more of them where there are more rules, so that rows stay near the processor. Slots with so few
marks that setting them one by one is cheaper than reading a row have no rows at all.

The tables are one array of int64 behind a head that says where each begins, because every array costs a kernel's caller 0.1 us.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.bitset import n_words
from nba_engine.rules.conditions import END, IS_NAN, IS_NULL, LEAST, NO_VALUE, Condition, Region, outside
from nba_engine.rules.lines import LINE_WORDS
from nba_engine.rules.program import OPERATIONS
from nba_engine.rules.slots import Slots
from nba_engine.schema import DOUBLE

Ints = npt.NDArray[np.int64]
_MEMBER = OPERATIONS["member"]
_NONE = np.zeros(0, np.int64)
_ALL_BUT_SIGN, _LOW_HALF = np.int64(2**63 - 1), 2**32 - 1
Clause = tuple[Condition, ...]
"""Conditions of which one must hold, by slot; slots below zero are gates (-1 - gate). Empty: never."""
Clauses = tuple[Clause, ...]

PLACES_PER_BLOCK = 1
"""So many marks end or begin within a block where all rows stay near the processor."""
NEAR_BYTES = 1 << 20
"""Rows beyond this make blocks larger, up to the places that cost what reading a row costs."""
ROWS_BYTES_MAX = 1 << 28
"""Rows beyond this make blocks larger whatever their places cost."""
MARKS_PER_WORD, MARKS_PER_LOOP = 0.3, 12
"""So many marks set one by one take as long as reading a word of a row, and as a loop whose end the processor does not foresee. Slots with fewer
marks than reading a row is worth have no rows; a mark that is tested counts twice."""
COUNTED = LINE_WORDS
"""So many thresholds are compared with a value at once; as many that are above all values stand behind those of each slot."""
NO_VALUE_CELL, NULL_CELL, NAN_CELL, FIRST_CELL = 0, 1, 2, 3
ANY_OF, ALL_OF, NEEDED = 0, 1, 2
MANY = 2
DIVISION = ("slot", "is_double", "none", "bucket", "last_bucket", "origin", "scale", "n_searched", "first_counted", "n_marks")
"""What a division says of a slot, each as a column of its own. `none` less a state is the cell of that state. Values in the same bucket have the
same `n_searched` thresholds to compare with, from that on which stands at `bucket + (value - origin) * scale`, at most `last_bucket` further (these
three are doubles by their bits). The cell of a value is `first_counted` + the first threshold that is not below it; a cut is the value above its
threshold. `n_marks`: the most that a cell of the slot marks besides its row, 0, 1 or MANY. A single mark stands in the cell's record."""
HEAD = ("n_slots", "n_words", "n_target_words", "n_folds", "n_with_rows", "n_divisions", "n_unmarked", "members", "program", "divisions",
        "thresholds", "buckets", "cells", "places", "tested", "start", "folds", "demands", "references", "rows", "end")  # fmt: skip
"""The numbers and the beginnings of tables that stand in front of them. The first `n_with_rows` divisions are of slots with rows, the first
`n_unmarked` of them of slots without marks."""


class _Marks:
    """The marks of one slot, column by column: the bit, and the values from `lows` to before `highs` for which it is set."""

    __slots__ = ("highs", "lows", "places")

    def __init__(self) -> None:
        self.places, self.lows, self.highs = list[int](), list[int](), list[int]()

    def cost(self) -> int:
        """About how many marks are touched where the slot has no rows: those that begin and end among its values are tested."""
        return len(self.places) + sum(low > LEAST and high < END for low, high in zip(self.lows, self.highs, strict=True))

    def parted(self) -> _Marks:
        """The same marks, none of them both where there is no value and where there is one."""
        found = _Marks()
        for place, low, high in zip(self.places, self.lows, self.highs, strict=True):
            bounds = (low, LEAST, high) if low < LEAST < high else (low, high)
            found.places += [place] * (len(bounds) - 1)
            found.lows += bounds[:-1]
            found.highs += bounds[1:]
        return found


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
        self.n_words = -(-n_words(self._next) // LINE_WORDS) * LINE_WORDS

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

    def __init__(self, layout: _Layout, types: Sequence[Type | None]) -> None:
        marks = layout.marks
        few = {slot for slot, own in marks.items() if own.cost() + MARKS_PER_LOOP <= MARKS_PER_WORD * layout.n_words}
        slots = sorted(marks, key=lambda slot: (slot in few, types[slot] == DOUBLE, slot))
        divisions, buckets, thresholds = list[tuple[int, ...]](), list[Ints](), list[int]()
        place, first, stop, first_cells = list[int](), list[int](), list[int](), list[int]()
        n_cells = n_buckets = self.n_cells_with_rows = self.n_with_rows = 0
        for slot in slots:
            own = marks[slot].parted() if slot in few else marks[slot]
            cuts = sorted({*own.lows, *own.highs} - {NO_VALUE, IS_NULL, IS_NAN, LEAST, END})
            cell = {NO_VALUE: n_cells + NO_VALUE_CELL, IS_NULL: n_cells + NULL_CELL, IS_NAN: n_cells + NAN_CELL, LEAST: n_cells + FIRST_CELL}
            cell |= {bound: n_cells + FIRST_CELL + 1 + i for i, bound in enumerate([*cuts, END])}
            place += own.places
            first += [cell[low] for low in own.lows]
            stop += [cell[high] for high in own.highs]
            is_double = int(types[slot] == DOUBLE)
            found, n_searched, *line = _buckets(np.array(cuts, np.int64), is_double)
            divisions.append((slot, is_double, n_cells + NAN_CELL, n_buckets, *line, n_searched, n_cells + FIRST_CELL - len(thresholds)))
            first_cells.append(n_cells)
            buckets.append(found + len(thresholds))
            thresholds += [*(cut - 1 for cut in cuts), *[END - 1] * COUNTED]
            n_buckets += len(found)
            n_cells = cell[END]
            if slot not in few:
                self.n_with_rows, self.n_cells_with_rows = self.n_with_rows + 1, n_cells
        self.divisions = np.array(divisions, np.int64).reshape(-1, len(DIVISION) - 1)
        self.thresholds, self.buckets = np.array(thresholds, np.int64), np.concatenate([_NONE, *buckets])
        self.place, self.first, self.stop, self.first_cells = (np.array(column, np.int64) for column in (place, first, stop, first_cells))
        self.n = n_cells

    def blocks(self, n_words: int) -> tuple[Ints, int]:
        """int[n]: the block of each cell, from 1 on, and how many of them, block 0 included, have rows of `n_words`."""
        begins = np.zeros(self.n + 1, bool)
        begins[self.first_cells] = begins[self.first_cells[self.n_with_rows :] + FIRST_CELL] = True
        changes = np.bincount(self.first, minlength=self.n + 1) + np.bincount(self.stop, minlength=self.n + 1)
        changes[begins] = changes[self.n_cells_with_rows :] = 0
        so_far = np.cumsum(changes)[:-1]
        n_places = PLACES_PER_BLOCK
        while True:
            block = np.cumsum(begins[:-1] | (np.diff(so_far // n_places, prepend=0) != 0))
            n_rows = 1 + (int(block[self.n_cells_with_rows - 1]) if self.n_cells_with_rows else 0)
            n_bytes = 8 * n_rows * n_words
            if n_bytes <= NEAR_BYTES or (n_bytes <= ROWS_BYTES_MAX and 2 * n_places > n_words) or n_places > len(self.place):
                return block, n_rows
            n_places *= 2


def _buckets(cuts: Ints, is_double: int) -> tuple[Ints, int, int, int, int]:
    """About two buckets of equal width for each of the sorted cuts: from which cut on each is searched, how many cuts are, and by their bits the
    last bucket, the origin and the scale."""
    if len(cuts) == 0:
        return np.zeros(1, np.int64), 0, 0, 0, 0
    numbers = np.where(cuts < 0, cuts ^ _ALL_BUT_SIGN, cuts).view(np.float64) if is_double else cuts.astype(np.float64)
    numbers = np.where(np.isnan(numbers), np.inf, numbers)  # what lies just above infinity
    last = 2 * len(cuts) - 2
    with np.errstate(all="ignore"):
        scale = last / (numbers[-1] - numbers[0])
        place = (numbers - numbers[0]) * scale
    bucket = np.minimum(np.where(place > 0.0, place, 0.0), last).astype(np.int64)
    n_searched = int(np.bincount(bucket).max())
    begins = np.minimum(np.searchsorted(bucket, np.arange(last + 1)), len(cuts) - n_searched)
    return begins, n_searched, *np.array([last, numbers[0], scale]).view(np.int64).tolist()


def tables_of(targets: Sequence[Clauses], gates: Sequence[Clauses], slots: Slots) -> tuple[Ints, int, int]:
    """The tables, the words of targets and those of all bits."""
    layout = _Layout(targets, gates)
    cells = _Cells(layout, slots.types)
    block, n_rows = cells.blocks(layout.n_words)
    records, places, tested, on, off = _divided(cells, block, n_rows, layout.n_words)
    divisions, n_unmarked = _in_order(cells, records, places)
    start = np.zeros(layout.n_words, np.uint64)
    start[: len(layout.start)] = layout.start
    references = [part for _, _, parts in layout.demands for part in parts]
    ends = np.cumsum([0, *(len(parts) for _, _, parts in layout.demands)])
    demands = [(kind, bit, *ends[i : i + 2]) for i, (kind, bit, _) in enumerate(layout.demands)]
    members = [part for part in slots.instructions if part[0] == _MEMBER]
    program = [part for part in slots.instructions if part[0] != _MEMBER]
    parts = [np.array(part, np.int64).ravel() for part in (members, program, divisions.T, cells.thresholds, cells.buckets, records, places,
                                                           tested, start.view(np.int64), layout.folds, demands, references)]  # fmt: skip
    begins = len(HEAD) + np.cumsum([0, *map(len, parts), n_rows * layout.n_words])
    tables = aligned(begins[-1], begins[-2])
    tables[: len(HEAD)] = [slots.n_slots, layout.n_words, layout.n_target_words, len(layout.folds), cells.n_with_rows, len(divisions), n_unmarked,
                           *begins]  # fmt: skip
    for begin, part in zip(begins, parts, strict=False):
        tables[begin : begin + len(part)] = part
    _fill_rows(tables[begins[-2] :].view(np.uint64).reshape(n_rows, layout.n_words), cells.place, on, off)
    return tables, layout.n_target_words, layout.n_words


def _in_order(cells: _Cells, records: Ints, places: Ints) -> tuple[Ints, int]:
    """The divisions with their n_marks in the order that HEAD tells, and its n_unmarked. Records of slots whose cells mark one thing at most get, in
    place of where lists end, 2**32 + what the cell marks, or 0."""
    if cells.n == 0:
        return np.zeros((0, len(DIVISION)), np.int64), 0
    first, end, tested = records[:, 0] >> 32, records[:, 1] & _LOW_HALF, records[:, 1] >> 32
    n_marks = np.minimum(np.maximum.reduceat(np.where(tested > 0, MANY, end - first), cells.first_cells), MANY)
    alone = np.repeat(n_marks < MANY, np.diff(cells.first_cells, append=cells.n))
    marks = np.append(places, 0)[first] | 1 << 32
    records[alone, 1] = np.where(end > first, marks, 0)[alone]
    order = np.lexsort((n_marks > 0, np.arange(len(n_marks)) >= cells.n_with_rows))
    return np.column_stack([cells.divisions, n_marks])[order], int(np.count_nonzero(n_marks[: cells.n_with_rows] == 0))


def _divided(cells: _Cells, block: Ints, n_rows: int, n_words: int) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Marks as rows and places. For each cell two numbers: where its row of `n_words` begins and, 32 bits higher, where its places do; where those
    end and its tested marks stand. The places; the tested marks, each list behind its length: place, cells from and to. And for every mark the rows
    `on` to before `off` that have its bit."""
    n_blocks = 1 + (int(block[-1]) if len(block) else 0)
    begins = np.searchsorted(block, np.arange(n_blocks + 1))  # the first cell of each block
    low, high = block[cells.first], block[cells.stop - 1]
    cut_low, cut_high = cells.first > begins[low], cells.stop < begins[high + 1]
    without_row = cells.first >= cells.n_cells_with_rows
    inside = cut_low & cut_high & (low == high)
    falls = np.flatnonzero(cut_high & ~inside)
    rises = np.flatnonzero((cut_low | (without_row & ~cut_high)) & ~inside)
    falls, rises = falls[np.argsort(cells.stop[falls], kind="stable")], rises[np.argsort(cells.first[rises], kind="stable")]
    order = np.argsort(np.concatenate([high[falls], low[rises]]), kind="stable")
    n_fallen = np.cumsum(np.bincount(cells.stop[falls], minlength=len(block)))[: len(block)]
    n_risen = np.cumsum(np.bincount(cells.first[rises], minlength=len(block)))[: len(block)]
    n_falls = np.cumsum(np.bincount(high[falls], minlength=n_blocks))  # up to and with each block
    n_rises = np.cumsum(np.bincount(low[rises], minlength=n_blocks))
    at = np.flatnonzero(inside)
    at = at[np.argsort(low[at], kind="stable")]
    owners, first_mark, n_marks = np.unique(low[at], return_index=True, return_counts=True)
    tested, tested_at = np.zeros(1 + len(owners) + 3 * len(at), np.int64), np.zeros(n_blocks, np.int64)
    tested_at[owners] = 1 + 3 * first_mark + np.arange(len(owners))
    tested[tested_at[owners]] = n_marks
    tested_mark = 2 + 3 * np.arange(len(at)) + np.repeat(np.arange(len(owners)), n_marks)
    for i, column in enumerate((cells.place, cells.first, cells.stop)):
        tested[tested_mark + i] = column[at]
    row = np.where(block < n_rows, block, 0) * n_words
    records = np.stack([row | (n_rises[block - 1] + n_fallen) << 32, (n_falls[block] + n_risen) | tested_at[block] << 32], axis=1)
    on, off = low + cut_low, high + ~cut_high
    off[without_row | (on > off)] = on[without_row | (on > off)]
    return records, cells.place[np.concatenate([falls, rises])[order]], tested, on, off


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


def n_of(tables: Ints, name: str) -> int:
    """How many int64 a table has."""
    i = HEAD.index(name)
    return int(tables[i + 1] - tables[i])


def aligned(n: int, place: int) -> Ints:
    """int64[n] of zeros, of which that at `place` begins a line of the processor's cache."""
    found = np.zeros(n + LINE_WORDS, np.int64)
    skipped = -(found.ctypes.data // found.itemsize + place) % LINE_WORDS
    return found[skipped : skipped + n]
