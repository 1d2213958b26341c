"""Whether the parts of a catalog fit together: names that must exist, ids that must differ, numbers that must add up."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nba_engine import schema
from nba_engine.catalog.checking_models import check_models
from nba_engine.catalog.definition import Action, ContextWeight, Definition
from nba_engine.catalog.durations import window_us
from nba_engine.catalog.fact_types import name_problem
from nba_engine.catalog.faults import Faults, shown, suggestion
from nba_engine.catalog.loading import KeyPath, place_of
from nba_engine.contact.names import NO_RESPONSE, PRESENTED

CROSSABLE = {"bool", "string", "int", "double", "duration", "timestamp"}
"""Types of facts that can be crossed: those that are one value."""

_SHARE_SLACK = 1e-9


def check_references(definition: Definition, faults: Faults) -> None:
    """Adds a fault for everything in `definition` that does not fit the rest of it. Cost: O(size of the catalog)."""
    zone = _check_timezone(definition, faults)
    _check_facts(definition, faults)
    _check_outcomes(definition, faults)
    for name, channel in definition.channels.items():
        if channel.consent is not None:
            _check_consent(definition, channel.consent, ("channels", name, "consent"), faults)
    _check_unique("action", [(("actions", i, "id"), action.id) for i, action in enumerate(definition.actions)], faults)
    _check_null_actions(definition, faults)
    ids = [action.id for action in definition.actions]
    for i, action in enumerate(definition.actions):
        _check_action(definition, action, ("actions", i), zone, faults)
    for i, context_weight in enumerate(definition.context_weights):
        _check_context_weight(definition, context_weight, ("context_weights", i), faults)
    for i, table in enumerate(definition.tables):
        for j, row in enumerate(table.rows):
            path = ("tables", i, "rows", j)
            if not any(row.values()):
                continue  # an empty line of a spreadsheet
            if not row.get("action"):
                faults.add(path, "'action' is missing: every row names the action that it is about")
            elif row["action"] not in ids:
                faults.unknown((*path, "action"), "action", row["action"], ids, "actions")
    _check_contact_policies(definition, faults)
    _check_control_groups(definition, faults)
    check_models(definition, faults)
    _check_crosses(definition, faults)


def _check_timezone(definition: Definition, faults: Faults) -> ZoneInfo:
    try:
        return ZoneInfo(definition.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.add(("timezone",), f"came {shown(definition.timezone)}, needed a zone of the IANA list such as Europe/Zurich or UTC")
        return ZoneInfo("UTC")


def _check_facts(definition: Definition, faults: Faults) -> None:
    built_in = {fact.name for fact in schema.BUILT_IN_FACTS}
    for name in definition.facts:
        problem = "another name, rules have this one built in" if name in built_in else name_problem(name)
        if problem:
            faults.add(("facts", name), f"came the fact name {name!r}, needed {problem}", at_key=True)


def _check_outcomes(definition: Definition, faults: Faults) -> None:
    for label, outcome in definition.outcomes.items():
        path = ("outcomes", label)
        if outcome.revokes is not None:
            others = [name for name in definition.outcomes if name != label]
            if outcome.revokes not in others:
                faults.unknown((*path, "revokes"), "label", outcome.revokes, others, "outcomes")
            if outcome.reward is not None:
                faults.add((*path, "reward"), "came a reward beside revokes: a label either takes an answer back or is one; remove one of them")
        if outcome.exposure is not None:
            for key in ("reward", "revokes"):
                if getattr(outcome, key) is not None:
                    faults.add((*path, key), f"came {key} beside exposure {outcome.exposure}: a label is an answer or says what was shown; keep one")
        if label == PRESENTED and outcome.exposure != "presented":
            faults.add(path, f"came the label {PRESENTED!r} as an answer, needed exposure: presented, as contact policies read it", at_key=True)
        if label == NO_RESPONSE and (outcome.exposure is not None or outcome.revokes is not None):
            faults.add(path, f"came the label {NO_RESPONSE!r} with exposure or revokes: a time-out is an answer; remove them", at_key=True)


def _check_consent(definition: Definition, consent: str, path: KeyPath, faults: Faults) -> None:
    first, *fields = consent.split(".")
    fact = definition.facts.get(first)
    type_ = fact.type if fact else None
    for name in fields:
        type_ = dict(type_.fields).get(name) if type_ is not None else None
    if type_ is None:
        faults.unknown(path, "fact", consent, [name for name, fact in definition.facts.items() if fact.type == schema.BOOL], "facts")
    elif type_ not in (schema.BOOL, schema.DYN):
        faults.add(path, f"came the fact {consent!r} of type {type_}, needed one of type bool")


def _check_unique(kind: str, named: Iterable[tuple[KeyPath, str]], faults: Faults) -> None:
    first: dict[str, KeyPath] = {}
    for path, name in named:
        if name in first:
            mark = faults.source.mark(first[name])
            where = f"first in line {mark[0]}" if mark else f"first at {place_of(first[name])}"
            faults.add(path, f"the {kind} {name!r} stands here twice ({where}): rename or remove one")
        else:
            first[name] = path


def _check_null_actions(definition: Definition, faults: Faults) -> None:
    null_actions = [i for i, action in enumerate(definition.actions) if action.null_action]
    for i in null_actions[1:]:
        first = definition.actions[null_actions[0]].id
        faults.add(("actions", i, "null_action"), f"came a second null action, needed at most one: {first!r} is one already")


def _check_action(definition: Definition, action: Action, path: KeyPath, zone: ZoneInfo, faults: Faults) -> None:
    if action.null_action:
        if action.treatments:
            faults.add((*path, "treatments"), "came treatments of a null action, needed none: doing nothing has no form")
    if not action.null_action or action.issue is not None or action.group is not None:
        _check_place(definition, action, path, faults)
    first, last = window_us(action.valid.start, action.valid.end, zone)
    if first > last:
        faults.add((*path, "valid"), f"from {action.valid.start} is after until {action.valid.end}: exchange them")
    _check_unique("treatment", [((*path, "treatments", k, "id"), t.id) for k, t in enumerate(action.treatments)], faults)
    for k, treatment in enumerate(action.treatments):
        if treatment.channel not in definition.channels:
            faults.unknown((*path, "treatments", k, "channel"), "channel", treatment.channel, definition.channels, "channels")


def _check_place(definition: Definition, action: Action, path: KeyPath, faults: Faults) -> None:
    """An action belongs to an issue and a group, as far as the catalog declares any."""
    if action.issue is None:
        if definition.issues and not action.null_action and not faults.is_mended((*path, "null_action")):
            message = f"'issue' is missing: add it{suggestion('', definition.issues)}"
            faults.add((*path, "issue"), message, at=path)
        elif action.group is not None:
            faults.add((*path, "group"), f"came the group {action.group!r} without an issue: add 'issue', groups belong to issues")
        return
    issue = definition.issues.get(action.issue)
    if issue is None:
        faults.unknown((*path, "issue"), "issue", action.issue, definition.issues, "issues")
    elif action.group is None:
        if issue.groups and not action.null_action:
            faults.add((*path, "group"), f"'group' is missing: add it{suggestion('', issue.groups)}", at=path)
    elif action.group not in issue.groups:
        message = f"came the group {action.group!r}, needed one of the issue {action.issue!r}{suggestion(action.group, issue.groups)}"
        if not faults.is_mended(("issues", action.issue, "groups")):
            faults.add((*path, "group"), message)


def _check_context_weight(definition: Definition, context_weight: ContextWeight, path: KeyPath, faults: Faults) -> None:
    issue, group, action = context_weight.issue, context_weight.group, context_weight.action
    if any(faults.is_mended((*path, key)) for key in ("issue", "group", "action")):
        return
    if action is not None and (issue is not None or group is not None) or (issue, group, action) == (None, None, None):
        came = "none of them" if action is None else "several of them"
        faults.add(path, f"came {came}, needed one of issue, group and action: a context weight says what it multiplies")
        return
    if action is not None and action not in (ids := [a.id for a in definition.actions]):
        faults.unknown((*path, "action"), "action", action, ids, "actions")
    if issue is not None and issue not in definition.issues:
        faults.unknown((*path, "issue"), "issue", issue, definition.issues, "issues")
    elif group is not None:
        holders = [name for name, i in definition.issues.items() if group in i.groups and issue in (None, name)]
        known = [g for name, i in definition.issues.items() if issue in (None, name) for g in i.groups]
        if not holders and not any(faults.is_mended(("issues", name, "groups")) for name in definition.issues):
            faults.unknown((*path, "group"), "group", group, known, "issues")
        elif len(holders) > 1:
            faults.add((*path, "group"), f"the group {group!r} stands in the issues {', '.join(holders)}: add 'issue' to say which is meant")


def _check_contact_policies(definition: Definition, faults: Faults) -> None:
    named = [(("contact_policies", i, "name"), p.name) for i, p in enumerate(definition.contact_policies)]
    _check_unique("contact policy", named, faults)
    known = list(dict.fromkeys([*definition.outcomes, PRESENTED]))
    for i, contact_policy in enumerate(definition.contact_policies):
        if contact_policy.label not in known:
            faults.unknown(("contact_policies", i, "label"), "label", contact_policy.label, known, "outcomes")


def _check_crosses(definition: Definition, faults: Faults) -> None:
    """A cross is of two different facts that are predictors and one value each."""
    usable = [name for name, fact in definition.facts.items() if fact.predictor and fact.type.kind in CROSSABLE]
    for i, pair in enumerate(definition.crosses):
        for k, name in enumerate(pair):
            if name not in definition.facts:
                faults.unknown(("crosses", i, k), "fact", name, usable, "facts")
            elif name not in usable:
                faults.add(("crosses", i, k), f"came the fact {name!r}, needed a predictor of type {', '.join(sorted(CROSSABLE))}")
        if pair[0] == pair[1] or frozenset(pair) in map(frozenset, definition.crosses[:i]):
            faults.add(("crosses", i), f"came {pair[0]} and {pair[1]}, needed two different facts, each pair once")


def _check_control_groups(definition: Definition, faults: Faults) -> None:
    _check_unique("control group", [(("control_groups", i, "name"), g.name) for i, g in enumerate(definition.control_groups)], faults)
    total = sum(group.share for group in definition.control_groups)
    if total > 1 + _SHARE_SLACK:
        faults.add(("control_groups",), f"came shares that sum to {total:g}, needed at most 1: lower some")
