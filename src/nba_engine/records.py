"""What goes in and comes out, as plain frozen records. No behaviour lives here beyond reading aloud.

The two that every decision makes are msgspec structs, 0.1 us each to make where a frozen dataclass takes 2 (docs/decisions/0007-records.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import msgspec


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One candidate placed in a slate, with the terms that placed it.

    `propensity` is P(positive | presented, facts, rank) in (0, 1); `priority = propensity * value * context_weight * lever - cost`
    in the currency of `value`; `selection_probability` in (0, 1] is the probability with which this candidate was drawn for this rank,
    given what stands before it.
    """

    action: str
    treatment: str | None
    channel: str | None
    rank: int
    propensity: float
    value: float
    context_weight: float
    lever: float
    cost: float
    priority: float
    selection_probability: float
    script: str | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The record of one interaction: the slate and how it came about. `funnel` counts actions left after each stage, in order."""

    id: str
    request_id: str | None
    interaction: str
    subject: str
    channel: str | None
    at: datetime
    offers: tuple[Offer, ...]
    slate_probability: float
    funnel: Mapping[str, int]
    control_group: str | None
    catalog_version: str
    beliefs_version: int
    repeat_of: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one offer. `label` is one of the catalog's; `value` is money or None for the label's own."""

    decision_id: str
    action: str
    treatment: str | None
    label: str
    at_us: int
    reason: str | None = None
    value: float | None = None
    agent: str | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `record` did: `duplicate` if it was known already, `learned` if the model was taught, `reward` the number it was taught."""

    decision_id: str
    action: str
    label: str
    event_id: str | None
    duplicate: bool
    learned: bool
    reward: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an action fell. `kind`: rule, contact_policy, reason, consent, valid, channel, value or priority; `verdict`: false or unknown.

    `because`: the conditions and values that decided, as `monthly_bill < 90.0: monthly_bill is 104.5`; empty where `text` says it all.
    """

    kind: str
    name: str
    text: str
    verdict: str = "false"
    because: str = ""

    def __str__(self) -> str:
        head = self.kind if self.kind == self.name else f"{self.kind} {self.name}"
        said = f"{head}: {self.text} is {self.verdict}" if self.kind == "rule" else f"{head}: {self.text}"
        cause = self.because.removeprefix(f"{self.text}: ")
        return f"{said}; {cause}" if cause else said


@dataclass(frozen=True, slots=True)
class ActionExplanation:
    """One action of one decision: where it fell and why, or its terms and rank."""

    action: str
    treatment: str | None
    channel: str | None
    offered: bool
    rank: int | None
    stage: str
    reasons: tuple[Reason, ...] = ()
    terms: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The fewest facts that would let an action through its rules, consent and value, with the values that do; `str()` is the sentence.

    `facts`: empty where nothing needs to change, None where no change of up to three facts that may change would do.
    """

    action: str
    treatment: str | None
    facts: Mapping[str, Any] | None
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every action of one decision, read aloud by `str()`."""

    decision: Decision
    actions: tuple[ActionExplanation, ...]
    _change: Callable[[str], Change] = field(repr=False, compare=False)

    def smallest_change(self, action: str) -> Change:
        """What would have to be different for `action` to be eligible: worked out when asked for, some milliseconds.

        Facts declared `immutable`, `now` and `channel` stay as they are. Raises RequestError where the catalog has no such action.
        """
        return self._change(action)

    def to_dict(self) -> dict[str, Any]:
        """`{decision, funnel, actions: [{action, treatment, channel, offered, rank, stage, reasons, terms}]}` of plain values."""
        decision = msgspec.to_builtins(self.decision)
        return {"decision": decision, "funnel": dict(self.decision.funnel), "actions": [asdict(a) for a in self.actions]}

    def __str__(self) -> str:
        d = self.decision
        counts = " > ".join(f"{stage} {n}" for stage, n in d.funnel.items())
        lines = [f"decision {d.id} for {d.subject} on {d.channel or 'any channel'} at {d.at.isoformat()}", f"  funnel: {counts}"]
        if d.control_group:
            lines.append(f"  control group: {d.control_group}")
        lines += [_action_line(a) for a in self.actions]
        return "\n".join(lines)


def _action_line(a: ActionExplanation) -> str:
    name = a.action if a.treatment is None else f"{a.action} ({a.treatment})"
    head = f"  {a.rank}. {name}" if a.offered else f"  -  {name}: {a.stage}"
    if a.terms is not None:
        head += "  " + ", ".join(f"{term} {value:.4g}" for term, value in a.terms.items())
    return "\n".join([head, *(f"       {reason}" for reason in a.reasons)])
