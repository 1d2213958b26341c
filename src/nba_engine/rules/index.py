"""Many rules compiled into one table of bits: the rules room's answer to "what may be offered?".

A target is a list of rules that must all be definitely true (an action's eligibility, the condition of a context weight). Every condition on
a single slot becomes cells (conditions.py), every cell of a slot owns one row of bits, and a decision ANDs one row per slot:

    row[0 : target_words]    bit t: this cell does not contradict the single-slot conditions of target t
    row[target_words :]      bit c: this cell satisfies clause c (an Or over several slots)

Row 0 is where the AND and the OR start. What is deeper than an Or of conditions becomes a gate over clauses, which stand with the gates in one
numbering. A target still alive after the AND demands its clauses and gates.
Memory: cells x (targets + clauses) / 8 bytes, see `RuleIndex.nbytes`. Nothing here knows what a target is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.bitset import n_words, pack
from nba_engine.rules.conditions import Cells, Test, cut_of, ordered, test_of
from nba_engine.rules.normal import FALSE, TRUE, Formula, Leaf, Normalizer, joined
from nba_engine.rules.slots import Host, Slots
from nba_engine.rules.syntax import Node
from nba_engine.schema import BOOL, DOUBLE, DYN, STRING, Type

ANY_OF, ALL_OF, NEEDED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """Compiled rules; immutable.

    divisions int32[n, 5]: slot, whether it is a double, first row, its span in `cuts`. demands int32[n, 4]: ANY_OF, ALL_OF (gates, each
    behind its parts) or NEEDED (a target's), the number of what is decided, its span in `references` int32[]. `n_words`: of targets, clauses
    and gates together, targets first.
    """

    n_targets: int
    program: npt.NDArray[np.int64]
    initial_values: npt.NDArray[np.int64]
    slot_types: tuple[Type | None, ...]
    hosts: tuple[Host, ...]
    divisions: npt.NDArray[np.int32]
    cuts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint64]
    demands: npt.NDArray[np.int32]
    references: npt.NDArray[np.int32]
    n_target_words: int
    n_words: int

    @property
    def nbytes(self) -> int:
        """Bytes held by the tables."""
        return sum(a.nbytes for a in (self.program, self.divisions, self.cuts, self.rows, self.demands, self.references))


class RuleIndexBuilder:
    """Collects targets and value expressions, then compiles them together.

    `columns`: column name -> (position, type); `code_of(column, text)` gives a text its code in that column.
    """

    def __init__(self, columns: Mapping[str, tuple[int, Type]], n_columns: int, code_of: Callable[[str, str], int]) -> None:
        self.slots = Slots(columns, n_columns, code_of)
        self._column_names = {position: name for name, (position, _) in columns.items()}
        self._code_of = code_of
        self._normalizer = Normalizer()
        self._types: dict[int, Type] = {}
        self._targets: list[Formula | Leaf] = []
        self._tests: dict[Leaf, Test] = {}

    def target(self, rules: Iterable[tuple[Node, Mapping[int, Type], str]]) -> int:
        """The number of the target that holds where all `rules` (node, types by node id, text) are definitely true."""
        formulas: list[Formula | Leaf] = []
        for node, types, text in rules:
            self._types.update(types)
            formulas.append(self._normalizer.formula(node, text))
        self._targets.append(joined(True, formulas))
        return len(self._targets) - 1

    def number(self, node: Node, types: Mapping[int, Type]) -> int:
        """The slot that holds the value of a numeric expression."""
        self._types.update(types)
        return self.slots.slot(node, self._types)

    def build(self) -> RuleIndex:
        for target in self._targets:
            self._collect(target)
        return _Tables(self._targets, self._tests, self.slots, self._column_names, self._code_of).index()

    def _collect(self, formula: Formula | Leaf) -> None:
        stack = [formula]
        while stack:
            part = stack.pop()
            if isinstance(part, Formula):
                stack.extend(part.parts)
            elif part not in self._tests:
                self._tests[part] = test_of(part, self.slots, self._types)


class _Tables:
    """Lays out cells, clauses and gates for one set of targets."""

    def __init__(self, targets: list[Formula | Leaf], tests: dict[Leaf, Test], slots: Slots, names: Mapping[int, str],
                 code_of: Callable[[str, str], int]) -> None:
        self._targets, self._tests, self._slots, self._names, self._code_of = targets, tests, slots, names, code_of
        self._cells: dict[int, Cells] = {}
        self._positions: dict[int, dict[Any, int]] = {}
        self._first_row: dict[int, int] = {}
        self._divide()
        self._clauses: dict[tuple[tuple[int, bytes], ...], int] = {}
        self._gates: dict[tuple[bool, tuple[tuple[str, int], ...]], int] = {}
        self._reduced: dict[Formula | Leaf, Any] = {}

    def _divide(self) -> None:
        """Cut every tested slot by the constants that it is compared with."""
        cuts: dict[int, set[Any]] = {}
        for test in self._tests.values():
            found = cuts.setdefault(test.slot, {1} if self._type(test.slot) == BOOL else set())
            found.update(cut for cut in self._cuts(test) if cut is not None)
        first = 1
        for slot, found in sorted(cuts.items()):
            self._cells[slot] = cells = Cells(self._type(slot), sorted(found))
            self._positions[slot] = {cut: i for i, cut in enumerate(cells.cuts)}
            self._first_row[slot] = first
            first += cells.n
        self._n_rows = first

    def _cuts(self, test: Test) -> list[Any]:
        type_ = self._type(test.slot)
        if type_ == STRING:
            return [self._code_of(self._names[test.slot], text) for text in test.constants]
        return [cut_of(constant, type_) for constant in test.constants]

    def _type(self, slot: int) -> Type:
        type_ = self._slots.types[slot]
        return BOOL if type_ is None or type_ == DYN else type_

    def index(self) -> RuleIndex:
        singles: list[tuple[int, int, npt.NDArray[np.bool_]]] = []
        needs: list[list[tuple[str, int]]] = []
        alive = np.ones(len(self._targets), bool)
        for t, formula in enumerate(self._targets):
            needs.append([])
            for part in formula.parts if isinstance(formula, Formula) and formula.all_of else (formula,):
                match self._reduce(part):
                    case bool(constant):
                        alive[t] &= constant
                    case ("cells", slot, mask):
                        singles.append((t, slot, np.frombuffer(mask, bool)))
                    case reference:
                        needs[t].append(reference)
        n_target_words, n_clauses = n_words(len(self._targets)), len(self._clauses)
        rows = np.zeros((self._n_rows, n_target_words + n_words(n_clauses)), np.uint64)
        rows[:, :n_target_words] = ~np.uint64(0)
        rows[0, :n_target_words] = pack(alive)
        for t, slot, mask in singles:
            out = self._first_row[slot] + np.flatnonzero(~mask)
            rows[out, t >> 6] &= ~np.uint64(1 << (t & 63))
        for clause, c in self._clauses.items():
            for slot, mask in clause:
                inside = self._first_row[slot] + np.flatnonzero(np.frombuffer(mask, bool))
                rows[inside, n_target_words + (c >> 6)] |= np.uint64(1 << (c & 63))
        divisions, cuts = self._divisions()
        demands, references = self._demands(needs, n_target_words * 64, n_words(n_clauses) * 64)
        return RuleIndex(len(self._targets), self._slots.program(), self._slots.initial_values(), tuple(self._slots.types),
                         tuple(self._slots.hosts), divisions, cuts, rows, demands, references, n_target_words,
                         rows.shape[1] + n_words(len(self._gates)))

    def _reduce(self, formula: Formula | Leaf) -> Any:
        """True, False, ("cells", slot, mask), ("clause", number) or ("gate", number)."""
        if formula not in self._reduced:
            self._reduced[formula] = self._reduce_new(formula)
        return self._reduced[formula]

    def _reduce_new(self, formula: Formula | Leaf) -> Any:
        if formula in (TRUE, FALSE):
            return formula == TRUE
        if isinstance(formula, Leaf):
            test = self._tests[formula]
            mask = self._cells[test.slot].mask(test, self._cuts(test), self._positions[test.slot])
            return False if not mask.any() else ("cells", test.slot, mask.tobytes())
        constant = not formula.all_of
        by_slot: dict[int, npt.NDArray[np.bool_]] = {}
        others: dict[tuple[str, int], None] = {}
        for part in map(self._reduce, formula.parts):
            if part is constant:
                return constant
            if isinstance(part, bool):
                continue
            if part[0] != "cells":
                others[part] = None
                continue
            mask = np.frombuffer(part[2], bool)
            known = by_slot.get(part[1])
            by_slot[part[1]] = mask if known is None else (known & mask if formula.all_of else known | mask)
        if formula.all_of and any(not mask.any() for mask in by_slot.values()):
            return False
        if not others and len(by_slot) <= 1:
            return next((("cells", slot, mask.tobytes()) for slot, mask in by_slot.items()), formula.all_of)
        if not formula.all_of:
            clause = self._clause(by_slot) if by_slot else None
            return self._gate(False, [*others, *([clause] if clause else [])]) if others else clause
        return self._gate(True, [*others, *(self._clause({slot: mask}) for slot, mask in by_slot.items())])

    def _clause(self, by_slot: Mapping[int, npt.NDArray[np.bool_]]) -> tuple[str, int]:
        key = tuple((slot, mask.tobytes()) for slot, mask in sorted(by_slot.items()))
        return "clause", self._clauses.setdefault(key, len(self._clauses))

    def _gate(self, all_of: bool, parts: list[tuple[str, int]]) -> tuple[str, int]:
        if len(parts) == 1:
            return parts[0]
        return "gate", self._gates.setdefault((all_of, tuple(sorted(parts))), len(self._gates))

    def _demands(self, needs: list[list[tuple[str, int]]], first_clause: int, n_clause_bits: int,
                 ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Gates first, in the order of their making, then the targets that need anything."""
        first = {"clause": first_clause, "gate": first_clause + n_clause_bits}
        wanted = [(ALL_OF if all_of else ANY_OF, first["gate"] + g, parts) for (all_of, parts), g in self._gates.items()]
        wanted += [(NEEDED, t, tuple(parts)) for t, parts in enumerate(needs) if parts]
        references: list[int] = []
        demands: list[tuple[int, int, int, int]] = []
        for kind, number, parts in wanted:
            start = len(references)
            references += [first[part_kind] + part for part_kind, part in parts]
            demands.append((kind, number, start, len(references)))
        return np.array(demands, np.int32).reshape(-1, 4), np.array(references, np.int32)

    def _divisions(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        divisions: list[tuple[int, int, int, int, int]] = []
        cuts: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
        n_cuts = 0
        for slot, cells in self._cells.items():
            is_double = cells.type == DOUBLE
            cuts.append(ordered(np.array(cells.cuts, np.float64)) if is_double else np.array(cells.cuts, np.int64))
            divisions.append((slot, int(is_double), self._first_row[slot], n_cuts, n_cuts + len(cells.cuts)))
            n_cuts += len(cells.cuts)
        return np.array(divisions, np.int32).reshape(-1, 5), np.concatenate(cuts)
