"""What an outcome does: exposure, contact history, then beliefs; time-outs; taking an update back.

Everything here changes `State`, the mutable whole that the engine's lock guards. The same calls in the same order give the same state, which is
how recovery works. Contact history changes first, so that the next decision of the same call already sees a decline.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from nba_engine.beliefs import Beliefs
from nba_engine.catalog.durations import FOREVER_US
from nba_engine.catalog.plan import Plan
from nba_engine.challenger import Challenger
from nba_engine.contact.history import Contacts
from nba_engine.contact.names import NO_RESPONSE, PRESENTED, Shown
from nba_engine.decision import Workspace
from nba_engine.errors import OutcomeError
from nba_engine.facts.encoding import Row
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.health.watch import Watch
from nba_engine.ledger import Kept, Ledger, OfferState
from nba_engine.lessons import Lesson
from nba_engine.numerics.random import key_of
from nba_engine.records import Decision, Outcome, Receipt

if TYPE_CHECKING:
    from nba_engine.catalog.definition import Channel
    from nba_engine.catalog.definition import Outcome as OutcomeSpec

SKIPPED = "skipped"

Silence = tuple[Kept, OfferState, Outcome]
"""An offer whose silence became an answer: its decision, the offer, the outcome."""

_key_of_interaction = lru_cache(maxsize=256)(key_of)
"""Interactions without a name are few: `#1` is the first one of everybody."""


@dataclass(slots=True)
class State:
    """Everything that changes: what is believed, whom we have contacted, which decisions are at hand, what is due, how the models do."""

    plan: Plan
    beliefs: Beliefs
    contacts: Contacts
    ledger: Ledger
    vocabulary: Vocabulary
    entities: dict[tuple[str, str], int]
    work: Workspace
    watch: Watch
    challenger: Challenger | None = None
    due: list[tuple[int, int, int, Kept]] = field(default_factory=list)
    n_scheduled: int = 0


def place(state: State, kept: Kept) -> None:
    """Take a new decision in. On channels where being returned is being presented, its offers are presented now."""
    state.ledger.keep(kept)
    state.ledger.count(kept.decision)
    if state.watch.groups.facts:
        state.watch.groups.decided(kept)
    for position in on_return(state.plan, kept.decision):
        _present(state, kept, kept.offers[position], kept.judgement.at_us)


def on_return(plan: Plan, decision: Decision) -> list[int]:
    """The positions of the offers that are presented by being returned."""
    return [i for i, offer in enumerate(decision.offers) if offer.channel in plan.on_return] if plan.on_return else []


def meant(kept: Kept, action: str | None, treatment: str | None) -> OfferState:
    """The offer that is meant; OutcomeError where none or more than one fits."""
    found = [o for o in kept.offers if (action is None or action == o.record.action) and (treatment is None or treatment == o.record.treatment)]
    if len(found) == 1:
        return found[0]
    offered = ", ".join(o.record.action for o in kept.offers)
    if not kept.offers:
        raise OutcomeError(f"decision {kept.decision.id} offered nothing, so nothing can have been answered", "decision_id")
    if not found:
        named = " as ".join(repr(name) for name in (action, treatment) if name is not None)
        wrong = "action" if treatment is None or action not in (None, *(o.record.action for o in kept.offers)) else "treatment"
        raise OutcomeError(f"decision {kept.decision.id} did not offer {named}; it offered {offered}", wrong)
    raise OutcomeError(f"decision {kept.decision.id} offered {offered}; say which one is meant with action=", "action")


def known(state: State, label: str, reason: str | None) -> OutcomeSpec:
    """What the catalog says of a label; OutcomeError where it knows no such label or reason."""
    definition = state.plan.catalog.definition
    spec = definition.outcomes.get(label)
    if spec is None:
        raise OutcomeError(f"label {label!r} is not an outcome of the catalog{_suggestion(label, definition.outcomes)}", "label")
    if reason is not None and reason not in definition.reasons:
        raise OutcomeError(f"reason {reason!r} is not a reason of the catalog{_suggestion(reason, definition.reasons)}", "reason")
    return spec


def check_fits(offer: OfferState, spec: OutcomeSpec, outcome: Outcome) -> None:
    """OutcomeError where a known label and reason do not fit the offer as it stands."""
    if spec.exposure is not None and outcome.reason is not None:
        raise OutcomeError(f"label {outcome.label!r} says what was shown, not what was answered; a reason goes with an answer", "reason")
    if spec.revokes is not None and offer.label not in (spec.revokes, outcome.label):
        told = f"the answer to {outcome.action!r} is {offer.label!r}; record that first"
        raise OutcomeError(f"{outcome.label!r} takes back {spec.revokes!r}, but {told}", "label")


def repeated(kept: Kept, offer: OfferState, spec: OutcomeSpec, outcome: Outcome) -> Receipt | None:
    """The receipt of an outcome that is known already: by its event id, or as the offer's current answer with the same reason."""
    if outcome.event_id is not None:
        before = kept.events.get(outcome.event_id)
        if before is not None and before.action != outcome.action:
            raise OutcomeError(f"event_id {outcome.event_id!r} came with {before.action!r} before; give every event an id of its own", "event_id")
        return None if before is None else replace(before, duplicate=True, learned=False)
    shown = spec.exposure == PRESENTED and offer.presented_at_us is not None
    if shown or (offer.label == outcome.label and offer.reason == outcome.reason):
        return Receipt(outcome.decision_id, outcome.action, outcome.label, None, True, False, offer.reward)
    return None


def take(state: State, kept: Kept, offer: OfferState, outcome: Outcome) -> Receipt:
    """Let one new outcome, checked before, change the state."""
    spec = state.plan.catalog.definition.outcomes[outcome.label]
    learned = False
    if spec.exposure is None:
        learned = _answer(state, kept, offer, spec.reward, outcome)
    elif spec.exposure == SKIPPED:
        _skip(state, kept, offer, outcome.label)
    else:
        _present(state, kept, offer, outcome.at_us)
    receipt = Receipt(outcome.decision_id, outcome.action, outcome.label, outcome.event_id, False, learned, offer.reward)
    if outcome.event_id is not None:
        kept.events[outcome.event_id] = receipt
    return receipt


def next_silence(state: State, at_us: int, find: Callable[[str], Kept | None]) -> Silence | None:
    """The earliest offer whose silence has become an answer by `at_us`, still first in `state.due`; None where there is none.

    `find` gives the decision as it stands now: one that had left the ledger may have been rebuilt since it was scheduled.
    """
    while state.due and state.due[0][0] <= at_us:
        deadline, _, position, scheduled = state.due[0]
        kept = find(scheduled.decision.id) or scheduled
        offer = kept.offers[position]
        record = offer.record
        if offer.label is None and offer.presented_at_us is not None and _deadline(state, record.channel, offer.presented_at_us) == deadline:
            return kept, offer, Outcome(kept.decision.id, record.action, record.treatment, NO_RESPONSE, deadline)
        heapq.heappop(state.due)
    return None


def schedule(state: State, kept: Kept, offer: OfferState) -> None:
    """Note when the silence of a presented, unanswered offer will count as an answer."""
    if offer.presented_at_us is None or offer.label is not None:
        return
    state.n_scheduled += 1
    heapq.heappush(state.due, (_deadline(state, offer.record.channel, offer.presented_at_us), state.n_scheduled, offer.position, kept))


def reschedule(state: State) -> None:
    """Let what waits for its silence to count wait as long as the present catalog says; where that is for ever, the next one may say otherwise."""
    waiting, state.due = sorted(state.due, key=lambda due: due[:2]), []
    for _, _, position, kept in waiting:
        schedule(state, kept, kept.offers[position])


def restore(state: State, kept: Kept, entry: Mapping[str, Any], later: Iterable[tuple[Outcome | None, int, float | None, Lesson | None]]) -> None:
    """Bring the offers of a decision rebuilt from `entry` to where later entries left them; contact history and beliefs have it all already."""
    outcomes = state.plan.catalog.definition.outcomes
    for position in entry.get("presented", on_return(state.plan, kept.decision)):
        kept.offers[position].presented_at_us = kept.judgement.at_us
    event_id: str | None = None
    for outcome, position, reward, taught in later:
        offer = kept.offers[position]
        if outcome is None:
            offer.reward, offer.taught = reward, taught
            if event_id is not None:
                kept.events[event_id] = replace(kept.events[event_id], learned=True, reward=reward)
            continue
        event_id = outcome.event_id
        spec = outcomes.get(outcome.label)
        exposure = None if spec is None else spec.exposure
        if exposure == PRESENTED:
            offer.label = None if offer.label in _skipping(state) else offer.label
        elif (offer.label, offer.reason) != (outcome.label, outcome.reason):
            offer.label, offer.reason, offer.taught, offer.reward = outcome.label, outcome.reason, None, None
        if exposure == SKIPPED:
            offer.presented_at_us = None
        elif offer.presented_at_us is None:
            offer.presented_at_us = outcome.at_us
        if outcome.event_id is not None:
            kept.events[outcome.event_id] = Receipt(outcome.decision_id, outcome.action, outcome.label, outcome.event_id, False, False, offer.reward)


def _key_of_offer(kept: Kept, offer: OfferState) -> int:
    return key_of(f"{kept.decision.id}\x1f{offer.position}")


def _contact(state: State, kept: Kept, offer: OfferState) -> tuple[str, int, int, Shown]:
    """How contact history names an offer: the subject, the keys of offer and interaction, what was shown."""
    decision, record = kept.decision, offer.record
    shown = Shown(record.action, record.treatment, record.channel, state.plan.direction_of(record.channel))
    return decision.subject, _key_of_offer(kept, offer), _key_of_interaction(decision.interaction), shown


def _present(state: State, kept: Kept, offer: OfferState, at_us: int) -> None:
    if offer.label is not None and offer.label in _skipping(state):
        offer.label = None
    if offer.presented_at_us is not None:
        return
    offer.presented_at_us = at_us
    state.contacts.present(*_contact(state, kept, offer), at_us)
    state.watch.presented(kept, offer)
    if _deadline(state, offer.record.channel, at_us) < FOREVER_US:
        schedule(state, kept, offer)


def _skip(state: State, kept: Kept, offer: OfferState, label: str) -> None:
    _take_back(state, kept, offer)
    if offer.presented_at_us is not None:
        state.watch.presented(kept, offer, -1)
    state.contacts.skip(kept.decision.subject, _key_of_offer(kept, offer))
    offer.presented_at_us, offer.label, offer.reason = None, label, None


def _answer(state: State, kept: Kept, offer: OfferState, reward: float | None, outcome: Outcome) -> bool:
    """The offer's answer, in place of an earlier one; returns whether the beliefs were taught."""
    label, reason = outcome.label, outcome.reason
    state.contacts.answer(*_contact(state, kept, offer), label, reason, outcome.at_us, offer.presented_at_us)
    if offer.presented_at_us is None:
        offer.presented_at_us = outcome.at_us
        state.watch.presented(kept, offer)
    if offer.label == label and offer.reason == reason:
        return False
    _take_back(state, kept, offer)
    heard = reason is None or state.plan.catalog.definition.reasons[reason].learn
    learned = reward is not None and heard and _teach(state, kept, offer, reward, outcome.at_us)
    offer.label, offer.reason = label, reason  # last: an answer that failed to teach is not one, and may be told again
    return learned


def _teach(state: State, kept: Kept, offer: OfferState, reward: float, at_us: int) -> bool:
    here = _in_this_plan(state, kept, offer)
    if here is None:
        return False
    row, candidate = here
    record = offer.record
    state.plan.encoder.learn_texts(row)
    number = state.watch.answered(kept, record, reward, at_us)
    if state.challenger is None:
        receipt, shadow = state.beliefs.update(row, record.rank, candidate, reward), None
    else:
        receipt, shadow = state.challenger.learn(state.beliefs, row, record.rank, candidate, reward, record.action, number)
    offer.taught = Lesson(receipt, number, shadow)
    offer.reward = reward
    return True


def _take_back(state: State, kept: Kept, offer: OfferState) -> None:
    lesson, reward = offer.taught, offer.reward
    offer.taught = offer.reward = None
    if lesson is None or reward is None:
        return
    if state.challenger is not None:
        state.challenger.take_back(state.beliefs, lesson.receipt, lesson.shadow, offer.record.action, lesson.counted)
    elif lesson.receipt is not None:
        state.beliefs.take_back(lesson.receipt)
    state.watch.taken_back(kept, offer.record, reward, lesson.counted)


def _in_this_plan(state: State, kept: Kept, offer: OfferState) -> tuple[Row, int] | None:
    """The decision's row and the offer's candidate as the present catalog numbers them; None where it no longer has them."""
    judgement, plan = kept.judgement, state.plan
    if kept.plan is plan:
        return None if offer.candidate < 0 else (judgement.row, offer.candidate)
    candidate = plan.candidate_of.get((offer.record.action, offer.record.treatment))
    if candidate is None:
        return None
    facts, channel = kept.plan.encoder.facts_of(judgement.row), kept.decision.channel
    return plan.encoder.encode_again(facts, judgement.at_us, channel, plan.direction_of(channel)), candidate


def _channel(state: State, name: str | None) -> Channel | None:
    return None if name is None else state.plan.catalog.definition.channels.get(name)


def _deadline(state: State, channel_name: str | None, presented_at_us: int) -> int:
    """When silence counts as an answer; FOREVER_US where it never does."""
    channel = _channel(state, channel_name)
    if channel is None or channel.no_response >= FOREVER_US:
        return FOREVER_US
    return presented_at_us + channel.no_response


def _skipping(state: State) -> set[str]:
    return {label for label, spec in state.plan.catalog.definition.outcomes.items() if spec.exposure == SKIPPED}


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known) or 'none'}"
