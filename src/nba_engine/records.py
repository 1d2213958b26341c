"""What goes in and comes out, as plain frozen records. No behaviour lives here beyond reading aloud.

Those that every decision or outcome makes are msgspec structs, 0.1 us each to make where a frozen dataclass takes 2 (docs/decisions/0007-records.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa


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
    """The record of one interaction: the slate and how it came about.

    `interaction`: as the caller named it, or the subject's n-th as `#n`; `channel`: None where all competed; `slate_probability`: the product of the
    offers' selection probabilities, 1 without offers; `funnel`: actions left after each stage, in order; `control_group`: the one that served the
    subject; `catalog_version`, `beliefs_version`: what it was made with; `repeat_of`: the first decision of the same named interaction.
    """

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


def unnamed(n: int) -> str:
    """What a subject's n-th decision, counted from 1, calls an interaction that the caller does not name."""
    return f"#{n}"


class Outcome(msgspec.Struct, frozen=True, gc=False):
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


class Receipt(msgspec.Struct, frozen=True, gc=False):
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
    """Why an action fell. `kind`: channel, valid, rule, consent, contact_policy, reason, value, priority, control_group; `verdict`: false or unknown.

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
    """One action of one decision: where it fell and why, or its terms and rank; `str()` reads it aloud."""

    action: str
    treatment: str | None
    channel: str | None
    offered: bool
    rank: int | None
    stage: str
    reasons: tuple[Reason, ...] = ()
    terms: Mapping[str, float] | None = None

    def __str__(self) -> str:
        name = self.action if self.treatment is None else f"{self.action} ({self.treatment})"
        head = f"{self.rank}. {name}" if self.offered else f"-  {name}: {self.stage}"
        if self.terms is not None:
            head += "  " + ", ".join(f"{term} {value:.4g}" for term, value in self.terms.items())
        return "\n".join([head, *(f"     {reason}" for reason in self.reasons)])


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


class Reading(Protocol):
    """What an explanation is read from: a decision that is kept, with the plan and the facts of its time."""

    @property
    def catalog_version(self) -> str: ...
    def actions(self) -> tuple[ActionExplanation, ...]: ...
    def action(self, action: str) -> ActionExplanation: ...
    def arrays(self) -> pa.Table: ...
    def smallest_change(self, action: str) -> Change: ...


class Believed(Protocol):
    """How sure the beliefs are about a decision."""

    def interval(self, action: str, treatment: str | None, level: float) -> tuple[float, float]: ...
    def margin(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every action of one decision, read when asked for: as arrays, one action in words, or all of them by `str()` and `to_dict()`."""

    decision: Decision
    _reading: Reading = field(repr=False, compare=False)
    _believed: Believed = field(repr=False, compare=False)

    @property
    def catalog_version(self) -> str:
        """The version of the catalog whose rules and actions are read here. It is not the decision's own where that was rebuilt from the store after
        another catalog came into use: then an action may read as not drawn that a rule of the decision's own catalog had stopped."""
        return self._reading.catalog_version

    @property
    def actions(self) -> tuple[ActionExplanation, ...]:
        """Every action in words: the slate in its order, then the others as the catalog lists them. Made once, some 50 us an action."""
        return self._reading.actions()

    def of(self, action: str) -> ActionExplanation:
        """One action in words; those of the others are not made. Raises RequestError where the catalog has no such action."""
        return self._reading.action(action)

    def arrays(self) -> pa.Table:
        """What became of every candidate, in the order of the catalog and without texts: for counting over many actions or decisions.

        Columns: `action`, `treatment`, `channel` (null where any), `offered`, `rank` (null unless offered), `stage` where it fell, `reasons`, a list
        of {kind, name, verdict} as in `to_dict()`, and for what reached arbitration its terms: `propensity`, `value`, `context_weight`, `lever`,
        `cost`, `priority`, and `selection_probability` of what was offered. **Cost**: under 2 ms for 1,000 actions with five rules each
        (`python -m benchmarks.bench_explain`); the first call after a catalog came into use compiles its rules for this, about 1 ms an action.
        """
        return self._reading.arrays()

    def interval(self, action: str, treatment: str | None = None, level: float = 0.95) -> tuple[float, float]:
        """Lowest and highest propensity that are believed, at `level`, of an action in this situation: the model's own posterior, not what
        exploration draws with. It is what is believed now: right after `decide` that is what the decision saw.

        An offer is asked about at its own rank, another candidate at the first; `treatment` may be left out where the action was offered or has
        one. Raises RequestError for an action or treatment that the catalog does not have, or where a reload came in between. **Cost**: some 50 us.
        """
        return self._believed.interval(action, treatment, level)

    @property
    def margin(self) -> float:
        """How clear the first choice was: the largest probability of the first slot less the second largest, 0 to 1; 1 where only one was left,
        0 where none. It counts `uniform_share` in, and is made of what the decision keeps while it is at hand: of one that was rebuilt from the
        store it is NaN."""
        return self._believed.margin()

    def smallest_change(self, action: str) -> Change:
        """What would have to be different for `action` to be eligible: worked out when asked for, some milliseconds.

        Facts declared `immutable`, `now` and `channel` stay as they are. Raises RequestError where the catalog has no such action.
        """
        return self._reading.smallest_change(action)

    def to_dict(self) -> dict[str, Any]:
        """`{decision, funnel, actions: [{action, treatment, channel, offered, rank, stage, reasons, terms}]}` of plain values."""
        decision = msgspec.to_builtins(self.decision)
        return {"decision": decision, "funnel": dict(self.decision.funnel), "actions": msgspec.to_builtins(self.actions)}

    def __str__(self) -> str:
        d = self.decision
        counts = " > ".join(f"{stage} {n}" for stage, n in d.funnel.items())
        lines = [f"decision {d.id} for {d.subject} on {d.channel or 'any channel'} at {d.at.isoformat()}", f"  funnel: {counts}"]
        if d.control_group:
            lines.append(f"  control group: {d.control_group}")
        if self.catalog_version != d.catalog_version:
            lines.append(f"  decided under catalog {d.catalog_version}; rules and actions below are those of catalog {self.catalog_version}")
        lines += [f"  {a}".replace("\n", "\n  ") for a in self.actions]
        return "\n".join(lines)
