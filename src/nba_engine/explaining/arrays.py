"""What became of every candidate of a decision, as arrays: the stage where it fell and the names of what stopped it, without a text.

Each distinct rule of a plan has a slot of its own in a program like the one that decisions run (rules/slots.py), compiled when the plan is first
asked here: a slot is true, false or unknown, where decisions only ask what is true. Rules are then answered once each, candidates by indexing.
Cost: O(rules + candidates) of array work, some ns each; contact history as `contact.listing` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nba_engine.catalog.plan import NO_VALUE_SLOT, Plan
from nba_engine.contact.listing import Suppression, closed_by
from nba_engine.explaining.asked import STAGES, asked
from nba_engine.ledger import Kept
from nba_engine.numerics.bitset import unpack
from nba_engine.rules.index import RuleIndex, RuleIndexBuilder
from nba_engine.rules.truth import Evaluation
from nba_engine.schema import DOUBLE, VALUE_MAX

_VERDICTS = ("false", "unknown", "true")
_FALSE, _UNKNOWN, _TRUE = range(len(_VERDICTS))
_KINDS = ("channel", "valid", "rule", "consent", "contact_policy", "reason", "value", "priority", "control_group")
_AVAILABLE, _CONTACT, _VALUE, _ARBITRATION, _OFFERED = map(STAGES.index, ("available", "contact", "value", "arbitration", "offered"))
_TERMS = ("propensity", "value", "context_weight", "lever", "cost", "priority", "selection_probability")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Book:
    """The rules of a plan, ready to be answered, and its names, ready to be told.

    slots int64[n_rules]: of each distinct rule; value_slots int64[n, 2]: as `Plan` has them, in this index. parts int64[n, 5]: of what may be named
    where a rule is not true, in the order of the candidates: the candidate, the stage, the position in `names`, the rule that is named, and the rule
    that must not be true for it to count (of the cells of a decision table, the whole). weighing int64[n]: the slots of the context weights'
    conditions.
    """

    index: RuleIndex
    slots: Ints
    value_slots: Ints
    parts: Ints
    names: pa.Array
    name_of: Mapping[str, int]
    channel_names: Ints
    weighing: Ints
    actions: pa.Array
    treatments: pa.Array
    channels: pa.Array
    stages: pa.Array
    kinds: pa.Array
    verdicts: pa.Array


_books: WeakKeyDictionary[Plan, _Book] = WeakKeyDictionary()


def arrays(kept: Kept, suppressions: Sequence[Suppression], variables: Callable[[], Mapping[str, Any]]) -> pa.Table:
    """A row per candidate; the columns are described at `Explanation.arrays`. `variables`: the facts, where rules are not compiled."""
    book = _books.get(kept.plan)
    if book is None:
        book = _books[kept.plan] = _book_of(kept.plan)
    found = _Found(kept, book)
    found.availability()
    evaluation = Evaluation(book.index)
    evaluation.run(kept.judgement.row, lambda _: variables())
    found.rules(evaluation.values[0], evaluation.states[0])
    found.contact(suppressions)
    found.value(evaluation.values[0], evaluation.states[0])
    found.arbitration()
    return found.table()


class _Found:
    """What stopped each candidate, collected stage by stage, and the stage where it fell."""

    def __init__(self, kept: Kept, book: _Book) -> None:
        self._plan, self._judgement, self._decision, self._book = kept.plan, kept.judgement, kept.decision, book
        self._n = n = kept.plan.n_candidates
        self._stage = np.full(n, _ARBITRATION, np.int8)
        self._rank = np.zeros(n, np.int32)
        self._terms = np.full((len(_TERMS), n), np.nan)
        self._worth, self._context_weight = kept.plan.numbers[:, 0], np.ones(n)
        self._reasons: list[tuple[Ints, int | Ints, int | Ints, int | Ints]] = []

    def _stop(self, stage: int | Ints, candidates: Ints, kind: str, names: int | Ints, verdicts: int | Ints = _FALSE) -> None:
        """Note a reason for each of the candidates, which fall at `stage` unless they fell before."""
        if isinstance(stage, int):
            self._stage[candidates] = np.minimum(self._stage[candidates], stage)
        else:  # a candidate may stand here more than once
            np.minimum.at(self._stage, candidates, stage.astype(np.int8))
        self._reasons.append((candidates, _KINDS.index(kind), names, verdicts))

    def _told(self) -> npt.NDArray[np.int32]:
        """int32[4, n]: candidate, kind, name and verdict of every reason so far."""
        told, n = np.empty((4, sum(len(candidates) for candidates, *_ in self._reasons)), np.int32), 0
        for parts in self._reasons:
            for row, part in zip(told, parts, strict=True):
                row[n : n + len(parts[0])] = part
            n += len(parts[0])
        return told

    def availability(self) -> None:
        plan, at_us, windows = self._plan, self._judgement.at_us, self._plan.windows
        elsewhere = np.flatnonzero(~unpack(plan.channel_masks[self._judgement.channel_index], self._n))
        self._stop(_AVAILABLE, elsewhere, "channel", self._book.channel_names[plan.channel[elsewhere]])
        closed = windows[(at_us < windows[:, 1]) | (at_us > windows[:, 2]), 0]
        self._stop(_AVAILABLE, closed, "valid", self._book.name_of["valid"])

    def rules(self, values: Ints, states: Ints) -> None:
        slots, (candidate, stage, name, own, whole) = self._book.slots, self._book.parts.T
        verdicts = np.where(states[slots] != 0, _UNKNOWN, np.where(values[slots] == 1, _TRUE, _FALSE))
        stopped = np.flatnonzero((verdicts[own] != _TRUE) & (verdicts[whole] != _TRUE))
        self._stop(stage[stopped], candidate[stopped], "rule", name[stopped], verdicts[own[stopped]])

    def contact(self, suppressions: Sequence[Suppression]) -> None:
        plan, judgement, names = self._plan, self._judgement, self._book.name_of
        meets = np.arange(self._n) != plan.null_candidate  # there is no contact in offering nothing
        own = plan.channel if judgement.channel_index < 0 else np.full(self._n, judgement.channel_index)
        for consent in plan.consents:
            state, value = judgement.row.states[0, consent.column], judgement.row.values[0, consent.column]
            if state != 0 or value != 1:
                refused = np.flatnonzero(meets & (own == consent.channel_index))
                self._stop(_CONTACT, refused, "consent", names[consent.fact], _UNKNOWN if state else _FALSE)
        for suppression in suppressions:
            closed = closed_by(plan.contact_rules, suppression, judgement.channel_index)
            self._stop(_CONTACT, closed[meets[closed]], suppression.kind, names[suppression.name])

    def value(self, values: Ints, states: Ints) -> None:
        slots, is_double = self._book.value_slots.T
        is_written = slots < 0
        found = np.where(is_double != 0, values.view(np.float64)[slots], values[slots])
        self._worth = worth = np.where(is_written, self._plan.numbers[:, 0], found)
        weighing = self._book.weighing
        for i in np.flatnonzero((states[weighing] == 0) & (values[weighing] == 1)).tolist():
            self._context_weight[self._plan.context_weights[i].affected] *= self._plan.context_weights[i].multiplier
        known = is_written | (states[slots] == 0)
        worthless = np.flatnonzero(~(known & (worth >= 0.0) & (worth <= VALUE_MAX)))
        self._stop(_VALUE, worthless, "value", self._book.name_of["value"], np.where(known[worthless], _FALSE, _UNKNOWN))

    def arbitration(self) -> None:
        """What reached arbitration has terms: it is offered, or was not drawn for one reason. What stopped the others stays."""
        plan, judgement, names = self._plan, self._judgement, self._book.name_of
        reached = np.zeros(self._n, bool)
        for offer in self._decision.offers:
            c = plan.candidate_of.get((offer.action, offer.treatment))
            if c is not None:
                self._rank[c], self._terms[:, c], reached[c] = offer.rank, [getattr(offer, name) for name in _TERMS], True
        survivors = judgement.survivors
        beside = np.flatnonzero(self._rank[survivors] == 0) if len(survivors) > len(judgement.offered) else np.zeros(0, np.int64)
        if len(beside):
            left = survivors[beside]
            value, (_, lever, cost), context_weight = self._worth[left], plan.numbers[left].T, self._context_weight[left]
            propensity = np.where(left == plan.null_candidate, 0.0, judgement.propensity[beside])
            self._terms[:6, left] = propensity, value, context_weight, lever, cost, propensity * value * context_weight * lever - cost
            reached[left] = True
        told = self._told()
        candidate, kind, name, verdict = told[:, ~reached[told[0]]]
        self._reasons = [(candidate, kind, name, verdict)]
        self._stage[reached] = _ARBITRATION
        # What nothing stopped and yet has no terms: they are kept no longer, in a decision rebuilt from the journal, whose control group the
        # catalog in use may no longer name.
        left = np.flatnonzero((self._stage == _ARBITRATION) & (self._rank == 0))
        group = self._decision.control_group
        own_kind = "priority" if group is None else "control_group"
        by_null = (left == plan.null_candidate) | ((self._terms[5, left] < 0.0) & (plan.null_candidate in survivors))
        own_name = np.where(by_null, names["null_action"], names["priority"]) if group is None else names.get(group, names["priority"])
        for among, kind, name in ((reached[left], own_kind, own_name), (~reached[left], "priority", names["priority"])):
            self._stop(_ARBITRATION, left[among], kind, np.broadcast_to(name, left.shape)[among])
        self._stage[self._rank > 0] = _OFFERED

    def table(self) -> pa.Table:
        book, plan, n = self._book, self._plan, self._n
        told = self._told()
        candidate, kind, name, verdict = told[:, np.argsort(told[0], kind="stable")]
        offsets = np.searchsorted(candidate, np.arange(n + 1)).astype(np.int32)
        reasons = pa.StructArray.from_arrays([_coded(kind, book.kinds), _coded(name, book.names), _coded(verdict, book.verdicts)],
                                             ["kind", "name", "verdict"])  # fmt: skip
        channel = np.where(plan.channel < 0, self._judgement.channel_index, plan.channel)
        offered = self._rank > 0
        columns = {
            "action": book.actions, "treatment": book.treatments, "channel": _coded(channel, book.channels, channel < 0),
            "offered": pa.array(offered), "rank": pa.array(self._rank, mask=~offered), "stage": _coded(self._stage, book.stages),
            "reasons": pa.ListArray.from_arrays(pa.array(offsets), reasons),
        }
        return pa.table(columns | {term: pa.array(self._terms[i], from_pandas=True) for i, term in enumerate(_TERMS)})


def _coded(positions: npt.NDArray[Any], names: pa.Array, mask: npt.NDArray[np.bool_] | None = None) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(positions.astype(np.int32, copy=False), mask=mask), names, safe=False)


def _book_of(plan: Plan) -> _Book:
    """Compile every distinct rule to a slot of its own; some 0.1 ms a rule. Gives no text a code that compiling the plan has not given."""
    encoder, catalog = plan.encoder, plan.catalog
    builder = RuleIndexBuilder({c.name: (i, c.type) for i, c in enumerate(encoder.columns)}, len(encoder.columns), encoder.vocabulary.name)
    builder.target(())  # what holds for everybody: nothing is asked of targets here, but an index has one
    names: dict[str, int] = {}
    rules: dict[str, int] = {}

    def number_in(known: dict[str, int], name: str) -> int:
        return known.setdefault(name, len(known))

    parts = [
        (c, STAGES.index(rule.stage), number_in(names, place), number_in(rules, text), number_in(rules, rule.text))
        for c in range(plan.n_candidates)
        for rule in asked(catalog, int(plan.action[c]), plan.treatments[c])
        for place, text in rule.parts
    ]
    slots = [builder.number(catalog.rule(text)) for text in rules]
    value_slots = np.full((plan.n_candidates, 2), (NO_VALUE_SLOT, 0), np.int64)
    for c, written in enumerate(catalog.definition.actions[i].value for i in plan.action.tolist()):
        if isinstance(written, str):
            checked = catalog.rule(written)
            value_slots[c] = builder.number(checked), checked.type == DOUBLE
    weighing = np.array([builder.number(catalog.rule(context_weight.text)) for context_weight in plan.context_weights], np.int64)
    groups = (group.name for group in plan.control_groups)
    policies = (p.name for p in (*plan.contact_rules.contact_policies, *plan.contact_rules.reasons))
    for name in ("valid", "value", "priority", "null_action", *plan.channel_ids, *(c.fact for c in plan.consents), *policies, *groups):
        number_in(names, name)
    return _Book(
        builder.build(), np.array(slots, np.int64), value_slots, np.array(parts, np.int64).reshape(-1, 5), pa.array(list(names), pa.string()), names,
        np.array([names[channel] for channel in plan.channel_ids] or [0], np.int64),
        weighing,
        pa.array(plan.candidate_actions, pa.string()).dictionary_encode(), pa.array(plan.treatments, pa.string()).dictionary_encode(),
        *(pa.array(texts, pa.string()) for texts in (plan.channel_ids, STAGES, _KINDS, _VERDICTS[:2])))
