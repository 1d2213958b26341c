"""What a decision keeps, read aloud: for every action the stage where it fell and everything that stopped it, or its terms and rank.

Rules are evaluated again by the plain evaluator on the facts of the decision, contact suppressions listed from the history that it saw.
Nothing of this is on the decision path. Cost: about 10 us per rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.catalog.catalog import RULE_STAGES
from nba_engine.contact.history import History
from nba_engine.contact.listing import Suppression, closes, suppressions
from nba_engine.decision import terms_of
from nba_engine.ledger import Kept
from nba_engine.records import ActionExplanation, Explanation, Reason
from nba_engine.rules import plain
from nba_engine.rules.values import UNKNOWN, ErrorValue

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def explain(kept: Kept) -> Explanation:
    """Every action of a decision: first the slate in its order, then the others as the catalog lists them."""
    reading = _Reading(kept)
    found = [reading.action(i) for i in range(len(kept.plan.action_ids))]
    return Explanation(kept.decision, tuple(sorted(found, key=lambda a: a.rank or len(found) + 1)))


class _Reading:
    """One decision being read."""

    def __init__(self, kept: Kept) -> None:
        self._kept, self._plan, self._judgement = kept, kept.plan, kept.judgement
        self._variables = self._rule_variables()
        self._position = {int(c): i for i, c in enumerate(self._judgement.survivors)}
        self._ranks = {(o.action, o.treatment): o.rank for o in kept.decision.offers}
        history = History()
        history.events, history.n_events = self._judgement.history, len(self._judgement.history)
        self._suppressions = suppressions(self._plan.contact_rules, history, self._judgement.at_us, self._judgement.channel_index)
        self._verdicts: dict[str, str] = {}
        self._survivors_terms: npt.NDArray[np.float64] | None = None

    def action(self, index: int) -> ActionExplanation:
        """The candidate of this action that came furthest speaks for it."""
        candidates = [c for c in range(self._plan.n_candidates) if self._plan.action[c] == index]
        found = [self._candidate(c) for c in candidates]
        stages = ["available", *RULE_STAGES, "contact", "value", "arbitration", "offered"]
        return max(found, key=lambda a: stages.index(a.stage))

    def _candidate(self, c: int) -> ActionExplanation:
        plan, own = self._plan, int(self._plan.channel[c])
        name, treatment = plan.action_ids[plan.action[c]], plan.treatments[c]
        channel = plan.channel_ids[own] if own >= 0 else self._kept.decision.channel
        rank = self._ranks.get((name, treatment))
        if rank is not None or c in self._position:
            reason = () if rank is not None else (self._not_drawn(c),)
            return ActionExplanation(name, treatment, channel, rank is not None, rank, "offered" if rank is not None else "arbitration",
                                     reason, self._terms(c, rank))
        stages = list(self._stages(c))
        found = tuple(r for _, reasons in stages for r in reasons)
        if not found:  # a decision rebuilt from the journal, which keeps the terms of what was offered
            found = (Reason("priority", "priority", "not drawn; its terms are no longer at hand"),)
        stage = next((stage for stage, reasons in stages if reasons), "arbitration")
        return ActionExplanation(name, treatment, channel, False, None, stage, found)

    def _stages(self, c: int) -> Iterable[tuple[str, list[Reason]]]:
        """Each stage in order with what stopped the candidate there; all of them, not only the first."""
        yield "available", list(self._unavailable(c))
        for stage in RULE_STAGES:
            yield stage, [reason for place, text in self._rules(c, stage) if (reason := self._stopped(place, text))]
        yield "contact", list(self._contact(c))
        yield "value", list(self._value(c))

    def _unavailable(self, c: int) -> Iterable[Reason]:
        plan, judgement = self._plan, self._judgement
        own = int(plan.channel[c])
        if judgement.channel_index >= 0 and own not in (-1, judgement.channel_index):
            yield Reason("channel", plan.channel_ids[own], f"this treatment is for {plan.channel_ids[own]}, asked was {self._kept.decision.channel}")
        for candidate, first, last in plan.windows.tolist():
            if candidate == c and not first <= judgement.at_us <= last:
                yield Reason("valid", "valid", f"{self._kept.decision.at.isoformat()} is outside its days")

    def _rules(self, c: int, stage: str) -> Iterable[tuple[str, str]]:
        """(place, text) of each rule of a stage, from the issue's down to the treatment's."""
        definition, index = self._plan.catalog.definition, int(self._plan.action[c])
        action = definition.actions[index]
        issue = definition.issues.get(action.issue or "")
        group = issue.groups.get(action.group or "") if issue else None
        treatments = [(f"actions[{index}].treatments[{k}]", t) for k, t in enumerate(action.treatments) if t.id == self._plan.treatments[c]]
        levels = [(f"issues.{action.issue}", issue), (f"issues.{action.issue}.groups.{action.group}", group), (f"actions[{index}]", action)]
        for place, level in [*levels, *treatments]:
            for k, text in enumerate(getattr(level, stage, ())):
                yield f"{place}.{stage}[{k}]", text

    def _stopped(self, place: str, text: str) -> Reason | None:
        if text not in self._verdicts:
            value = plain.evaluate(self._plan.catalog.rule(text)[0], self._variables, nullable=True)
            self._verdicts[text] = "true" if value is True else "false" if value is False else "unknown"
        verdict = self._verdicts[text]
        return None if verdict == "true" else Reason("rule", place, text, verdict)

    def _contact(self, c: int) -> Iterable[Reason]:
        judgement, plan = self._judgement, self._plan
        if c == plan.null_candidate:
            return  # there is no contact in offering nothing
        own = int(plan.channel[c]) if judgement.channel_index < 0 else judgement.channel_index
        for consent in plan.consents:
            state, value = judgement.row.states[0, consent.column], judgement.row.values[0, consent.column]
            if own == consent.channel_index and (state != 0 or value != 1):
                yield Reason("consent", consent.fact, f"{consent.channel} needs {consent.fact} to be true", "unknown" if state else "false")
        for suppression in self._suppressions:
            if closes(plan.contact_rules, suppression, c, judgement.channel_index):
                yield Reason(suppression.kind, suppression.name, _until(suppression))

    def _value(self, c: int) -> Iterable[Reason]:
        written = self._plan.catalog.definition.actions[self._plan.action[c]].value
        value = plain.evaluate(self._plan.catalog.rule(written)[0], self._variables, nullable=True) if isinstance(written, str) else written
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            verdict = "unknown" if value is UNKNOWN or isinstance(value, ErrorValue) else "false"
            found = "unknown" if value is UNKNOWN else f"an error, {value.message}" if isinstance(value, ErrorValue) else value
            yield Reason("value", "value", f"{written} is {found}; a known, finite value of at least 0 is needed", verdict)

    def _not_drawn(self, c: int) -> Reason:
        position = self._position[c]
        if self._kept.decision.control_group is not None:
            return Reason("control_group", self._kept.decision.control_group, "the subject is served by the control group's own rule")
        if c == self._plan.null_candidate:
            return Reason("priority", "null_action", "offering nothing is worth 0")
        p = float(self._judgement.slate.first_pmf[position])
        return Reason("priority", "priority", f"not drawn; its probability for the first place was {p:.4g}")

    def _terms(self, c: int, rank: int | None) -> Mapping[str, float] | None:
        if rank is not None:
            offer = self._kept.decision.offers[rank - 1]
            names = ("propensity", "value", "context_weight", "lever", "cost", "priority", "selection_probability")
            return {name: getattr(offer, name) for name in names}
        i = self._position[c]
        if self._survivors_terms is None:
            self._survivors_terms = terms_of(self._plan, self._judgement)
        value, context_weight, lever, cost = self._survivors_terms[i].tolist()
        propensity = 0.0 if c == self._plan.null_candidate else float(self._judgement.propensity[i])
        return {"propensity": propensity, "value": value, "context_weight": context_weight, "lever": lever, "cost": cost,
                "priority": propensity * value * context_weight * lever - cost}

    def _rule_variables(self) -> dict[str, Any]:
        plan, judgement = self._plan, self._judgement
        variables = plan.encoder.variables(judgement.row)
        variables["now"] = _EPOCH + timedelta(microseconds=judgement.at_us)
        if judgement.channel_index >= 0:
            variables["channel"] = plan.channel_ids[judgement.channel_index]
            variables["direction"] = plan.directions[judgement.channel_index]
        return variables


def _until(suppression: Suppression) -> str:
    if suppression.until_us is None:
        return "suppressed without end"
    return f"suppressed until {(_EPOCH + timedelta(microseconds=suppression.until_us)).isoformat()}"
