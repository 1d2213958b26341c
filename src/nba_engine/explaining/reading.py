"""One decision read in words: for every action the stage where it fell and everything that stopped it, or its terms and rank.

Rules are evaluated again by the plain evaluator on the facts of the decision, contact suppressions listed from the history that it saw.
Cost: about 10 us per rule, twice that for a text that is not true; one action costs its own rules only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine.catalog.catalog import RULE_STAGES
from nba_engine.contact.history import History
from nba_engine.contact.listing import Suppression, closes, suppressions
from nba_engine.decision import terms_of
from nba_engine.errors import RequestError
from nba_engine.explaining.asked import STAGES, Asked, asked
from nba_engine.ledger import Kept
from nba_engine.moments import moment_of
from nba_engine.records import ActionExplanation, Change, Reason
from nba_engine.rules import Node, parse, plain
from nba_engine.rules.changing import CHANGED_FACTS_MAX, is_changeable, is_exact, smallest_change
from nba_engine.rules.deciding import because, fact_is, facts_in, shown
from nba_engine.rules.values import UNKNOWN, ErrorValue, to_python
from nba_engine.schema import BUILT_IN_FACTS, VALUE_MAX

if TYPE_CHECKING:
    import pyarrow as pa


class DecisionReading:
    """A decision that is kept, being read. Nothing is read before it is asked for; what was read is kept."""

    def __init__(self, kept: Kept) -> None:
        self._kept, self._plan, self._judgement = kept, kept.plan, kept.judgement
        self._verdicts: dict[str, str] = {}
        self._causes: dict[str, str] = {}

    @property
    def catalog_version(self) -> str:
        """That of the plan which the decision is read under."""
        return self._plan.version

    def actions(self) -> tuple[ActionExplanation, ...]:
        """First the slate in its order, then the others as the catalog lists them."""
        return self._actions

    def action(self, action: str) -> ActionExplanation:
        """The candidate of this action that came furthest speaks for it."""
        return self._action(self._index_of(action))

    def arrays(self) -> pa.Table:
        """Every candidate, without texts."""
        from nba_engine.explaining.arrays import arrays

        return arrays(self._kept, self.suppressions, lambda: self.variables)

    @cached_property
    def _actions(self) -> tuple[ActionExplanation, ...]:
        found = [self._action(i) for i in range(len(self._plan.action_ids))]
        return tuple(sorted(found, key=lambda a: a.rank or len(found) + 1))

    def _action(self, index: int) -> ActionExplanation:
        return max((self._candidate(c) for c in self._candidates(index)), key=lambda a: STAGES.index(a.stage))

    def _index_of(self, action: str) -> int:
        ids = self._plan.action_ids
        if action not in ids:
            raise RequestError(f"action {action!r} is not in the catalog of this decision; known are {', '.join(ids)}", "action")
        return ids.index(action)

    def _candidates(self, index: int) -> range:
        """Those of an action, which stand side by side."""
        first, stop = np.searchsorted(self._plan.action, (index, index + 1)).tolist()
        return range(first, stop)

    @cached_property
    def _position(self) -> dict[int, int]:
        return {c: i for i, c in enumerate(self._judgement.survivors.tolist())}

    @property
    def _is_rebuilt(self) -> bool:
        """Whether the decision was rebuilt from the journal, which keeps the terms of what was offered only."""
        at_hand = np.unique(self._plan.action[self._judgement.survivors])
        return len(at_hand) < self._judgement.funnel["value"]

    @cached_property
    def _ranks(self) -> dict[tuple[str, str | None], int]:
        return {(o.action, o.treatment): o.rank for o in self._kept.decision.offers}

    @cached_property
    def _survivors_terms(self) -> npt.NDArray[np.float64]:
        return terms_of(self._plan, self._judgement)

    @cached_property
    def suppressions(self) -> list[Suppression]:
        """What the subject's history closed at the time."""
        judgement = self._judgement
        return suppressions(self._plan.contact_rules, History.from_bytes(judgement.history), judgement.at_us, judgement.channel_index)

    @cached_property
    def variables(self) -> dict[str, Any]:
        """The facts of the decision as the plain evaluator reads them."""
        judgement = self._judgement
        return self._plan.variables(self._plan.encoder.variables(judgement.row), judgement.at_us, judgement.channel_index)

    def smallest_change(self, action: str) -> Change:
        """Over the action's candidates that could be offered there at all, the one that asks for the fewest facts."""
        plan, candidates = self._plan, self._candidates(self._index_of(action))
        open_ones = [c for c in candidates if not list(self._unavailable(c))] or candidates
        changeable = {c.name: c.type for c in plan.encoder.columns if is_changeable(c.type) and c.name.split(".")[0] not in self._fixed}
        changes = [(smallest_change(self._conditions(c), self.variables, changeable), c) for c in open_ones]
        found, c = min(changes, key=lambda change: CHANGED_FACTS_MAX + 1 if change[0] is None else len(change[0]))
        besides = [reason.name for reason in (*self._unavailable(c), *self._contact(c)) if reason.kind != "consent"]
        if found is None:
            text = f"no change of up to {CHANGED_FACTS_MAX} facts that may change would make {action} eligible"
            if not all(is_exact(self._conditions(c), changeable, self._fixed) for c in open_ones):
                text = f"no change of up to {CHANGED_FACTS_MAX} facts that may change was found that would make {action} eligible"
        elif found:
            text = f"{action} would be eligible if " + " and ".join(
                f"{name} were {shown(value)} (it {fact_is(parse(name), self.variables).removeprefix(name + ' ')})"
                for name, value in found.items())
        else:
            text = f"{action} needs no other facts"
        text += f"; it is also stopped by {' and '.join(besides)}" if besides else ""
        facts = None if found is None else {name: to_python(value) for name, value in found.items()}
        return Change(action, plan.treatments[c], facts, text)

    @property
    def _fixed(self) -> set[str]:
        return {fact.name for fact in BUILT_IN_FACTS} | {fact.name for fact in self._plan.catalog.facts if fact.immutable}

    def _conditions(self, c: int) -> list[Node]:
        """All that facts must fulfil for a candidate: its rules, the consent of its channel, and a value that can be ranked."""
        plan, judgement = self._plan, self._judgement
        rules = [plan.catalog.rule(rule.text).node for rule in self._asked(c)]
        own = int(plan.channel[c]) if judgement.channel_index < 0 else judgement.channel_index
        if c != plan.null_candidate:
            rules += [parse(consent.fact) for consent in plan.consents if own == consent.channel_index]
        value = plan.catalog.definition.actions[plan.action[c]].value
        return [*rules, parse(f"({value}) >= 0.0 && ({value}) <= {VALUE_MAX!r}")] if isinstance(value, str) else rules

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
        stage = next((stage for stage, reasons in stages if reasons), "arbitration")
        if not found and self._is_rebuilt:
            found = (Reason("priority", "priority", "not drawn; its terms are no longer at hand"),)
        elif not found:
            stage = "value"  # the last one before the arbitration, which it did not reach
            found = (Reason("value", "value", "stopped when it was decided, yet nothing that stops it is found now; please report this as a fault"),)
        return ActionExplanation(name, treatment, channel, False, None, stage, found)

    def _stages(self, c: int) -> Iterable[tuple[str, list[Reason]]]:
        """Each stage in order with what stopped the candidate there; all of them, not only the first."""
        yield "available", list(self._unavailable(c))
        rules = list(self._asked(c))
        for stage in RULE_STAGES:
            yield stage, [reason for rule in rules if rule.stage == stage for reason in self._stopped(rule)]
        yield "contact", list(self._contact(c))
        yield "value", list(self._value(c))

    def _unavailable(self, c: int) -> Iterable[Reason]:
        plan, judgement = self._plan, self._judgement
        own = int(plan.channel[c])
        if judgement.channel_index >= 0 and own not in (-1, judgement.channel_index):
            yield Reason("channel", plan.channel_ids[own], f"this treatment is for {plan.channel_ids[own]}, asked was {self._kept.decision.channel}")
        for _, first, last in plan.windows[plan.windows[:, 0] == c].tolist():
            if not first <= judgement.at_us <= last:
                yield Reason("valid", "valid", f"{self._kept.decision.at.isoformat()} is outside its days")

    def _asked(self, c: int) -> Iterable[Asked]:
        return asked(self._plan.catalog, int(self._plan.action[c]), self._plan.treatments[c])

    def _stopped(self, rule: Asked) -> Iterable[Reason]:
        if self._verdict(rule.text) != "true":
            for place, text in rule.parts:
                if (verdict := self._verdict(text)) != "true":
                    if text not in self._causes:
                        self._causes[text] = because(self._plan.catalog.rule(text).node, self.variables)
                    yield Reason("rule", place, text, verdict, self._causes[text])

    def _verdict(self, text: str) -> str:
        if text not in self._verdicts:
            value = plain.evaluate(self._plan.catalog.rule(text).node, self.variables, nullable=True)
            self._verdicts[text] = "true" if value is True else "false" if value is False else "unknown"
        return self._verdicts[text]

    def _contact(self, c: int) -> Iterable[Reason]:
        judgement, plan = self._judgement, self._plan
        if c == plan.null_candidate:
            return  # there is no contact in offering nothing
        own = int(plan.channel[c]) if judgement.channel_index < 0 else judgement.channel_index
        for consent in plan.consents:
            state, value = judgement.row.states[0, consent.column], judgement.row.values[0, consent.column]
            if own == consent.channel_index and (state != 0 or value != 1):
                yield Reason("consent", consent.fact, f"{consent.channel} needs {consent.fact} to be true", "unknown" if state else "false",
                             fact_is(parse(consent.fact), self.variables))
        for suppression in self.suppressions:
            if closes(plan.contact_rules, suppression, c, judgement.channel_index):
                yield Reason(suppression.kind, suppression.name, _until(suppression))

    def _value(self, c: int) -> Iterable[Reason]:
        written = self._plan.catalog.definition.actions[self._plan.action[c]].value
        value = plain.evaluate(self._plan.catalog.rule(written).node, self.variables, nullable=True) if isinstance(written, str) else written
        if not isinstance(value, int | float) or not 0 <= value <= VALUE_MAX:
            verdict = "unknown" if value is UNKNOWN or isinstance(value, ErrorValue) else "false"
            found = "unknown" if value is UNKNOWN else f"an error, {value.message}" if isinstance(value, ErrorValue) else value
            seen = [fact_is(name, self.variables) for name in facts_in(self._plan.catalog.rule(written).node)] if isinstance(written, str) else []
            text = f"{written} is {found}; a known value from 0 to {VALUE_MAX:g} is needed"
            yield Reason("value", "value", text, verdict, " and ".join(dict.fromkeys(seen)))

    def _not_drawn(self, c: int) -> Reason:
        position = self._position[c]
        if self._kept.decision.control_group is not None:
            return Reason("control_group", self._kept.decision.control_group, "the subject is served by the control group's own rule")
        if c == self._plan.null_candidate:
            return Reason("priority", "null_action", "offering nothing is worth 0")
        if self._plan.null_candidate in self._position and self._terms(c, None)["priority"] < 0.0:
            return Reason("priority", "null_action", "worth less than offering nothing: it ranks below the null action")
        p = float(self._judgement.first_pmf[position])
        return Reason("priority", "priority", f"not drawn; its probability for the first place was {p:.4g}")

    def _terms(self, c: int, rank: int | None) -> Mapping[str, float]:
        if rank is not None:
            offer = self._kept.decision.offers[rank - 1]
            names = ("propensity", "value", "context_weight", "lever", "cost", "priority", "selection_probability")
            return {name: getattr(offer, name) for name in names}
        i = self._position[c]
        value, context_weight, lever, cost = self._survivors_terms[i].tolist()
        propensity = 0.0 if c == self._plan.null_candidate else float(self._judgement.propensity[i])
        return {"propensity": propensity, "value": value, "context_weight": context_weight, "lever": lever, "cost": cost,
                "priority": propensity * value * context_weight * lever - cost}


def _until(suppression: Suppression) -> str:
    if suppression.until_us is None:
        return "suppressed without end"
    return f"suppressed until {moment_of(suppression.until_us).isoformat()}"
