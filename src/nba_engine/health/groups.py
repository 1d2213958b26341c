"""How groups of subjects fare: for each fact declared sensitive, what its groups were offered and what they answered.

A text or bool is a group by itself; numbers go together by their first digit (41 is in "40 to 50", 1,730 in "1000 to 2000"), times by their
decade. The first GROUPS_MAX groups that are met are kept apart, later ones are "other", so that memory is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nba_engine.facts.columns import VALUE
from nba_engine.schema import BUILT_IN_FACTS

if TYPE_CHECKING:
    from nba_engine.catalog.plan import Plan
    from nba_engine.ledger import Kept

GROUPS_MAX = 12
MISSING, OTHER = "missing", "other"
KINDS = ("bool", "int", "uint", "double", "string", "timestamp")
"""Kinds of facts that have groups."""


class Cell(msgspec.Struct, gc=False):
    """One group: decisions for its subjects, and by action how often it was offered, how many answers taught and their rewards (in units)."""

    n_decisions: int = 0
    actions: dict[str, tuple[int, int, int]] = msgspec.field(default_factory=dict)

    def add(self, action: str, offers: int, answers: int, positives: int) -> None:
        before = self.actions.get(action, (0, 0, 0))
        self.actions[action] = before[0] + offers, before[1] + answers, before[2] + positives

    def copied(self) -> Cell:
        return Cell(self.n_decisions, dict(self.actions))


class Groups:
    """The sensitive facts of a plan and their groups. Facts keep their counts by name while the catalog declares them.

    `facts`: the groups of each; empty where there is none, and then there is nothing to count.
    """

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, Cell]] = {}
        self._since: dict[str, dict[str, int]] = {}  # by fact and action, the number of the first answer that was counted
        self._places: list[tuple[str, int, int]] = []
        self._plan: Plan | None = None

    def use(self, plan: Plan) -> None:
        """Watch the facts that this plan declares sensitive; of one that is of another type now, the groups begin anew."""
        types = {} if self._plan is None else {column.name: column.type for column in self._plan.encoder.columns}
        self._plan = plan
        given = [(i, column) for i, column in enumerate(plan.encoder.columns) if column.fact not in BUILT_IN_FACTS]
        self._places = [(column.name, i, place) for place, (i, column) in enumerate(given) if column.fact.sensitive and column.type.kind in KINDS]
        same = {column.name for _, column in given if types.get(column.name) == column.type}
        self.facts = {name: self.facts.get(name, {}) if name in same else {} for name, _, _ in self._places}
        self._since = {name: self._since.get(name, {}) if name in same else {} for name in self.facts}

    def decided(self, kept: Kept) -> None:
        """Count a decision and what it offered."""
        for cell in self._cells(kept):
            cell.n_decisions += 1
            for offer in kept.decision.offers:
                cell.add(offer.action, 1, 0, 0)

    def answered(self, kept: Kept, action: str, reward: int, number: int) -> None:
        """Count an answer that taught: its reward in units, its number among those of the action."""
        for since, cell in zip(self._since.values(), self._cells(kept), strict=True):
            since.setdefault(action, number)
            cell.add(action, 0, 1, reward)

    def taken_back(self, kept: Kept, action: str, reward: int, number: int) -> None:
        """Undo `answered`, for the facts that were watched then."""
        for since, cell in zip(self._since.values(), self._cells(kept), strict=True):
            if action in since and number >= since[action]:
                cell.add(action, 0, -1, -reward)

    def _cells(self, kept: Kept) -> list[Cell]:
        """The subject's group of each fact."""
        row = kept.judgement.row
        if self._plan is not None and kept.plan is not self._plan:  # decided under an earlier catalog
            row = self._plan.encoder.encode_again(kept.plan.encoder.facts_of(row), kept.judgement.at_us, None, None)
        values = [row.given[place] if row.states[0, i] == VALUE else None for _, i, place in self._places]
        return [self._cell(self.facts[name], group_of(value)) for (name, _, _), value in zip(self._places, values, strict=True)]

    def _cell(self, cells: dict[str, Cell], group: str) -> Cell:
        found = cells.get(group)
        if found is None:
            found = cells.setdefault(group if len(cells) < GROUPS_MAX or group == MISSING else OTHER, Cell())
        return found

    def copied(self) -> dict[str, dict[str, Cell]]:
        return {name: {group: cell.copied() for group, cell in cells.items()} for name, cells in self.facts.items()}

    def cut(self) -> Callable[[], list[Any]]:
        """Tells as plain data what is counted now; another thread may ask while this one goes on."""
        facts, since = self.copied(), {name: dict(numbers) for name, numbers in self._since.items()}
        return lambda: [[name, [[group, cell.n_decisions, [[action, *counts] for action, counts in cell.actions.items()]]
                                for group, cell in cells.items()], since[name]] for name, cells in facts.items()]

    def load(self, state: Sequence[Any]) -> None:
        """Take over what `cut` told, for the facts that are watched."""
        for name, cells, *since in state:
            if name in self.facts:
                self._since[name] = dict(*since)
                self.facts[name] = {group: Cell(n, {action: tuple(counts) for action, *counts in actions}) for group, n, actions in cells}


def group_of(value: Any) -> str:
    """The group that a fact's plain value belongs to; None is missing."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        return f"{value.year // 10 * 10}s"
    if not math.isfinite(value):
        return OTHER
    if value == 0:
        return "0"
    size = 10.0 ** math.floor(math.log10(abs(value)))
    low = math.floor(value / size)
    return f"{low * size:g} to {(low + 1) * size:g}"
