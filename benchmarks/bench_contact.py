"""What one subject's history costs a decision: closing candidates by contact policies and reasons.

The number: a hundred calls of `clear_suppressed` (`test_a_hundred_calls`), by events, contact policies and actions: divide by 100. Beside it a
plain Python loop over a list of events, as a user would write it for the same contact policies (counting per key in dicts, closing sets of
ids), and what recording one answer and compiling a catalog cost. Where it loses: at 10,000 actions compiling the similarities takes seconds,
once per reload; a subject without events costs the loop as little as the kernel.
Run: `python -m pytest benchmarks/bench_contact.py --benchmark-columns=median,iqr`.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from nba_engine.contact.history import Contacts
from nba_engine.contact.names import Shown
from nba_engine.contact.rules import FOREVER, Candidates, ContactChannel, ContactPolicy, ContactRules, ReasonRule
from nba_engine.contact.similarity import ContactAction, Similarity
from nba_engine.contact.suppression import clear_suppressed
from nba_engine.numerics.bitset import pack, unpack

DAY = 86_400_000_000
CHANNELS = (ContactChannel("call"), ContactChannel("web"), ContactChannel("email", "outbound"))
POLICIES = (
    ContactPolicy("no-nagging", "action", "declined", 1, 30 * DAY, 30 * DAY),
    ContactPolicy("twice", "action", "declined", 2, 90 * DAY, 90 * DAY),
    ContactPolicy("seen-often", "action", "presented", 3, 7 * DAY, 14 * DAY),
    ContactPolicy("rest-group", "group", "declined", 2, 30 * DAY, 14 * DAY),
    ContactPolicy("tired-group", "group", "presented", 6, 7 * DAY, 7 * DAY),
    ContactPolicy("look-alikes", "similar", "declined", 1, 7 * DAY, 7 * DAY),
    ContactPolicy("rest-issue", "issue", "declined", 5, 30 * DAY, 7 * DAY),
    ContactPolicy("weekly-mail", "channel", "presented", 3, 7 * DAY, None, "interaction", "outbound"),
    ContactPolicy("has-it", "action", "accepted", 1, 365 * DAY, 365 * DAY),
    ContactPolicy("enough", "subject", "presented", 40, 7 * DAY, None),
)
REASONS = (ReasonRule("too_expensive", 60 * DAY, 30 * DAY), ReasonRule("never", FOREVER, 180 * DAY))
NOW = 180 * DAY


def _actions(n):
    return [ContactAction(f"a{i}", f"issue{i % 5}", f"group{i % (n // 20)}", frozenset({f"t{i % 37}", f"t{i % 11}"})) for i in range(n)]


def _said(n_events, n_actions):
    """(offer, action, channel, label or None, reason or None, time): half a year of presentations, every third one answered."""
    rng, said, n = random.Random(7), [], 0
    while n < n_events:
        answered = n % 4 == 0 and n + 2 <= n_events
        label = rng.choice(["declined", "declined", "accepted"]) if answered else None
        reason = rng.choice([None, None, None, "too_expensive"]) if label == "declined" else None
        said.append((n, f"a{rng.randrange(n_actions)}", rng.choice(CHANNELS), label, reason, NOW * n // n_events))
        n += 2 if answered else 1
    return said


def contact_world(n_events, n_policies, n_actions):
    contacts = Contacts()
    rules = ContactRules(
        contacts.names,
        actions=_actions(n_actions),
        candidates=Candidates(np.arange(n_actions, dtype=np.int32), np.full(n_actions, -1, np.int32), [None] * n_actions),
        channels=CHANNELS,
        contact_policies=POLICIES[:n_policies],
        reasons=REASONS,
        similarity=Similarity(),
    )
    contacts.retention = rules.retention
    for offer, action, channel, label, reason, at_us in _said(n_events, n_actions):
        shown = Shown(action, None, channel.name, channel.direction)
        if label is None:
            contacts.present("s", offer, offer // 3, shown, at_us)
        else:
            contacts.answer("s", offer, offer // 3, shown, label, reason, at_us)
    return rules, contacts


def _plain_loop(events, actions, relatives, channel, at_us):
    """Ids of the open actions, written with dicts and sets over the same contact policies and reasons."""
    closed, reasons = set(), {r.name: r for r in REASONS}
    by = {
        "action": lambda e: e["action"],
        "similar": lambda e: e["action"],
        "group": lambda e: actions[e["action"]].group,
        "issue": lambda e: actions[e["action"]].issue,
        "channel": lambda e: e["channel"],
        "subject": lambda e: "",
    }
    for e in events:
        rule = reasons.get(e["reason"])
        if rule and at_us < e["at"] + rule.suppress_us:
            closed.add(e["action"])
        if rule and at_us < e["at"] + rule.similar_us:
            closed |= relatives[e["action"]]
    for p in POLICIES:
        if p.direction not in (None, channel.direction):
            continue
        history = {}
        for e in events:
            if e["label"] != p.label or e["reason"] or p.direction not in (None, e["direction"]):
                continue
            key = by[p.scope](e)
            past = history.setdefault(key, [])
            past.append((e["at"], e["interaction"] if p.per == "interaction" else e["offer"]))
            since, end = (at_us, e["at"] + p.within_us) if p.suppress_us is None else (e["at"], e["at"] + p.suppress_us)
            if at_us < end and len({unit for t, unit in past if since - t < p.within_us}) >= p.count:
                if p.scope == "similar":
                    closed |= relatives[key] | {key}
                elif p.scope == "action":
                    closed.add(key)
                elif p.scope == "subject" or (p.scope == "channel" and key == channel.name):
                    closed.update(actions)
                elif p.scope in ("group", "issue"):
                    closed.update(a for a, x in actions.items() if getattr(x, p.scope) == key)
    return actions.keys() - closed


@pytest.mark.parametrize(
    ("n_events", "n_policies", "n_actions"),
    [(0, 10, 1_000), (5, 3, 1_000), (5, 10, 1_000), (20, 10, 1_000), (256, 10, 1_000), (256, 10, 10_000)],
)
def test_a_hundred_calls(benchmark, n_events, n_policies, n_actions):
    rules, contacts = contact_world(n_events, n_policies, n_actions)
    history, words = contacts.history("s"), pack(np.ones(n_actions, dtype=bool))
    assert clear_suppressed(rules, history, NOW, 0, words) == n_events

    benchmark.pedantic(_many, (rules, history, NOW, 0, words), rounds=50)


def _many(*arguments):
    for _ in range(100):
        clear_suppressed(*arguments)


@pytest.mark.parametrize("n_events", [5, 20, 256])
def test_plain_loop(benchmark, n_events):
    rules, contacts = contact_world(n_events, 10, 1_000)
    names = {kind: rules.names.texts(kind) for kind in ("action", "label", "reason", "channel")}
    events = [
        {
            "at": int(e["at"]),
            "offer": int(e["offer"]),
            "interaction": int(e["interaction"]),
            "action": names["action"][e["action"]],
            "label": names["label"][e["label"]],
            "reason": names["reason"][e["reason"]] if e["reason"] >= 0 else None,
            "channel": names["channel"][e["channel"]],
            "direction": "outbound" if e["direction"] else "inbound",
        }
        for e in contacts.history("s").rows()
    ]
    actions = {a.id: a for a in rules.actions}
    relatives = {a.id: {rules.actions[b].id for b in np.flatnonzero(rules.similar(i))} for i, a in enumerate(rules.actions)}
    words = pack(np.ones(1_000, dtype=bool))
    clear_suppressed(rules, contacts.history("s"), NOW, 0, words)
    ids = np.array([a.id for a in rules.actions])
    assert benchmark(_plain_loop, events, actions, relatives, CHANNELS[0], NOW) == set(ids[unpack(words, 1_000)].tolist())


@pytest.mark.parametrize("n_events", [5, 256])
def test_record_one_answer(benchmark, n_events):
    _, contacts = contact_world(n_events, 10, 1_000)
    shown = Shown("a1", None, "call", "inbound")
    offers = iter(range(10**6, 10**9))
    benchmark(lambda: contacts.answer("s", next(offers), 1, shown, "declined", None, NOW))


@pytest.mark.parametrize("n_actions", [1_000, 10_000])
def test_compile(benchmark, n_actions):
    benchmark.pedantic(contact_world, args=(0, 10, n_actions), rounds=3)
