"""The suppressions of one subject by name, in plain Python, for explain; the kernel in `suppression.py` gives the same answer in bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nba_engine.contact.history import History
from nba_engine.contact.names import DIRECTIONS, Direction, treatment_parts
from nba_engine.contact.rules import FOREVER, ContactPolicy, ContactRules, ReasonRule
from nba_engine.contact.suppression import M_ACTION


@dataclass(frozen=True, slots=True)
class Suppression:
    """One contact policy or reason and what it closes now.

    `action` is an action index, None for every action; `treatment` limits it to that treatment (`""`: the action without treatment);
    `channel` (an index) and `direction` limit where it holds, None for everywhere. `until_us` is its end if nothing new is recorded,
    None if it has none.
    """

    kind: Literal["contact_policy", "reason"]
    name: str
    action: int | None
    treatment: str | None
    channel: int | None
    direction: Direction | None
    until_us: int | None


def suppressions(rules: ContactRules, history: History, at_us: int, channel: int) -> list[Suppression]:
    """Every suppression that holds at a moment for what is asked, reasons first, each once with its latest end.

    Parameters and meaning as `clear_suppressed`. With channel -1 those of single channels and directions are listed too; `closes` says
    which candidates each one meets.

    Notes
    -----
    **Cost**: O(events^2 x contact policies) in plain Python; about 1 ms for a long history. For explain, not for deciding.
    """
    reading = _Reading(rules, history)
    found = list(reading.by_reason(at_us))
    for contact_policy in rules.contact_policies:
        found.extend(reading.by_contact_policy(contact_policy, at_us))
    latest: dict[Suppression, int | None] = {}
    for suppression in found:
        if channel >= 0 and not _holds_on(rules, suppression, channel):
            continue
        key, until = replace(suppression, until_us=None), suppression.until_us
        known = latest.get(key, 0)
        latest[key] = None if until is None or known is None else max(known, until)
    return [replace(key, until_us=until) for key, until in latest.items()]


def closes(rules: ContactRules, suppression: Suppression, candidate: int, channel: int) -> bool:
    """Whether this suppression stops the candidate when `channel` is asked for (-1: all compete)."""
    judged = channel if channel >= 0 else int(rules.candidates.channel[candidate])
    if suppression.action is not None and suppression.action != rules.candidates.action[candidate]:
        return False
    if suppression.treatment is not None and suppression.treatment != (rules.candidates.treatment[candidate] or ""):
        return False
    return _holds_on(rules, suppression, judged)


def closed_by(rules: ContactRules, suppression: Suppression, channel: int) -> npt.NDArray[np.int64]:
    """The candidates that one of `suppressions(...)` for this channel stops, in their order."""
    action = suppression.action
    first, stop = (0, len(rules.candidates.action)) if action is None else np.searchsorted(rules.candidates.action, (action, action + 1)).tolist()
    if suppression.treatment is None:
        by_channel = np.array([_holds_on(rules, suppression, k) for k in (*range(len(rules.channels)), -1)])
        holds = by_channel[rules.candidates.channel[first:stop]] if channel < 0 else np.full(stop - first, by_channel[channel])
        return first + np.flatnonzero(holds)
    return np.array([c for c in range(first, stop) if closes(rules, suppression, c, channel)], np.int64)


def _holds_on(rules: ContactRules, suppression: Suppression, channel: int) -> bool:
    if channel < 0:
        return suppression.channel is None and suppression.direction is None
    on_channel = suppression.channel is None or suppression.channel == channel
    return on_channel and suppression.direction in (None, rules.channels[channel].direction)


@dataclass(frozen=True, slots=True)
class _Event:
    """One event in this catalog's words; `action` and `channel` are None where this catalog does not know them."""

    at_us: int
    offer: int
    interaction: int
    action: int | None
    treatment: str | None
    channel: int | None
    names_channel: bool
    label: str
    reason: ReasonRule | None
    direction: str | None


class _Reading:
    """A history read with one catalog's rules."""

    def __init__(self, rules: ContactRules, history: History) -> None:
        self.rules = rules
        self.action_of = rules.meanings[:, M_ACTION]
        self.channel_index = {c.name: i for i, c in enumerate(rules.channels)}
        self.reason_rule = {r.name: r for r in rules.reasons}
        self.names = {kind: rules.names.texts(kind) for kind in ("treatment", "channel", "label", "reason")}
        self.events = [self._event(row) for row in history.rows()]

    def _event(self, row: Any) -> _Event:
        _, treatment = treatment_parts(self.names["treatment"][row["treatment"]])
        known = int(row["action"]) < len(self.action_of) and self.action_of[row["action"]] >= 0
        return _Event(
            at_us=int(row["at"]),
            offer=int(row["offer"]),
            interaction=int(row["interaction"]),
            action=int(self.action_of[row["action"]]) if known else None,
            treatment=treatment,
            channel=self.channel_index.get(self.names["channel"][row["channel"]]) if row["channel"] >= 0 else None,
            names_channel=bool(row["channel"] >= 0),
            label=self.names["label"][row["label"]],
            reason=self.reason_rule.get(self.names["reason"][row["reason"]]) if row["reason"] >= 0 else None,
            direction=DIRECTIONS[row["direction"]] if row["direction"] >= 0 else None,
        )

    def by_reason(self, at_us: int) -> Iterator[Suppression]:
        for e in self.events:
            rule = e.reason
            if rule is None or (rule.scope == "channel" and e.names_channel and e.channel is None):
                continue
            channel = e.channel if rule.scope == "channel" else None
            if rule.suppress_us and at_us < e.at_us + rule.suppress_us and (e.action is not None or rule.scope == "subject"):
                action = None if rule.scope == "subject" else e.action
                yield Suppression("reason", rule.name, action, None, channel, rule.direction, _end(e.at_us, rule.suppress_us))
            if rule.similar_us and at_us < e.at_us + rule.similar_us and e.action is not None:
                for relative in self._relatives(e.action):
                    yield Suppression("reason", rule.name, relative, None, channel, rule.direction, _end(e.at_us, rule.similar_us))

    def by_contact_policy(self, p: ContactPolicy, at_us: int) -> Iterator[Suppression]:
        counted = [e for e in self.events if e.label == p.label and e.reason is None and p.direction in (None, e.direction)]
        if len(counted) < p.count:
            return
        grouped: dict[_Target, list[_Event]] = {}
        for e in counted:
            for target in self._targets(p.scope, e):
                grouped.setdefault(target, []).append(e)
        for (action, treatment, channel), events in grouped.items():
            until = _until(p, events, at_us)
            if until is not None:
                yield Suppression("contact_policy", p.name, action, treatment, channel, p.direction, None if until >= FOREVER else until)

    def _targets(self, scope: str, e: _Event) -> list[_Target]:
        """What the event counts for: (action, treatment, channel), None where that is open."""
        if scope == "subject":
            return [(None, None, None)]
        if scope == "channel":
            return [] if e.channel is None else [(None, None, e.channel)]
        if e.action is None:
            return []
        if scope == "treatment":
            return [(e.action, e.treatment or "", None)]
        actions = self.rules.actions
        mine = actions[e.action]
        if scope == "group":
            alike = [b for b, a in enumerate(actions) if mine.group is not None and (a.issue, a.group) == (mine.issue, mine.group)]
        elif scope == "issue":
            alike = [b for b, a in enumerate(actions) if mine.issue is not None and a.issue == mine.issue]
        elif scope == "similar":
            alike = [e.action, *self._relatives(e.action)]
        else:
            alike = [e.action]
        return [(b, None, None) for b in alike]

    def _relatives(self, action: int) -> list[int]:
        return sorted({int(b) for b in self.rules.candidates.action[self.rules.similar(action)]})


_Target = tuple[int | None, str | None, int | None]


def _end(at_us: int, duration_us: int) -> int | None:
    return None if duration_us >= FOREVER else at_us + duration_us


def _until(p: ContactPolicy, events: list[_Event], at_us: int) -> int | None:
    """When the closure of one target by its matching events ends, None if it is not closed at `at_us`, FOREVER or more if never."""
    if len(events) < p.count:
        return None

    def latest_by_unit(within: list[_Event]) -> list[int]:
        latest: dict[int, int] = {}
        for e in within:
            unit = e.interaction if p.per == "interaction" else e.offer
            latest[unit] = max(e.at_us, latest.get(unit, e.at_us))
        return sorted(latest.values(), reverse=True)

    if p.suppress_us is None:
        counted = latest_by_unit([e for e in events if at_us - e.at_us < p.within_us])
        if len(counted) < p.count:
            return None
        return FOREVER if p.within_us >= FOREVER else counted[p.count - 1] + p.within_us
    ends = [
        FOREVER if p.suppress_us >= FOREVER else e.at_us + p.suppress_us
        for i, e in enumerate(events)
        if at_us < e.at_us + p.suppress_us
        and len(latest_by_unit([f for f in events[: i + 1] if e.at_us - f.at_us < p.within_us])) >= p.count
    ]
    return max(ends, default=None)
