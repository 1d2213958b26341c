"""The decisions that are still at hand: what each offered, what became of every offer, and who asked.

The ledger keeps the last `decisions_max` decisions with all that explain and record need; each subject keeps a running number and its latest
interactions. Not locked: the engine's lock guards it. What is kept is made of structs and tuples that the garbage collector need not walk: with
ten thousand decisions at hand a full collection would stop everybody for tens of milliseconds.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from nba_engine.catalog.plan import Plan
from nba_engine.decision import Judgement
from nba_engine.lessons import Lesson
from nba_engine.records import Decision, Offer, Receipt, unnamed

INTERACTIONS_PER_SUBJECT_MAX = 8
"""Interactions of a subject that are still recognised as the same one."""

FORGOTTEN_PER_SWEEP = 256
"""Where each new decision takes the place of an old one, objects made and freed balance, and Python's collector, which counts their difference, is
not called; the tuples of 10,000 decisions then wait for it, and one decision pays 50 ms for all of them. Swept this often it pays .4 ms."""


class OfferState(msgspec.Struct, eq=False, gc=False):
    """What became of one offer, `record`. Times in microseconds; `label` is the current answer, `reward` what the model was taught for it."""

    record: Offer
    candidate: int
    presented_at_us: int | None = None
    label: str | None = None
    reason: str | None = None
    reward: float | None = None
    taught: Lesson | None = None

    @property
    def position(self) -> int:
        """Where it stands in the slate, from 0."""
        return self.record.rank - 1


class Kept(msgspec.Struct, eq=False, gc=False):
    """A decision at hand: the record, how it came about, and what became of its offers by rank and of its events by id.

    Most decisions are never spoken of again, so the last two are made when they are first asked for.
    """

    decision: Decision
    judgement: Judgement
    plan: Plan
    _offers: list[OfferState] | None = None
    _events: dict[str, Receipt] | None = None

    @property
    def offers(self) -> list[OfferState]:
        if self._offers is None:
            self._offers = [*map(OfferState, self.decision.offers, self.judgement.offered)]
        return self._offers

    @property
    def touched(self) -> list[OfferState]:
        """The offers, if anything was ever asked or told of them."""
        return self._offers or []

    @property
    def events(self) -> dict[str, Receipt]:
        if self._events is None:
            self._events = {}
        return self._events


class Subject(msgspec.Struct, frozen=True, eq=False, gc=False):
    """How many decisions a subject has had, and the first decision of each of its latest interactions that have a name, last used last.

    A new decision makes a new one, so that whoever looks through all subjects sees them as they were.
    """

    n_decisions: int = 0
    interactions: dict[str, str] = msgspec.field(default_factory=dict)

    def first(self, interaction: str | None) -> str | None:
        """The first decision of an interaction that is still recognised; one without a name has none before it."""
        return None if interaction is None else self.interactions.get(interaction)


class Ledger:
    """Decisions by id and by request, subjects by name."""

    def __init__(self, decisions_max: int) -> None:
        self._decisions_max = decisions_max
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._requests: dict[str, str] = {}
        self.subjects: dict[str, Subject] = {}
        self.n_forgotten = 0

    def find(self, decision_id: str) -> Kept | None:
        return self._kept.get(decision_id)

    def kept(self) -> Iterable[Kept]:
        """Every decision at hand, oldest first."""
        return self._kept.values()

    def find_request(self, request_id: str) -> Kept | None:
        return self._kept.get(self._requests.get(request_id, ""))

    def subject(self, name: str) -> Subject:
        """The subject's own record; an empty one, not kept, if it is new."""
        return self.subjects.get(name) or Subject()

    def n_decisions(self, name: str) -> int:
        """How many decisions a subject has had."""
        found = self.subjects.get(name)
        return 0 if found is None else found.n_decisions

    def keep(self, kept: Kept) -> None:
        """Take a decision in; the oldest leaves where there are too many."""
        decision = kept.decision
        self._kept[decision.id] = kept
        if decision.request_id is not None:
            self._requests[decision.request_id] = decision.id
        if len(self._kept) > self._decisions_max:
            _, oldest = self._kept.popitem(last=False)
            self._requests.pop(oldest.decision.request_id or "", None)
            self.n_forgotten += 1
            if self.n_forgotten % FORGOTTEN_PER_SWEEP == 0 and gc.isenabled():
                gc.collect(0)  # lets go of tuples that hold no tuples
                gc.collect(1)  # and now of those that hold them

    def count(self, decision: Decision) -> None:
        """Note a new decision with its subject (about 200 bytes each), and its interaction, unless nobody can come back to it."""
        subject = self.subject(decision.subject)
        n, interactions = subject.n_decisions + 1, subject.interactions
        if decision.interaction != unnamed(n):
            interactions = dict(interactions)
            interactions[decision.interaction] = interactions.pop(decision.interaction, decision.id)
            if len(interactions) > INTERACTIONS_PER_SUBJECT_MAX:
                interactions.pop(next(iter(interactions)))
        self.subjects[decision.subject] = Subject(n, interactions)

    def state(self) -> dict[str, Any]:
        """The subjects, as plain data; decisions themselves stand in the journal."""
        return self.cut()()

    def cut(self) -> Callable[[], dict[str, Any]]:
        """Tells what `state` would say now; another thread may ask while this one goes on."""
        names, subjects = list(self.subjects), list(self.subjects.values())
        return lambda: {"subjects": names, "n_decisions": np.array([s.n_decisions for s in subjects], np.int64),
                        "interactions": {name: s.interactions for name, s in zip(names, subjects, strict=True) if s.interactions}}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave, in this release or an earlier one."""
        if "n_decisions" not in state:
            self.subjects = {name: Subject(n, dict(interactions)) for name, n, interactions in state["subjects"]}
            return
        interactions = state["interactions"]
        self.subjects = {name: Subject(n, interactions.get(name) or {})
                         for name, n in zip(state["subjects"], state["n_decisions"].tolist(), strict=True)}
