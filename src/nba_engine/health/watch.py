"""The seam between outcomes and health: what passes on its way to the models is counted here, and what is taken back leaves again.

`learning` calls it at each presentation, answer and take-back, `memory` saves and restores it; replaying a journal gives the same counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nba_engine.arbitration.exploration import EPSILON, GREEDY, UNIFORM
from nba_engine.challenger import Challenger, Differences
from nba_engine.facts.crosses import Cross
from nba_engine.health.drift import STRETCH, Alarm, Drift, Stretch
from nba_engine.health.groups import Cell, Groups
from nba_engine.health.tallies import ONE, Compared, Tally

if TYPE_CHECKING:
    from nba_engine.catalog.plan import Plan
    from nba_engine.ledger import Kept, OfferState
    from nba_engine.records import Offer

_COARSER = 8
"""Bits by which a detector's units are coarser than those of tallies."""

Key = tuple[str, str | None]
"""An action and its treatment."""


class Answers(msgspec.Struct, gc=False):
    """One action's answers: the latest, fewer than STRETCH, as they came (treatment, propensity, reward; None where taken back) and the time of
    the first of them; the others as its detector has them."""

    since_us: int = 0
    latest: list[tuple[str | None, float, float] | None] = msgspec.field(default_factory=list)
    drift: Drift = msgspec.field(default_factory=Drift)


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What a report is made of: counts that no longer change, each action's number of alarms, the strongest of those kept and the time of the latest,
    how the models are written, and which facts the one in charge takes together."""

    tallies: Mapping[Key, Tally]
    alarms: Mapping[str, tuple[int, Alarm, int]]
    groups: Mapping[str, Mapping[str, Cell]]
    compared: Mapping[str, Differences]
    in_charge: str
    in_shadow: str | None
    promoted_at_us: int | None
    crosses: Sequence[Cross]


class Watch:
    """Tallies by action and treatment, a detector per action, groups by sensitive fact. Not locked: the engine's lock guards it.

    An answer is only noted; STRETCH of them are counted together. Cost: about 1 us an answer, 100 us for each STRETCH of them; memory some 3 kB per
    action that was shown.
    """

    def __init__(self, plan: Plan) -> None:
        self.tallies: dict[Key, Tally] = {}
        self.answers: dict[str, Answers] = {}
        self.groups = Groups()
        self.use(plan)

    def use(self, plan: Plan) -> None:
        """Go on under another catalog; counts are kept by name, also of actions that leave and come back."""
        self._plan, self._by_chance = plan, _by_chance(plan)
        self.groups.use(plan)

    def presented(self, kept: Kept, offer: OfferState, sign: int = 1) -> None:
        """An offer reached its subject, or with `sign` -1 did not after all."""
        record = offer.record
        tally = self.tallies.get((record.action, record.treatment)) or self._tally(record.action, record.treatment)
        tally.impressions += sign
        tally.random += sign * self._random(kept, record, offer.candidate)

    def answered(self, kept: Kept, offer: Offer, reward: float, at_us: int) -> int:
        """An offer's answer taught the models; returns the number that takes it back."""
        answers = self.answers.get(offer.action)
        if answers is None:
            answers = self.answers[offer.action] = Answers()
        latest = answers.latest
        n = len(latest)
        if n == 0:
            answers.since_us = at_us
        latest.append((offer.treatment, offer.propensity, reward))
        number = answers.drift.n + n
        if self.groups.facts:
            self.groups.answered(kept, offer.action, int(reward * ONE + 0.5), number)
        if n + 1 == STRETCH:
            self._fold(offer.action, answers, at_us)
        return number

    @property
    def n_taught(self) -> int:
        """How many answers taught so far, those taken back since among them."""
        return sum(answers.drift.n + len(answers.latest) for answers in self.answers.values())

    def taken_back(self, kept: Kept, offer: Offer, reward: float, number: int) -> None:
        """An answer holds no longer; `number` is what `answered` returned."""
        answers = self.answers[offer.action]
        if number >= answers.drift.n:
            answers.latest[number - answers.drift.n] = None
        else:
            compared = Compared.of(offer.propensity, reward)
            answers.drift.take_back(compared.loss >> _COARSER, compared.reward >> _COARSER, number)
            self._tally(offer.action, offer.treatment).add(number, compared, -1)
        if self.groups.facts:
            self.groups.taken_back(kept, offer.action, int(reward * ONE + 0.5), number)

    def _fold(self, action: str, answers: Answers, at_us: int) -> None:
        """Count the latest answers, and show them to the detector."""
        n = loss = squares = rewards = 0
        for number, told in enumerate(answers.latest, start=answers.drift.n):
            if told is not None:
                treatment, propensity, reward = told
                compared = Compared.of(propensity, reward)
                self._tally(action, treatment).add(number, compared)
                own = compared.loss >> _COARSER
                n, loss, squares, rewards = n + 1, loss + own, squares + own * own, rewards + (compared.reward >> _COARSER)
        answers.drift.add(Stretch(STRETCH, n, loss, squares, rewards, answers.since_us), at_us)
        answers.latest = []

    def seen(self, model: str, challenger: Challenger | None, crosses: Sequence[Cross]) -> Seen:
        """Everything counted so far, in copies; `model` is the catalog's section. Cost: some microseconds per action."""
        tallies: dict[Key, Tally] = {}
        for key, tally in self.tallies.items():
            answers = self.answers.get(key[0]) or Answers()
            found = tallies[key] = tally.seen(answers.drift.n + len(answers.latest))
            for told in answers.latest:
                if told is not None and told[0] == key[1]:
                    found.count(Compared.of(*told[1:]))
        drifts = {action: answers.drift for action, answers in self.answers.items()}
        alarms = {action: (drift.n_alarms, max(drift.alarms, key=lambda alarm: alarm.strength), drift.alarms[-1].at_us)
                  for action, drift in drifts.items() if drift.alarms}
        if challenger is None:
            return Seen(tallies, alarms, self.groups.copied(), {}, model, None, None, crosses)
        compared = {action: msgspec.structs.replace(sums) for action, sums in challenger.differences.items()}
        return Seen(tallies, alarms, self.groups.copied(), compared, challenger.sections[challenger.promoted], challenger.section,
                    challenger.promoted_at_us, crosses)

    def state(self) -> dict[str, Any]:
        """Plain data; the same counts give the same bytes."""
        return self.cut()()

    def cut(self) -> Callable[[], dict[str, Any]]:
        """Tells what `state` would say now; another thread may ask while this one goes on. Cost: some 4 us per action. Counts are copied as they are:
        lists of them would wake the garbage collector."""
        tallies, groups = [(key, tally.copied()) for key, tally in self.tallies.items()], self.groups.cut()
        found = [(action, a.since_us, a.latest.copy(), a.drift.copied()) for action, a in self.answers.items()]

        def told() -> dict[str, Any]:
            answers = [[action, since_us, [one and list(one) for one in latest], drift.state()] for action, since_us, latest, drift in found]
            return {"tallies": [[*key, tally.state()] for key, tally in tallies], "answers": answers, "groups": groups()}

        return told

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.tallies = {(action, treatment): Tally.of(tally) for action, treatment, tally in state["tallies"]}
        self.answers = {action: Answers(since_us, [told and tuple(told) for told in latest], Drift.of(drift))
                        for action, since_us, latest, drift in state["answers"]}
        self.groups.load(state["groups"])

    def _tally(self, action: str, treatment: str | None) -> Tally:
        key = action, treatment
        found = self.tallies.get(key)
        if found is None:
            found = self.tallies[key] = Tally()
        return found

    def _random(self, kept: Kept, offer: Offer, candidate: int) -> int:
        """The chance, in units, that chance and not the model chose this offer: certain in a uniform control group; else what uniform choice, as the
        decision's own catalog has it, put into its selection probability, n being the actions that competed with it."""
        decision, plan = kept.decision, kept.plan
        if decision.control_group is not None:
            return ONE if any(group.name == decision.control_group and group.kind == "uniform" for group in plan.control_groups) else 0
        by_chance = self._by_chance if plan is self._plan else _by_chance(plan)
        if by_chance == 0.0 or (candidate >= 0 and not plan.explores[candidate]):
            return 0
        n = decision.funnel["value"] - (plan.null_candidate >= 0) - offer.rank + 1
        share = by_chance / ((n if n > 1 else 1) * offer.selection_probability)
        return int(ONE * share + 0.5) if share < 1.0 else ONE


def _by_chance(plan: Plan) -> float:
    """The chance of a uniform choice."""
    law = plan.exploration
    share = 0.0 if law.kind == GREEDY else law.uniform_share
    return 1.0 if law.kind == UNIFORM else share + (1.0 - share) * law.epsilon if law.kind == EPSILON else share
