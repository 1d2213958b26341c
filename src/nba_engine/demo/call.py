"""Second act: one customer who may leave, on the phone and on the web, from the first offer to the cancelled accept.

Everything is made up: catalog (data/contact_centre.yaml), past contacts, customer. Seed and times are fixed, so it goes the same way each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import as_file, files
from typing import Any

from nba_engine.catalog.catalog import Catalog
from nba_engine.demo.past import past_contacts
from nba_engine.engine import Engine
from nba_engine.records import Decision, Explanation, Offer, Receipt

CUSTOMER = "customer-42"
VISIT = "wants to cancel, 3 March"
FACTS: dict[str, Any] = {
    "churn_risk": 0.82,
    "monthly_bill": 79.0,
    "tenure_months": 31,
    "tariff": "mobile-20",
    "products": ["mobile"],
    "open_complaints": 0,
    "intent": "cancel",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What happened, and why: `offers` in their order with their terms, `why` in short lines."""

    at: datetime
    channel: str
    title: str
    offers: tuple[Offer, ...]
    why: tuple[str, ...]


def contact_centre() -> Catalog:
    """The made-up catalog of the call."""
    with as_file(files("nba_engine") / "data" / "contact_centre.yaml") as path:
        return Catalog.load(path)


def experienced_engine() -> Engine:
    """An engine on that catalog that has learned from the past contacts."""
    catalog = contact_centre()
    engine = Engine(catalog, seed=0)
    engine.learn(past_contacts(catalog))
    return engine


def call() -> list[Step]:
    """Play the act from beginning to end."""
    engine = experienced_engine()
    story = _Story(engine)

    first = story.asks("call", "the customer calls to cancel; the agent sees three offers", _at(3, 14, 2))
    skipped, offered = first.offers[:2]
    story.answers(first, skipped, "skipped", f"the agent skips {skipped.action}", _at(3, 14, 3))
    story.answers(first, offered, "declined", f"the agent offers {offered.action}; the customer: too expensive", _at(3, 14, 4), "too_expensive")
    story.asks("call", f"what next? Neither {offered.action} nor anything similar", _at(3, 14, 5))

    web = story.asks("web", "the customer hangs up and looks at the web page: treated the same", _at(3, 14, 5))
    taken = web.offers[0]
    story.answers(web, taken, "accepted", f"accepts {taken.action}", _at(3, 14, 6))
    story.asks("web", f"a week later: {taken.action} is sold, so it stays away", _at(10, 9, 0), "a week later")
    story.answers(web, taken, "cancelled", f"cancels {taken.action} within the cooling-off time: the accept is taken back", _at(12, 18, 0))
    story.asks("call", f"the next day: {taken.action} may be offered again", _at(13, 10, 0), "the next day")
    return story.steps


class _Story:
    """Asks the engine, tells it the answers, and notes each step with its reasons."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.steps: list[Step] = []

    def asks(self, channel: str, title: str, at: datetime, interaction: str = VISIT) -> Decision:
        decision = self._engine.decide(CUSTOMER, channel=channel, facts=FACTS, limit=3, interaction=interaction, at=at)
        self.steps.append(Step(at, channel, title, decision.offers, why_not(self._engine.explain(decision.id))))
        return decision

    def answers(self, decision: Decision, offer: Offer, label: str, title: str, at: datetime, reason: str | None = None) -> Receipt:
        before = self._propensity(offer, at)
        receipt = self._engine.record(decision.id, label, action=offer.action, reason=reason, at=at)
        after = self._propensity(offer, at)
        if before == after:
            why = "it was not shown, so it says nothing about the customer: nothing is learned"
        else:
            why = f"propensity of {offer.action}, such a customer, {offer.channel}: {before:.3f} before, {after:.3f} after"
        self.steps.append(Step(at, str(decision.channel), title, (), (why,)))
        return receipt

    def _propensity(self, offer: Offer, at: datetime) -> float:
        """Asked for somebody just like this customer whom nobody has contacted, so that no decline hides it."""
        twin = self._engine.decide("somebody alike", channel=offer.channel, facts=FACTS, interaction="what if", at=at)
        terms = next(a.terms for a in self._engine.explain(twin.id).actions if a.action == offer.action)
        return terms["propensity"] if terms else float("nan")


def why_not(explanation: Explanation) -> tuple[str, ...]:
    """One line for each action that was stopped, with the first thing that stopped it."""
    stopped = [a for a in explanation.actions if not a.offered and a.stage != "arbitration"]
    return tuple(f"not {a.action}: {reason}" for a in stopped for reason in a.reasons[:1])


def _at(day: int, hour: int, minute: int) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=timezone.utc)
