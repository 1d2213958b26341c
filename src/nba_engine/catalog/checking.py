"""What in a catalog holds together but is probably not meant. Nothing here keeps a catalog from being used.

Without a clock: that a window of validity lies in the past is no finding. Each check is one function that takes the catalog and yields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nba_engine.catalog.catalog import Catalog, engagement_rules, levels_of, rule_places
from nba_engine.catalog.checking_tables import table_findings
from nba_engine.catalog.contradictions import Possible, implies, never_false, never_true
from nba_engine.catalog.definition import Action, Channel, Definition, Ruled
from nba_engine.catalog.durations import FOREVER_US
from nba_engine.catalog.loading import KeyPath
from nba_engine.contact.names import NO_RESPONSE, PRESENTED
from nba_engine.rules import parse
from nba_engine.rules.normal import Formula, Leaf, Normalizer
from nba_engine.rules.slots import constant_of, names_in

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: some of it can never work; `warning`: probably not meant; `info`: without effect. `place` is a path in the catalog."""

    severity: Severity
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.place or 'catalog'}: {self.message}"


def check(catalog: Catalog) -> list[Finding]:
    """Every finding, worst first, otherwise in the order of the catalog. Cost: O(rules of all actions, those above them included)."""
    checks = (_no_actions, _unreachable, _negative_values, _never_false, _shadowed, _tables, _never_weighing,
              _unused_facts, _unfired, _consents, _reasons, _outcomes)
    found = [finding for one in checks for finding in one(catalog)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _no_actions(catalog: Catalog) -> Iterator[Finding]:
    if not any(not action.null_action for action in catalog.definition.actions):
        yield Finding("warning", "actions", "no action is declared, every slate will be empty: add some")


Rules = list[tuple[str, Formula | Leaf]]


def _unreachable(catalog: Catalog) -> Iterator[Finding]:
    """Rules that contradict each other or are never true, told at the highest place where they do."""
    normalizer = Normalizer()

    def rules_of(path: KeyPath, record: Ruled) -> Rules:
        return [(catalog.place(p), normalizer.formula(catalog.rule(text).node, text)) for p, text in engagement_rules(path, record)]

    def clash(rules: Rules, path: KeyPath, what: str) -> Finding | None:
        places = Possible(catalog.types).cause(rules)
        return None if places is None else Finding("error", catalog.place(path), f"{what}: {_cause(places)}")

    above: dict[tuple[str | None, str | None], Rules | None] = {(None, None): []}
    for issue_name, issue in catalog.definition.issues.items():
        path: KeyPath = ("issues", issue_name)
        rules = rules_of(path, issue)
        finding = clash(rules, path, "no action of this issue can ever be offered")
        above[issue_name, None] = None if finding else rules
        for name, group in issue.groups.items():
            group_rules = rules + rules_of((*path, "groups", name), group)
            below = None if finding else clash(group_rules, (*path, "groups", name), "no action of this group can ever be offered")
            above[issue_name, name] = None if finding or below else group_rules
            if below:
                yield below
        if finding:
            yield finding
    for i, action in enumerate(catalog.definition.actions):
        inherited = above[(action.issue, action.group) if action.issue is not None else (None, None)]
        if inherited is not None:
            path = ("actions", i)
            rules = inherited + rules_of(path, action)
            if isinstance(action.value, str) and not action.null_action:
                rules = [*rules, (catalog.place((*path, "value")), normalizer.formula(parse(f"({action.value}) >= 0.0")))]
            finding = clash(rules, path, "this action can never be offered")
            if finding:
                yield finding
            else:
                own_rules = [rules_of((*path, "treatments", k), treatment) for k, treatment in enumerate(action.treatments)]
                yield from _unreachable_forms(catalog, action, path, rules, own_rules)


def _unreachable_forms(catalog: Catalog, action: Action, path: KeyPath, rules: Rules, own_rules: list[Rules]) -> Iterator[Finding]:
    """Treatments that their own rules, the consent of their channel, or rules over `channel` and `direction`, never let through."""
    channels = catalog.definition.channels
    asks_channel = any(_asks_channel(part) for _, part in rules)
    closed: list[Finding] = []
    for k, treatment in enumerate(action.treatments):
        channel = channels[treatment.channel]
        agreed = [(catalog.place(("channels", treatment.channel, "consent")), Leaf(parse(channel.consent), True))] if channel.consent else []
        if not asks_channel and not own_rules[k] and not agreed:
            continue
        possible = Possible(catalog.types)
        possible.fix("channel", [treatment.channel])
        possible.fix("direction", [channel.direction])
        places = possible.cause([*rules, *own_rules[k], *agreed])
        if places is not None:
            message = f"this treatment can never be offered on the channel {treatment.channel!r}: {_cause(places)}"
            closed.append(Finding("warning", catalog.place((*path, "treatments", k)), message))
    if closed and len(closed) == len(action.treatments):
        yield Finding("error", catalog.place(path), "this action can never be offered: none of its treatments can")
    yield from closed
    if asks_channel and not action.treatments and channels:
        possible = Possible(catalog.types)
        possible.fix("channel", channels)
        possible.fix("direction", {channel.direction for channel in channels.values()})
        places = possible.cause(rules)
        if places is not None:
            yield Finding("error", catalog.place(path), f"this action can never be offered on any declared channel: {_cause(places)}")


def _asks_channel(part: Formula | Leaf) -> bool:
    if isinstance(part, Formula):
        return any(map(_asks_channel, part.parts))
    return not names_in(part.node).isdisjoint(("channel", "direction"))


def _cause(places: tuple[str, ...]) -> str:
    return f"{places[0]} is never true" if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]} contradict each other"


def _negative_values(catalog: Catalog) -> Iterator[Finding]:
    for i, action in enumerate(catalog.definition.actions):
        value = action.value if isinstance(action.value, float) else constant_of(catalog.rule(action.value).node)
        if isinstance(value, int | float) and not 0 <= value < math.inf and not action.null_action:
            place = catalog.place(("actions", i, "value"))
            yield Finding("error", place, f"the value {value:g} is not 0 or more and finite, so this action is never offered: make it 0 or more")


def _never_false(catalog: Catalog) -> Iterator[Finding]:
    """Engagement rules that stop nobody whose facts are known. Rows of tables are looked at with their tables."""
    known: dict[str, bool] = {}
    for path, text, _ in rule_places(catalog.definition.model_copy(update={"context_weights": ()})):
        if path[-1] == "value" or "tables[" in catalog.place(path) or " row " in catalog.place(path):
            continue
        if text not in known:
            known[text] = never_false(catalog.types, catalog.rule(text).node)
        if known[text]:
            message = f"{text!r} is never false, so it stops only those of whom a fact is not known: remove it, or ask what was meant"
            yield Finding("warning", catalog.place(path), message)


def _shadowed(catalog: Catalog) -> Iterator[Finding]:
    """Rules that stand above already, or twice at the same place."""
    definition = catalog.definition
    for issue_name, issue in definition.issues.items():
        for name, group in issue.groups.items():
            yield from _repeated(catalog, [(("issues", issue_name), issue), (("issues", issue_name, "groups", name), group)])
        if not issue.groups:
            yield from _repeated(catalog, [(("issues", issue_name), issue)])
    for i, action in enumerate(definition.actions):
        chain = levels_of(definition, i)
        yield from _repeated(catalog, chain)
        for k, treatment in enumerate(action.treatments):
            yield from _repeated(catalog, [*chain, (("actions", i, "treatments", k), treatment)])


def _repeated(catalog: Catalog, chain: list[tuple[KeyPath, Ruled]]) -> Iterator[Finding]:
    """Repetitions at the last place of `chain` of what stands there or above."""
    first: dict[object, KeyPath] = {}
    own = chain[-1][0]
    above = [catalog.rule(text).node for path, record in chain[:-1] for _, text in engagement_rules(path, record)]
    for path, record in chain:
        for rule_path, text in engagement_rules(path, record):
            node = catalog.rule(text).node
            if path == own and names_in(node) and node not in above and implies(catalog.types, above, node):
                yield Finding("warning", catalog.place(rule_path), f"{text!r} follows from the rules above it: remove it, or make it stricter")
            before = first.setdefault(node, rule_path)
            if before is not rule_path and path == own:
                yield Finding("warning", catalog.place(rule_path), f"{text!r} is required by {catalog.place(before)} already: remove one of them")


def _tables(catalog: Catalog) -> Iterator[Finding]:
    yield from (Finding("warning", place, message) for place, message in table_findings(catalog))


def _never_weighing(catalog: Catalog) -> Iterator[Finding]:
    for i, context_weight in enumerate(catalog.definition.context_weights):
        place = catalog.place(("context_weights", i, "when"))
        node = catalog.rule(context_weight.when).node
        if never_true(catalog.types, node):
            yield Finding("warning", place, f"{context_weight.when!r} is never true, so this context weight never applies")
        elif never_false(catalog.types, node):
            yield Finding("info", place, f"{context_weight.when!r} is never false: a lever says the same")
        elif context_weight.multiplier == 1:
            yield Finding("info", catalog.place(("context_weights", i)), "the multiplier is 1, so this context weight changes nothing")


def _unused_facts(catalog: Catalog) -> Iterator[Finding]:
    named = {name.lstrip(".") for _, text, _ in rule_places(catalog.definition) for name in names_in(catalog.rule(text).node)}
    named |= {channel.consent.split(".")[0] for channel in catalog.definition.channels.values() if channel.consent}
    for fact in catalog.facts:
        if fact.name not in named and not fact.predictor:
            message = "no rule, value or consent names this fact and models may not read it: use it or remove it"
            yield Finding("info", catalog.place(("facts", fact.name)), message)


def _unfired(catalog: Catalog) -> Iterator[Finding]:
    """Contact policies that can never fire, or that close nothing."""
    definition = catalog.definition
    directions = {channel.direction for channel in definition.channels.values()}
    has_groups = any(issue.groups for issue in definition.issues.values())
    for i, contact_policy in enumerate(definition.contact_policies):
        causes = []
        outcome = definition.outcomes.get(contact_policy.label)
        if contact_policy.within == 0:
            causes.append("nothing happens within a window of 0: give 'within' a length")
        if contact_policy.suppress == 0:
            causes.append("it suppresses for 0: give 'suppress' a length or remove it")
        if contact_policy.label == NO_RESPONSE and not any(_waits(definition, c, contact_policy.direction) for c in definition.channels.values()):
            causes.append("no channel takes silence for an answer: give one of them 'no_response', and a label that says what was presented")
        if outcome is not None and outcome.exposure == "skipped":
            causes.append(f"{contact_policy.label!r} says that nothing was presented, and is not counted: name another label")
        if outcome is not None and outcome.exposure == PRESENTED and contact_policy.label != PRESENTED:
            causes.append(f"what was presented is counted under {PRESENTED!r}: write label: {PRESENTED}")
        if contact_policy.direction and contact_policy.direction not in directions:
            causes.append(f"no channel is {contact_policy.direction}: correct 'direction'")
        if contact_policy.scope == "channel" and not definition.channels:
            causes.append("no channel is declared: correct 'scope'")
        if (contact_policy.scope == "issue" and not definition.issues) or (contact_policy.scope == "group" and not has_groups):
            causes.append(f"no action belongs to any {contact_policy.scope}: correct 'scope'")
        for cause in causes:
            yield Finding("warning", catalog.place(("contact_policies", i)), f"{contact_policy.name!r} never closes anything: {cause}")


def _waits(definition: Definition, channel: Channel, direction: str | None) -> bool:
    """Whether offers on the channel can fall silent, which takes that somebody says they were presented."""
    told = channel.presented == "on_return" or any(outcome.exposure == PRESENTED for outcome in definition.outcomes.values())
    return channel.no_response < FOREVER_US and told and direction in (None, channel.direction)


def _consents(catalog: Catalog) -> Iterator[Finding]:
    for name, channel in catalog.definition.channels.items():
        if channel.direction == "outbound" and channel.consent is None:
            message = "an outbound channel without consent reaches everybody: name the fact that says who agreed under 'consent'"
            yield Finding("warning", catalog.place(("channels", name)), message)


def _reasons(catalog: Catalog) -> Iterator[Finding]:
    directions = {channel.direction for channel in catalog.definition.channels.values()}
    for name, reason in catalog.definition.reasons.items():
        place = catalog.place(("reasons", name))
        if not reason.suppress and not reason.similar and reason.learn:
            yield Finding("info", place, "this reason suppresses nothing and learns as usual; all it does is to replace the contact policies")
        elif reason.direction and reason.direction not in directions:
            yield Finding("warning", place, f"no channel is {reason.direction}, so this reason closes nothing: correct 'direction'")


def _outcomes(catalog: Catalog) -> Iterator[Finding]:
    outcomes = catalog.definition.outcomes
    if not any(outcome.reward for outcome in outcomes.values()):
        yield Finding("warning", "outcomes", "no label has a reward above 0, so models can only learn that nothing works: give one a reward")
    for label, outcome in outcomes.items():
        if (outcome.reward, outcome.value, outcome.exposure, outcome.revokes) == (None, None, None, None):
            yield Finding("info", catalog.place(("outcomes", label)), "this label teaches nothing and is worth nothing")
        elif outcome.revokes is not None and outcomes[outcome.revokes].reward is None:
            yield Finding("warning", catalog.place(("outcomes", label)), f"it revokes {outcome.revokes!r}, which is no answer: it has no reward")
