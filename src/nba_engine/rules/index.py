"""Many rules compiled together: the rules room's answer to "what may be offered?".

A target is a list of rules that must all be definitely true (an action's eligibility, the condition of a context weight). Here rules become clauses:
each an Or of conditions on single slots (conditions.py), all of which a target needs. A formula that would take more than CLAUSES_MAX clauses
becomes a gate: a bit made of other bits. tables.py lays clauses and gates out as bits, truth.py reads them. Nothing here knows what a target is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from nba_engine.rules.checking import Checked
from nba_engine.rules.conditions import EVERYTHING, NOTHING, Region, Tested, condition_of, meeting, union
from nba_engine.rules.normal import Formula, Leaf
from nba_engine.rules.slots import Host, Slots
from nba_engine.rules.tables import Clause, Clauses, tables_of
from nba_engine.schema import Type

CLAUSES_MAX = 8
"""So many clauses an Or of Ands may become; each costs a word of bits per slot and 64 targets, a gate costs a branch per target."""

_HOLDS: Region = (1, 2)
_ALWAYS: Clauses = ()
_NEVER: Clauses = ((),)


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """Compiled rules; immutable. `tables` int64[] as tables.py lays them out; `n_words`: of targets, clauses and gates together, targets first."""

    n_targets: int
    slot_types: tuple[Type | None, ...]
    initial_values: npt.NDArray[np.int64]
    hosts: tuple[Host, ...]
    tables: npt.NDArray[np.int64]
    n_target_words: int
    n_words: int
    n_gates: int

    @property
    def nbytes(self) -> int:
        """Bytes held by the tables."""
        return self.tables.nbytes


class RuleIndexBuilder:
    """Collects targets and value expressions, then compiles them together.

    `columns`: column name -> (position, type); `code_of(column, text)` gives a text its code in that column.
    """

    def __init__(self, columns: Mapping[str, tuple[int, Type]], n_columns: int, code_of: Callable[[str, str], int]) -> None:
        self.slots = Slots(columns, n_columns, code_of)
        self._targets: list[Clauses] = []
        self._formulas: dict[int, tuple[Formula, Clauses]] = {}
        self._gates: dict[Clauses, int] = {}

    def target(self, rules: Iterable[Checked]) -> int:
        """The number of the target that holds where all `rules` are definitely true."""
        self._targets.append(_all_of([self._clauses(rule.formula) for rule in rules]))
        return len(self._targets) - 1

    def number(self, expression: Checked) -> int:
        """The slot that holds the value of an expression."""
        return self.slots.slot(expression.node, expression.types)

    def build(self) -> RuleIndex:
        tables, n_target_words, n_words = tables_of(self._targets, list(self._gates), self.slots)
        return RuleIndex(len(self._targets), tuple(self.slots.types), self.slots.initial_values(), tuple(self.slots.hosts), tables, n_target_words,
                         n_words, len(self._gates))

    def _clauses(self, formula: Formula | Leaf) -> Clauses:
        """Formulas are known by identity: comparing them takes longer than making their clauses again."""
        if isinstance(formula, Tested):
            slot, region = condition_of(formula, self.slots)
            return _NEVER if region == NOTHING else _ALWAYS if region == EVERYTHING else (((slot, region),),)
        known = self._formulas.get(id(formula))
        if known is None:
            assert isinstance(formula, Formula)
            known = self._formulas[id(formula)] = formula, self._made(formula)
        return known[1]

    def _made(self, formula: Formula) -> Clauses:
        parts = [self._clauses(part) for part in formula.parts]
        if formula.all_of:
            return _all_of(parts)
        n_clauses = 1
        for part in parts:
            n_clauses *= len(part)
        if n_clauses == 1:
            clause = _any_of([clause for clause, in parts])
            return _ALWAYS if clause is None else (clause,)
        if n_clauses > CLAUSES_MAX:
            parts = [part if len(part) == 1 else (((self._gate(part), _HOLDS),),) for part in parts]
        return _all_of([(clause,) for chosen in product(*parts) if (clause := _any_of(chosen)) is not None])

    def _gate(self, clauses: Clauses) -> int:
        """The slot, numbered below zero, that stands for all of `clauses`."""
        return -1 - self._gates.setdefault(clauses, len(self._gates))


def _all_of(parts: Iterable[Clauses]) -> Clauses:
    """Every clause of every part: one on each slot that stands alone, without repetition."""
    alone: dict[int, Region] = {}
    wider: dict[Clause, None] = {}
    for part in parts:
        for clause in part:
            if len(clause) == 1:
                slot, region = clause[0]
                alone[slot] = meeting(alone[slot], region) if slot in alone else region
                if alone[slot] == NOTHING:
                    return _NEVER
            elif clause:
                wider[clause] = None
            else:
                return _NEVER
    return (*(((slot, region),) for slot, region in alone.items()), *wider)


def _any_of(clauses: Iterable[Clause]) -> Clause | None:
    """One clause that holds where any of `clauses` does, None where it always holds."""
    found: dict[int, Region] = {}
    for clause in clauses:
        for slot, region in clause:
            found[slot] = union(found.get(slot, NOTHING), region)
            if found[slot] == EVERYTHING:
                return None
    return tuple(sorted(found.items()))
