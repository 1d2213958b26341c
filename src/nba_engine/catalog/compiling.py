"""A catalog that holds together -> a Plan. Everything by name becomes a position here, once, so that no decision looks up a name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nba_engine.arbitration.exploration import KIND_CODES, Exploration
from nba_engine.catalog.catalog import RULE_STAGES, Catalog
from nba_engine.catalog.definition import Action, Definition, Group, Issue, Treatment
from nba_engine.catalog.durations import DAWN_US, FOREVER_US
from nba_engine.catalog.plan import NO_VALUE_SLOT, Consent, ContextWeight, ControlGroup, Floats, Ints, Plan
from nba_engine.contact.names import Names
from nba_engine.contact.rules import Candidates, ContactChannel, ContactPolicy, ContactRules, ReasonRule
from nba_engine.contact.similarity import ContactAction, Similarity
from nba_engine.facts.columns import index_of
from nba_engine.facts.encoding import Encoder
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.numerics.bitset import n_words, pack
from nba_engine.numerics.random import key_of
from nba_engine.rules.checking import Checked
from nba_engine.rules.index import RuleIndexBuilder
from nba_engine.rules.syntax import Call
from nba_engine.schema import DOUBLE, UINT


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One candidate; `levels` are the records that rule over it, outermost first."""

    action_index: int
    action: Action
    treatment: Treatment | None
    levels: tuple[Issue | Group | Action | Treatment, ...]

    @property
    def explores(self) -> bool:
        return not self.action.null_action and all(getattr(level, "explore", True) for level in self.levels)


def compile_plan(catalog: Catalog, vocabulary: Vocabulary, names: Names, entities: dict[tuple[str, str], int]) -> Plan:
    """Compile `catalog`.

    `vocabulary`, `names` and `entities` are the engine's and only grow: what rules, contact policies and beliefs name is numbered there, and a
    reload finds it again.
    Raises CheckError where a rule grows beyond the limits of the rules room. Cost: about 1 s for 1,000 actions with 5 rules each.
    """
    definition = catalog.definition
    for name, channel in definition.channels.items():  # no outcome teaches these texts, so they would be "other" for good
        vocabulary.name("channel", name)
        vocabulary.name("direction", channel.direction)
    encoder = Encoder(catalog.facts, vocabulary)
    candidates = _candidates(definition)
    builder = RuleIndexBuilder({c.name: (i, c.type) for i, c in enumerate(encoder.columns)}, len(encoder.columns), vocabulary.name)
    stages = _add_stages(catalog, candidates, builder)
    context_weights = _context_weights(catalog, candidates, builder)
    value_slots = _value_slots(catalog, candidates, builder)
    channel_ids = tuple(definition.channels)
    channel = np.array([channel_ids.index(c.treatment.channel) if c.treatment else -1 for c in candidates], np.int32)
    action = np.array([c.action_index for c in candidates], np.int32)
    available = np.array([(channel == i) | (channel == -1) for i in range(len(channel_ids))] + [np.ones(len(channel), bool)])
    columns = index_of(encoder.columns)
    index = builder.build()
    return Plan(
        catalog=catalog,
        version=catalog.version,
        encoder=encoder,
        index=index,
        contact_rules=_contact_rules(definition, candidates, channel, names),
        exploration=_exploration(definition),
        sticky_us=definition.exploration.sticky,
        action_ids=tuple(action.id for action in definition.actions),
        channel_ids=channel_ids,
        channel_of={name: i for i, name in enumerate(channel_ids)},
        on_return=frozenset(name for name, c in definition.channels.items() if c.presented == "on_return"),
        directions=tuple(c.direction for c in definition.channels.values()),
        candidate_actions=tuple(c.action.id for c in candidates),
        candidate_channels=tuple(c.treatment.channel if c.treatment else None for c in candidates),
        treatments=tuple(c.treatment.id if c.treatment else None for c in candidates),
        scripts=tuple(c.treatment.script if c.treatment else c.action.script for c in candidates),
        action=action,
        channel=channel,
        numbers=_numbers(candidates),
        value_slots=value_slots,
        explores=np.array([c.explores for c in candidates], np.uint8),
        keys=np.array([[key_of(c.action.id) for c in candidates],
                       [key_of(f"{c.action.id}\x1f{c.treatment.id if c.treatment else ''}") for c in candidates]], np.uint64),
        null_candidate=next((i for i, c in enumerate(candidates) if c.action.null_action), -1),
        stages=stages,
        stage_words=np.array([word for _, word in stages], np.int64),
        funnel_names=("actions", "available", *(name for name, _ in stages), "contact", "value", "offered"),
        channel_masks=pack(available),
        n_available=np.array([len(np.unique(action[mask])) for mask in available], np.int64),
        consents=tuple(Consent(i, name, columns[c.consent], c.consent, pack(channel == i))
                       for i, (name, c) in enumerate(definition.channels.items()) if c.consent),
        windows=_windows(definition, candidates),
        context_weights=context_weights,
        control_groups=_control_groups(definition),
        paths=_paths(candidates, entities),
        candidate_of={(c.action.id, c.treatment.id if c.treatment else None): i for i, c in enumerate(candidates)},
    )


def _candidates(definition: Definition) -> list[_Candidate]:
    found: list[_Candidate] = []
    for i, action in enumerate(definition.actions):
        issue = definition.issues.get(action.issue) if action.issue is not None else None
        group = issue.groups.get(action.group) if issue is not None and action.group is not None else None
        above = tuple(record for record in (issue, group, action) if record is not None)
        found += [_Candidate(i, action, t, above if t is None else (*above, t)) for t in action.treatments or (None,)]
    return found


def _add_stages(catalog: Catalog, candidates: Sequence[_Candidate], builder: RuleIndexBuilder) -> tuple[tuple[str, int], ...]:
    """One tier of targets per stage that has rules at all, each starting at a whole word, so that a tier is a set of candidates."""
    stages: list[tuple[str, int]] = []
    n_targets = 0
    for stage in RULE_STAGES:
        texts = [[text for level in c.levels for text in getattr(level, stage)] for c in candidates]
        if not any(texts):
            continue
        stages.append((stage, n_targets // 64))
        for own in texts:
            builder.target(map(catalog.rule, own))
        for _ in range(-len(candidates) % 64):
            builder.target(())
        n_targets += 64 * n_words(len(candidates))
    return tuple(stages)


def _context_weights(catalog: Catalog, candidates: Sequence[_Candidate], builder: RuleIndexBuilder) -> tuple[ContextWeight, ...]:
    found: list[ContextWeight] = []
    for written in catalog.definition.context_weights:
        meant = [
            (written.action is None or c.action.id == written.action)
            and (written.group is None or c.action.group == written.group)
            and (written.issue is None or c.action.issue == written.issue)
            for c in candidates
        ]
        target = builder.target([catalog.rule(written.when)])
        found.append(ContextWeight(target, written.multiplier, np.array(meant, bool), written.when))
    return tuple(found)


def _value_slots(catalog: Catalog, candidates: Sequence[_Candidate], builder: RuleIndexBuilder) -> Ints:
    slots = np.full((len(candidates), 2), (NO_VALUE_SLOT, 0), np.int32)
    for i, c in enumerate(candidates):
        if isinstance(c.action.value, str):
            written = catalog.rule(c.action.value)
            if written.type == UINT:  # an encoded row has no such number
                node = Call("double", (written.node,))
                written = Checked(node, DOUBLE, {**written.types, id(node): DOUBLE})
            slots[i] = builder.number(written), written.type == DOUBLE
    return slots


def _numbers(candidates: Sequence[_Candidate]) -> Floats:
    numbers = np.zeros((len(candidates), 3))
    for i, c in enumerate(candidates):
        constant = 0.0 if isinstance(c.action.value, str) or c.action.null_action else c.action.value
        cost = c.action.cost if c.treatment is None else c.treatment.cost
        numbers[i] = constant, math.prod(level.lever for level in c.levels), cost or 0.0
    return numbers


def _windows(definition: Definition, candidates: Sequence[_Candidate]) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    spans = [(i, *definition.window_us(c.action)) for i, c in enumerate(candidates)]
    return np.array([span for span in spans if span[1:] != (DAWN_US, FOREVER_US)], np.int64).reshape(-1, 3)


def _paths(candidates: Sequence[_Candidate], entities: dict[tuple[str, str], int]) -> Ints:
    """Entity per level and candidate. A treatment has beliefs of its own only beside another one of the same action."""
    entities.setdefault(("global", ""), 0)
    paths = np.full((len(candidates), 5), -1, np.int32)
    for i, c in enumerate(candidates):
        if c.action.null_action:
            continue
        keys = [("global", ""), ("issue", c.action.issue), ("group", f"{c.action.issue}\x1f{c.action.group}"), ("action", c.action.id), None]
        if c.action.issue is None or c.action.group is None:
            keys[2] = None
        if c.action.issue is None:
            keys[1] = None
        if c.treatment is not None and len(c.action.treatments) > 1:
            keys[4] = ("treatment", f"{c.action.id}\x1f{c.treatment.id}")
        paths[i] = [-1 if key is None else entities.setdefault(key, len(entities)) for key in keys]
    return paths


def _contact_rules(definition: Definition, candidates: Sequence[_Candidate], channel: Ints, names: Names) -> ContactRules:
    return ContactRules(
        names,
        actions=[ContactAction(a.id, a.issue, a.group, frozenset(a.tags)) for a in definition.actions],
        candidates=Candidates(np.array([c.action_index for c in candidates], np.int32), channel,
                              [c.treatment.id if c.treatment else None for c in candidates]),
        channels=[ContactChannel(name, c.direction) for name, c in definition.channels.items()],
        contact_policies=[
            ContactPolicy(p.name, p.scope, p.label, p.count, p.within, p.suppress, p.per, p.direction)
            for p in definition.contact_policies],
        reasons=[ReasonRule(name, r.suppress or 0, r.similar or 0, r.scope, r.direction) for name, r in definition.reasons.items()],
        similarity=Similarity(definition.similarity.by, definition.similarity.at_least),
    )


def _exploration(definition: Definition) -> Exploration:
    e = definition.exploration
    return Exploration(KIND_CODES[e.kind], posterior_scale=e.posterior_scale, uniform_share=e.uniform_share, epsilon=e.epsilon, gamma=e.gamma)


def _control_groups(definition: Definition) -> tuple[ControlGroup, ...]:
    groups, start = [], 0.0
    for written in definition.control_groups:
        groups.append(ControlGroup(written.name, written.kind, start, start + written.share))
        start += written.share
    return tuple(groups)

